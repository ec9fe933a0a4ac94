"""What a request may take, and how one that takes more is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Limits", "Problem", "Refused", "busy"]


@dataclass(frozen=True)
class Limits:
    """What one request, and all together, may take."""

    body_bytes: int = 20 * 2**20
    pixels: int = 50_000_000  # of one image, as its file says, before any is decoded
    images: int = 32  # in one request
    queue: int = 256  # images accepted and not yet answered
    deadline: float = 10.0  # seconds from the last byte of a request to its answer
    upload_seconds: float = 60.0  # for a body to arrive
    held_bytes: int = 256 * 2**20  # of all bodies in memory


@dataclass(frozen=True)
class Problem:
    """An image that cannot be used, by its place in the request, and why."""

    index: int
    image: str
    reason: str


class Refused(Exception):  # noqa: N818  # an answer as good as others
    """A request that gets no answer: its status says whose fault it is, its message how to mend it.

    Args:
        status: of HTTP.
        kind: one word, for programs.
        message: for people.
        headers: of the answer.
        problems: the images that are to blame.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = dict(headers or {})
        self.problems = tuple(problems)


def busy(reason: str) -> Refused:
    """Return the refusal of a server that has too much to do."""
    return Refused(429, "busy", f"{reason}; try again in a second", headers={"Retry-After": "1"})
