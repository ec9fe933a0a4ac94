"""The heap of an allocator that keeps what is freed."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from convsmith.planning.heap import ALIGNED, UNIT, Heap, kept_heap


def blocks(sizes):
    return [(key, size) for key, size in enumerate(sizes, 1)]


def test_what_is_held_at_once_is_all_there():
    sizes = [1000, 20_000, 300, 4096]
    held = kept_heap(blocks(sizes))
    assert sum(sizes) <= held <= sum(sizes) + len(sizes) * (ALIGNED + 2 * UNIT)


def test_a_block_takes_the_place_of_a_larger_one_that_was_freed():
    events = [(1, 10_000), (2, 50), (1, 0), (3, 9_000)]
    assert kept_heap(events) == kept_heap(events[:2])


def test_what_lies_behind_everything_is_given_back():
    heap = Heap()
    heap.take(1, 10_000)
    heap.free(1)
    assert heap.top <= 2 * ALIGNED


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 10**6)), max_size=200), st.data())
def test_no_two_blocks_overlap_and_nothing_is_lost(steps, data):
    heap, held = Heap(data.draw(st.integers(0, 10))), {}
    for key, size in steps:
        if key in held:
            heap.free(key)
            del held[key]
        else:
            heap.take(key, size)
            held[key] = size
        places = sorted(heap._taken.values())
        assert all(a + n <= b for (a, n), (b, _) in pairwise(places))
        assert heap.most >= heap.top >= sum(held.values())
        free = sum(size for size, _ in heap._pieces)
        assert sum(n for _, n in places) + free <= heap.top
        assert len(heap._pieces) == len(heap._begins) == len(heap._ends)


def test_a_kept_heap_becomes_larger_than_what_is_ever_alive():
    draw, events, alive, most, sizes = random.Random(0), [], 0, 0, {}
    for key in range(2000):
        size = draw.choice([10_000, 40_000, 160_000])
        events.append((key, size))
        sizes[key] = size
        alive += size
        most = max(most, alive)
        while len(sizes) > 40:
            gone = draw.choice(list(sizes))
            alive -= sizes.pop(gone)
            events.append((gone, 0))
    assert most < kept_heap(events) < 5 * most
