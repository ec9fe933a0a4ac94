"""Between the requests and the network: what is accepted is read by threads and looked at."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from convsmith_runtime.errors import ImageError
from convsmith_runtime.http.batching import Batches, Look, Outcome
from convsmith_runtime.http.checks import read_upload
from convsmith_runtime.http.limits import Limits, Problem, Refused, busy
from convsmith_runtime.http.uploads import Upload
from convsmith_runtime.predict import Predictor

__all__ = ["Service"]

log = logging.getLogger("convsmith_runtime.http")

Answer = asyncio.Future[Look]


class Service:
    """Takes images up to a limit, and answers all that it took. Final."""

    def __init__(
        self,
        predictor: Predictor,
        limits: Limits,
        *,
        batch: int,
        wait: float,
        threads: int,
        on_batch: Callable[[int], None] = lambda images: None,
    ) -> None:
        self.predictor = predictor
        self.limits = limits
        self.waiting = 0  # images accepted and not yet answered
        self._batches: Batches[Answer] = Batches(
            predictor.run, self._deliver, batch, wait, on_batch
        )
        self._readers = ThreadPoolExecutor(threads, "reader")

    @property
    def alive(self) -> bool:
        """Return whether images would be looked at."""
        return self._batches.alive

    async def look(self, uploads: Sequence[Upload]) -> list[Look]:
        """Return what the network makes of some images.

        Raises:
            Refused: there are too many at the moment, they could not be looked at in time, or some
                cannot be used: then all of those are named.
        """
        if self.waiting + len(uploads) > self.limits.queue:
            raise busy(f"{self.waiting} images are waiting already")
        latest = time.monotonic() + self.limits.deadline / 2
        loop = asyncio.get_running_loop()
        answers: list[Answer] = [loop.create_future() for _ in uploads]
        self.waiting += len(uploads)
        self._batches.announce(len(uploads))
        try:
            for upload, answer in zip(uploads, answers, strict=True):
                self._readers.submit(self._read, upload, answer, latest)
            _, late = await asyncio.wait(answers, timeout=self.limits.deadline)
        finally:
            self.waiting -= len(uploads)
        if late:
            for answer in answers:
                if not answer.cancel():
                    answer.exception()  # looked at: or it would be said to be lost
            seconds = f"{self.limits.deadline:g} s"
            raise Refused(503, "deadline", f"there was no answer within {seconds}")
        return looks(uploads, [answer.exception() or answer.result() for answer in answers])

    def _read(self, upload: Upload, answer: Answer, latest: float) -> None:
        """Turn one upload into pixels and hand them on; work that nobody waits for is dropped."""
        rule = self.predictor.bundle.preprocessing
        try:
            if time.monotonic() > latest:
                raise busy("the image could not be read in time")
            pixels = read_upload(
                upload, rule.channels, rule.image_size, rule.resize, self.limits.pixels
            )
        except (ImageError, Refused) as error:
            self._batches.withdraw()
            self._deliver([(answer, error)])
        else:
            self._batches.put(pixels, answer, latest)

    def _deliver(self, answers: Sequence[tuple[Answer, Outcome]]) -> None:
        """Hand over answers, from any thread: all at once, since each time wakes the loop."""
        answers[0][0].get_loop().call_soon_threadsafe(settle, answers)

    def close(self) -> None:
        """Answer what was accepted, and end the threads."""
        self._readers.shutdown()
        self._batches.close()


def settle(answers: Sequence[tuple[Answer, Outcome]]) -> None:
    """Give those who still wait what came of their images."""
    for answer, outcome in answers:
        if answer.done():
            continue
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)


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
