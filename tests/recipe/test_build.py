"""What a recipe becomes: parts, losses and batches that follow its words."""

import pytest
import torch

from convsmith.data.images import Images, Source
from convsmith.errors import DataError, UserError
from convsmith.recipe.build import augmentation, build_job, build_loss, build_model, split
from convsmith.recipe.load import load_recipe

COUNTS = (60, 30, 10)
LABELS = torch.cat([torch.full((count,), label) for label, count in enumerate(COUNTS)])
PIXELS = torch.randint(0, 256, (100, 1, 8, 8), dtype=torch.uint8)
CLASSES = ("a", "b", "c")


def source(**more):
    given = {"train": Images(PIXELS, LABELS), "test": None, "mirrored": True} | more
    return Source("own", CLASSES, **given)


def recipe(*sets):
    fixed = ("data.source=own", "train.precision=fp32", "train.memory_format=contiguous")
    return load_recipe("digits", sets=(*fixed, *sets)).recipe


def test_a_test_part_is_split_off_first_then_validation():
    parts = split(recipe("data.test=0.2", "data.validation=0.25"), source())
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [60, 20, 20]
    rows = [set(part.rows.tolist()) for part in (parts.train, parts.validation, parts.test)]
    assert set.union(*rows) == set(range(100))
    for part in (parts.validation, parts.test):
        assert part.labels.bincount().tolist() == [12, 6, 2]


def test_parts_that_are_given_are_kept():
    given = Images(PIXELS[:9], LABELS[:9])
    parts = split(recipe("data.validation=0.5"), source(validation=given, test=given))
    assert parts.validation is given
    assert parts.test is given
    assert len(parts.train) == 100


def test_groups_stay_together_in_all_three_parts():
    groups = torch.arange(100) // 4
    parts = split(recipe("data.test=0.3", "data.validation=0.3"), source(groups=groups))
    found = [
        set(groups[part.rows].tolist()) for part in (parts.train, parts.validation, parts.test)
    ]
    assert sum(map(len, found)) == 25
    assert set.union(*found) == set(range(25))


def test_normalisation_is_measured_on_training_images_or_as_said():
    parts = split(recipe("data.validation=0.2"), source())
    pixels, _ = parts.train.take(slice(None))
    assert parts.normalise.mean[0] == pytest.approx(float(pixels.double().mean() / 255))
    said = split(recipe("data.mean=[0.5]", "data.std=[0.25]"), source()).normalise
    assert (said.mean, said.std) == ((0.5,), (0.25,))
    with pytest.raises(DataError, match="have 3 and 3 numbers, the images have 1 channels"):
        split(recipe("data.mean=[0.5,0.5,0.5]", "data.std=[1,1,1]"), source())


def test_a_normalisation_that_is_said_means_images_from_0_to_1_and_points_as_they_are():
    points = torch.tensor([[[[3.0]], [[-5.0]]]]).repeat(100, 1, 1, 1)
    for pixels, mean, expected in (
        (PIXELS, "0.5", (PIXELS / 255 - 0.5) / 0.25),
        (points, "1.0,1.0", (points - 1) / 0.25),
    ):
        stds = mean.replace("1.0", "0.25").replace("0.5", "0.25")
        chosen = recipe(f"data.mean=[{mean}]", f"data.std=[{stds}]")
        normalise = split(chosen, source(train=Images(pixels, LABELS))).normalise
        torch.testing.assert_close(normalise(pixels), expected)


def test_weights_of_classes_are_the_inverse_of_their_numbers():
    chosen = recipe("data.balance=weights", "data.validation=0", "data.test=0.2")
    parts = split(chosen, source())
    weights = build_loss(chosen, parts).weights
    assert parts.train.labels.bincount().tolist() == [48, 24, 8]
    torch.testing.assert_close(
        weights * torch.tensor([48.0, 24, 8]), torch.full((3,), weights[0] * 48)
    )
    assert weights.mean() == pytest.approx(1)
    assert build_loss(recipe(), parts).weights is None


def test_balanced_sampling_reaches_the_batches():
    seen = {}
    for balance in ("none", "sampling"):
        chosen = recipe(f"data.balance={balance}", "data.validation=0", "train.batch_size=20")
        parts = split(chosen, source())
        cpu = torch.device("cpu")
        model = build_model(chosen, 3, 1, (8, 8))
        job = build_job(chosen, parts, source(), cpu, model)
        labels = [labels for epoch in range(20) for _, labels in job.batches.epoch(epoch)]
        seen[balance] = torch.cat(labels).bincount(minlength=3) / sum(map(len, labels))
    assert seen["none"][2] < 0.13
    assert seen["sampling"][2] > 0.28


def test_levels_may_have_a_meaning_of_their_own():
    own = "data.levels={moderate: {rotation: 33}}"
    assert augmentation(recipe("data.augment=moderate", own), source()).rotation == 33
    assert augmentation(recipe("data.augment=light", own), source()).flip == 0.5
    with pytest.raises(UserError, match="100 pixels of padding on images of 8x8"):
        augmentation(recipe("data.augment={crop: 100}"), source())


def test_images_of_one_pixel_are_not_called_points():
    dot = source(train=Images(PIXELS[:, :, :1, :1], LABELS))
    with pytest.raises(UserError, match="holds images of one pixel, which are not augmented"):
        augmentation(recipe("data.augment={flip: 0.5}"), dot)


@pytest.mark.parametrize("known", [True, False])
def test_levels_flip_what_the_data_or_the_recipe_says(known):
    given = source(mirrored=known)
    flips = [
        augmentation(recipe("data.augment=light", *more), given).flip
        for more in ((), ("data.mirrored=true",), ("data.mirrored=false",))
    ]
    assert flips == [0.5 if known else 0.0, 0.5, 0.0]
