"""Batches: whole epochs, entered anywhere."""

import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convsmith.data.augment import Augment
from convsmith.data.batches import EvalBatches, Loading, TrainBatches
from convsmith.data.images import Images
from convsmith.data.normalise import Normalise
from convsmith.errors import DataError

CPU = torch.device("cpu")
IMAGES = Images(torch.randint(0, 256, (50, 1, 6, 6), dtype=torch.uint8), torch.arange(50))


def batches(images=IMAGES, seed=0, augment=None, *, batch_size=8, **more):
    augment = augment or Augment()
    return TrainBatches(
        images,
        Normalise.measure(images),
        batch_size=batch_size,
        augment=augment,
        seed=seed,
        device=CPU,
        **more,
    )


def labels(epoch):
    return torch.cat([labels for _, labels in epoch]).tolist()


def test_an_epoch_shows_no_image_twice_and_leaves_out_only_what_fills_no_batch():
    seen = labels(batches().epoch(0))
    assert len(seen) == len(set(seen)) == 48 == 8 * batches().steps_per_epoch


def test_epochs_and_seeds_differ_and_equal_ones_do_not():
    orders = [labels(batches(seed=seed).epoch(epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert labels(batches().epoch(1)) == orders[1]


@pytest.mark.parametrize("first", range(7))
def test_an_epoch_entered_late_is_the_rest_of_it(first):
    augment = Augment(crop=1, flip=0.5, rotation=30)
    whole = list(batches(augment=augment).epoch(3))[first:]
    rest = list(batches(augment=augment).epoch(3, first))
    assert len(rest) == len(whole) == 6 - first
    for (images, labels), (same, too) in zip(whole, rest, strict=True):
        assert torch.equal(images, same)
        assert torch.equal(labels, too)


def test_images_belong_to_their_labels_and_are_normalised():
    normalise = Normalise.measure(IMAGES)
    for images, labels in batches().epoch(0):
        assert torch.equal(images, normalise(IMAGES.pixels[labels]))


def test_the_layout_is_the_one_asked_for():
    images = Images(torch.zeros(16, 3, 6, 6, dtype=torch.uint8), torch.zeros(16).long())
    for augment in (Augment(), Augment(crop=1), Augment(rotation=5)):
        pixels, _ = next(
            batches(images, augment=augment, memory_format=torch.channels_last).epoch(0)
        )
        assert pixels.is_contiguous(memory_format=torch.channels_last)
        assert pixels.dtype == torch.float32


def test_a_set_smaller_than_a_batch_is_one_batch():
    few = batches(IMAGES.select(torch.arange(5)))
    assert few.steps_per_epoch == 1
    assert sorted(labels(few.epoch(0))) == [0, 1, 2, 3, 4]


def test_no_image_is_an_error():
    with pytest.raises(DataError, match="no image"):
        batches(IMAGES.select(torch.arange(0)))


def test_evaluation_sees_every_image_once_in_order():
    found = EvalBatches(IMAGES, Normalise.measure(IMAGES), batch_size=8, device=CPU)
    assert labels(found) == list(range(50))
    assert [len(labels) for _, labels in found] == [8] * 6 + [2]
    assert len(found) == 7
    assert found.count == 50


@settings(deadline=None)
@given(
    count=st.integers(1, 40), size=st.integers(1, 45), seed=st.integers(0, 9), epoch=st.integers(0)
)
def test_any_epoch_is_a_permutation_less_its_remainder(count, size, seed, epoch):
    images = Images(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), torch.arange(count))
    train = batches(images, seed, batch_size=size)
    parts = [labels.tolist() for _, labels in train.epoch(epoch)]
    seen = [label for part in parts for label in part]
    size = min(size, count)
    assert {len(part) for part in parts} == {size}
    assert len(parts) == train.steps_per_epoch == count // size
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(count))
    assert count - len(seen) < size


def test_a_whole_number_of_batches_shows_every_image():
    train = batches(batch_size=10)
    for epoch in range(5):
        assert sorted(labels(train.epoch(epoch))) == list(range(50))


def test_what_is_left_out_is_another_each_epoch():
    train = batches()
    left_out = {frozenset(range(50)) - frozenset(labels(train.epoch(e))) for e in range(20)}
    assert {len(images) for images in left_out} == {2}
    assert len(left_out) > 15


def test_equal_seeds_give_equal_batches_and_another_seed_other_changes():
    augment = Augment(crop=2, flip=0.5, rotation=15, translation=0.1)
    whole = Images(IMAGES.pixels[:1].expand(50, 1, 6, 6).contiguous(), IMAGES.labels)

    def pixels(seed, epoch):
        train = batches(whole, seed, augment)
        return torch.cat([images for images, _ in train.epoch(epoch)])

    assert torch.equal(pixels(0, 2), pixels(0, 2))
    assert not torch.equal(pixels(0, 2), pixels(1, 2))
    assert not torch.equal(pixels(0, 2), pixels(0, 3))
    first, second = pixels(0, 2)[:8], pixels(0, 2)[8:16]
    assert not torch.equal(first, second)  # each step draws for itself


def test_epochs_do_not_depend_on_those_before_nor_on_global_random_numbers():
    augment = Augment(crop=1, flip=0.5)
    train = batches(augment=augment)
    list(train.epoch(0))
    iterator = train.epoch(7)
    next(iterator)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    late = [images for images, _ in iterator]
    assert torch.equal(torch.get_rng_state(), state)
    fresh = [images for images, _ in batches(augment=augment).epoch(7, 1)]
    assert all(torch.equal(a, b) for a, b in zip(late, fresh, strict=True))


def test_the_images_in_memory_are_not_changed_by_training_on_them():
    before = IMAGES.pixels.clone()
    for images, found in batches(augment=Augment(crop=1, flip=1.0)).epoch(0):
        images.zero_()
        found.zero_()
    for images, _ in EvalBatches(IMAGES, Normalise.measure(IMAGES), batch_size=50, device=CPU):
        images.zero_()
    assert torch.equal(IMAGES.pixels, before)
    assert torch.equal(IMAGES.labels, torch.arange(50))


@pytest.mark.parametrize("size", [1, 7, 50, 64])
def test_evaluation_in_batches_of_any_size_is_the_whole_set_at_once(size):
    normalise = Normalise.measure(IMAGES)
    found = EvalBatches(IMAGES, normalise, batch_size=size, device=CPU)
    for _ in range(2):
        assert torch.equal(torch.cat([images for images, _ in found]), normalise(IMAGES.pixels))
    assert len(list(found)) == len(found)


def test_evaluation_of_nothing_is_no_batch():
    none = IMAGES.select(torch.arange(0))
    found = EvalBatches(none, Normalise((0.0,), (1.0,)), batch_size=8, device=CPU)
    assert (len(found), found.count, list(found)) == (0, 0, [])


def test_evaluation_has_the_layout_asked_for():
    images = Images(torch.zeros(5, 3, 6, 6, dtype=torch.uint8), torch.zeros(5).long())
    layout = torch.channels_last
    found = EvalBatches(
        images, Normalise.measure(images), batch_size=2, device=CPU, memory_format=layout
    )
    assert all(pixels.is_contiguous(memory_format=layout) for pixels, _ in found)


MIXED = Augment(crop=1, flip=0.5, rotation=10, mixup=0.5, cutmix=1.0)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", [Augment(crop=1, rotation=30), MIXED])
def test_streamed_batches_are_those_of_memory_bit_for_bit(workers, augment):
    streamed = batches(
        augment=augment, classes=50, loading=Loading(stream=True, workers=workers, prefetch=2)
    )
    plain = batches(augment=augment, classes=50)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for epoch, first in ((0, 0), (0, 3), (1, 0), (4, 5)):
        pairs = zip(streamed.epoch(epoch, first), plain.epoch(epoch, first), strict=True)
        for found, expected in pairs:
            assert torch.equal(found[0], expected[0])
            assert torch.equal(found[1], expected[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_that_was_left_does_not_spoil_the_next():
    streamed = batches(loading=Loading(stream=True, workers=2))
    next(streamed.epoch(0))
    assert labels(streamed.epoch(1)) == labels(batches().epoch(1))
    deadline = time.monotonic() + 10
    while any(each.name.startswith("reading") for each in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_error_while_reading_ahead_is_raised_where_the_batch_is_asked_for():
    streamed = batches(loading=Loading(stream=True, workers=2))
    reader = streamed._reader.read([torch.arange(2), torch.tensor([10**6])])
    next(reader)
    with pytest.raises(IndexError, match="index 1000000 is out of bounds"):
        next(reader)


@pytest.mark.parametrize("augment", [Augment(crop=1, rotation=30), MIXED])
@pytest.mark.parametrize("world", [2, 4])
def test_the_parts_of_several_processes_are_the_batch_of_one(augment, world):
    whole = list(batches(augment=augment, classes=50).epoch(2))
    parts = [
        list(batches(augment=augment, classes=50, rank=rank, world=world).epoch(2))
        for rank in range(world)
    ]
    for step, (images, targets) in enumerate(whole):
        for rank in range(world):
            torch.testing.assert_close(parts[rank][step][0], images[rank::world])
            assert torch.equal(parts[rank][step][1], targets[rank::world])


def test_balanced_sampling_shows_every_class_alike():
    few = Images(IMAGES.pixels, torch.tensor([0] * 45 + [1] * 5))
    seen = [label for epoch in range(40) for label in labels(balanced(few).epoch(epoch))]
    assert 0.45 < sum(seen) / len(seen) < 0.55
    assert labels(balanced(few).epoch(3)) == labels(balanced(few).epoch(3))
    assert labels(balanced(few).epoch(3)) != labels(balanced(few).epoch(4))


def balanced(images):
    return batches(images, sampling="balanced")


def test_rows_of_a_larger_tensor_are_found():
    rows = torch.tensor([3, 40, 7, 11])
    some = IMAGES.select(rows)
    assert some.pixels is IMAGES.pixels
    pixels, found = some.take(torch.tensor([1, 2]))
    assert found.tolist() == [40, 7]
    assert torch.equal(pixels, IMAGES.pixels[[40, 7]])
    assert some.select(torch.tensor([2, 0])).labels.tolist() == [7, 3]
    moved = some.to(torch.device("meta"))
    assert moved.pixels.shape == (4, 1, 6, 6)
    assert some.nbytes == 4 * 36


def test_a_checksum_is_that_of_pixels_labels_and_order():
    some = IMAGES.select(torch.arange(20))
    same = Images(IMAGES.pixels[:20].clone(), IMAGES.labels[:20].clone())
    assert some.checksum() == same.checksum()
    others = [
        IMAGES.select(torch.arange(19)),
        IMAGES.select(torch.arange(20).flip(0)),
        Images(same.pixels, same.labels + 1),
        Images(255 - same.pixels, same.labels),
    ]
    known = [Images(IMAGES.pixels, IMAGES.labels, None, digest) for digest in "ab"]
    sums = {each.checksum() for each in (some, *others, *known)}
    assert len(sums) == 7
