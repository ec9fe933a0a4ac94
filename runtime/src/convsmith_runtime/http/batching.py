"""One thread runs the network, on as many of the waiting images at once as there are."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy

from convsmith_runtime.decode import Pixels
from convsmith_runtime.http.limits import busy

__all__ = ["Batches", "Look", "Outcome", "Run"]

Floats = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.float32]]
Run = Callable[
    [numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]], tuple[Floats, Floats | None]
]


@dataclass(frozen=True)
class Look:
    """What the network made of one image."""

    pixels: Pixels
    logits: Floats  # (classes,)
    maps: Floats | None  # (classes, height, width)


Asker = TypeVar("Asker")
Outcome = Look | Exception


@dataclass(frozen=True)
class Waiting(Generic[Asker]):
    """An image, who asked, and the time after which nobody waits for an answer."""

    pixels: Pixels
    asker: Asker
    latest: float


class Batches(Generic[Asker]):
    """The images that wait for the network, and the thread that runs it. Final.

    A batch is run when it is full, when nothing more is announced, or ``wait`` seconds after its
    first image came: whichever is first. A lone client never waits for company.
    """

    def __init__(
        self,
        run: Run,
        deliver: Callable[[Sequence[tuple[Asker, Outcome]]], None],
        size: int,
        wait: float,
        on_batch: Callable[[int], None] = lambda images: None,
    ) -> None:
        """Start the thread.

        Args:
            run: the network.
            deliver: gets all the answers of a batch at once, in the network's thread.
            size: of the largest batch.
            wait: in seconds.
            on_batch: gets the size of every batch.
        """
        self._run = run
        self._deliver = deliver
        self._size = size
        self._wait = wait
        self._on_batch = on_batch
        self._waiting: deque[Waiting[Asker]] = deque()
        self._announced = 0  # images that are still being read
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Return whether the thread still works."""
        return self._thread.is_alive()

    def announce(self, images: int) -> None:
        """Say that so many images will be put, or withdrawn."""
        with self._changed:
            self._announced += images

    def withdraw(self) -> None:
        """Say that an announced image will not come."""
        with self._changed:
            self._announced -= 1
            self._wake()

    def put(self, pixels: Pixels, asker: Asker, latest: float) -> None:
        """Hand over an announced image; whoever asked gets an answer."""
        with self._changed:
            self._announced -= 1
            self._waiting.append(Waiting(pixels, asker, latest))
            self._wake()

    def close(self) -> None:
        """Answer everything that was put, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _wake(self) -> None:
        """Wake the thread if that may change something for it: each time costs a switch."""
        if len(self._waiting) == 1 or self._full():
            self._changed.notify()

    def _full(self) -> bool:
        return len(self._waiting) >= self._size or self._announced <= 0 or self._closed

    def _work(self) -> None:
        while batch := self._next():
            self._deliver(self._answers(batch))

    def _next(self) -> list[Waiting[Asker]]:
        """Return the next batch, or nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(self._full, self._wait)
            return [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]

    def _answers(self, batch: list[Waiting[Asker]]) -> list[tuple[Asker, Outcome]]:
        now = time.monotonic()
        wanted = [each for each in batch if each.latest >= now]
        found: list[tuple[Asker, Outcome]] = [
            (each.asker, busy("the network could not look at the image in time"))
            for each in batch
            if each.latest < now
        ]
        if not wanted:
            return found
        try:
            logits, maps = self._run(numpy.stack([each.pixels for each in wanted]))
        except Exception as error:  # noqa: BLE001  # the thread must live; the askers get it
            return [*found, *((each.asker, error) for each in wanted)]
        self._on_batch(len(wanted))
        for number, each in enumerate(wanted):
            look = Look(each.pixels, logits[number], None if maps is None else maps[number])
            found.append((each.asker, look))
        return found
