"""Between the requests and the network: what is accepted is read by threads and looked at."""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from convsmith_runtime.errors import ImageError
from convsmith_runtime.http.batching import Batches, Look
from convsmith_runtime.http.checks import read_upload
from convsmith_runtime.http.limits import Limits, Problem, Refused, busy
from convsmith_runtime.http.uploads import Upload
from convsmith_runtime.predict import Predictor

__all__ = ["Service"]

log = logging.getLogger("convsmith_runtime.http")


class Service:
    """Takes images up to a limit, and answers all that it took. Final."""

    def __init__(
        self, predictor: Predictor, batches: Batches, limits: Limits, threads: int
    ) -> None:
        self.predictor = predictor
        self.batches = batches
        self.limits = limits
        self.waiting = 0  # images accepted and not yet answered
        self._readers = ThreadPoolExecutor(threads, "reader")

    async def look(self, uploads: Sequence[Upload]) -> list[Look]:
        """Return what the network makes of some images.

        Raises:
            Refused: there are too many at the moment, they could not be looked at in time, or some
                cannot be used: then all of those are named.
        """
        if self.waiting + len(uploads) > self.limits.queue:
            raise busy(f"{self.waiting} images are waiting already")
        latest = time.monotonic() + self.limits.deadline / 2
        self.waiting += len(uploads)
        self.batches.announce(len(uploads))
        answers: list[Future[Look]] = [Future() for _ in uploads]
        try:
            for upload, answer in zip(uploads, answers, strict=True):
                self._readers.submit(self._read, upload, answer, latest)
            async with asyncio.timeout(self.limits.deadline):
                found = await asyncio.gather(
                    *map(asyncio.wrap_future, answers), return_exceptions=True
                )
        except TimeoutError:
            seconds = f"{self.limits.deadline:g} s"
            raise Refused(503, "deadline", f"there was no answer within {seconds}") from None
        finally:
            self.waiting -= len(uploads)
        return looks(uploads, found)

    def _read(self, upload: Upload, answer: "Future[Look]", latest: float) -> None:
        """Turn one upload into pixels and hand them on; work that nobody waits for is dropped."""
        if not answer.set_running_or_notify_cancel():
            self.batches.withdraw()
            return
        card = self.predictor.bundle.preprocessing
        try:
            if time.monotonic() > latest:
                raise busy("the image could not be read in time")
            pixels = read_upload(
                upload, card.channels, card.image_size, card.resize, self.limits.pixels
            )
        except (ImageError, Refused) as error:
            self.batches.withdraw()
            answer.set_exception(error)
        else:
            self.batches.put(pixels, answer, latest)

    def close(self) -> None:
        """Answer what was accepted, and end the threads."""
        self._readers.shutdown()
        self.batches.close()


def looks(uploads: Sequence[Upload], found: Sequence[Look | BaseException]) -> list[Look]:
    """Return the results, or raise what stands in their place."""
    problems = [
        Problem(number, upload.name, str(each))
        for number, (upload, each) in enumerate(zip(uploads, found, strict=True))
        if isinstance(each, ImageError)
    ]
    for each in found:
        if isinstance(each, Refused):
            raise each
        if isinstance(each, BaseException) and not isinstance(each, ImageError):
            log.error("the network failed", exc_info=each)
            raise Refused(500, "internal", "the network failed; the log of the server says how")
    if problems:
        message = "; ".join(problem.reason for problem in problems)
        raise Refused(422, "image", message, problems=problems)
    return [each for each in found if isinstance(each, Look)]
