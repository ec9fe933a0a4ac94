"""What a heap comes to hold when it keeps what is freed, as glibc's does while training."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from statistics import fmean

__all__ = ["Heap", "kept_heap"]

UNIT = 16  # bytes; glibc's blocks are multiples of it, and have a header of as many
ALIGNED = 96  # bytes that are asked for besides, so that a tensor can begin at a multiple of 64
LEAD = 48  # of these, what lies before the tensor
STUCK = 7  # one lead in so many is taken by something small and separates its neighbours
ROUNDS = 5


class Heap:
    """Takes the smallest free piece that is large enough, and joins freed neighbours. Final.

    So does glibc's allocator (Lea, "A Memory Allocator", 2000). What is cut off before an aligned
    block is so small that other things are put there; a block so hemmed in cannot serve for the
    same size again when it is free, since alignment asks for more. That is why a heap that keeps
    everything becomes much larger than what is ever in use.

    Args:
        phase: how many leads have been cut off already.
    """

    def __init__(self, phase: int = 0) -> None:
        self.top = self.most = 0
        self._leads = phase
        self._taken: dict[int, tuple[int, int]] = {}  # key -> (address, size)
        self._pieces: list[tuple[int, int]] = []  # free, by (size, address)
        self._begins: dict[int, int] = {}  # address of a free piece -> its size
        self._ends: dict[int, int] = {}  # address behind a free piece -> its size

    def take(self, key: int, size: int) -> None:
        """Take a block of so many bytes."""
        size = -(-size // UNIT) * UNIT + UNIT
        place = bisect_left(self._pieces, (size + ALIGNED, 0))
        if place < len(self._pieces):
            room, address = self._pieces[place]
            self._remove(address, room)
        else:
            room, address = size + ALIGNED, self.top
            self.top += room
            self.most = max(self.most, self.top)
        self._taken[key] = (address + LEAD, size)
        self._leads += 1
        if self._leads % STUCK:
            self._add(address, LEAD)
        self._add(address + LEAD + size, room - LEAD - size)

    def free(self, key: int) -> None:
        """Free a block; one that was never taken here does not matter."""
        if key in self._taken:
            self._add(*self._taken.pop(key))

    def _add(self, address: int, size: int) -> None:
        if address in self._ends:
            before = self._ends[address]
            self._remove(address - before, before)
            address, size = address - before, size + before
        if address + size in self._begins:
            after = self._begins[address + size]
            self._remove(address + size, after)
            size += after
        if address + size == self.top:
            self.top = address
        else:
            insort(self._pieces, (size, address))
            self._begins[address] = self._ends[address + size] = size

    def _remove(self, address: int, size: int) -> None:
        self._pieces.pop(bisect_left(self._pieces, (size, address)))
        del self._begins[address], self._ends[address + size]


def kept_heap(events: Sequence[tuple[int, int]]) -> int:
    """Return the most bytes that a heap holds, free pieces between its blocks included.

    It is a mean over which of the leads are taken by something else.

    Args:
        events: ``(key, bytes)`` for a block that is taken, ``(key, 0)`` for the same when freed.
    """
    found = []
    for phase in range(ROUNDS):
        heap = Heap(phase)
        for key, size in events:
            if size:
                heap.take(key, size)
            else:
                heap.free(key)
        found.append(heap.most)
    return round(fmean(found))
