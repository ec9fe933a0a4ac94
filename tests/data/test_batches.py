"""Batches: whole epochs, entered anywhere."""

import pytest
import torch

from convsmith.data.augment import Augment
from convsmith.data.batches import EvalBatches, TrainBatches
from convsmith.data.images import Images
from convsmith.data.normalise import Normalise
from convsmith.errors import DataError

CPU = torch.device("cpu")
IMAGES = Images(torch.randint(0, 256, (50, 1, 6, 6), dtype=torch.uint8), torch.arange(50))


def batches(images=IMAGES, seed=0, augment=None, **more):
    augment = augment or Augment()
    return TrainBatches(
        images,
        Normalise.measure(images),
        batch_size=8,
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
