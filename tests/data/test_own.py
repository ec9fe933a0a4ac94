"""A user's own tensors and data sets."""

import numpy
import pytest
import torch
from PIL import Image

from convsmith.data.own import own_source
from convsmith.errors import DataError

PIXELS = torch.randint(0, 256, (6, 3, 4, 5), dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
GOOD = (PIXELS, LABELS)


def test_tensors_are_taken_as_they_are():
    source = own_source(GOOD, (PIXELS[:3], LABELS[:3]), classes=["a", "b", "c"])
    assert torch.equal(source.train.pixels, PIXELS)
    assert source.classes == ("a", "b", "c")
    assert len(source.test) == 3


def test_grey_images_get_their_channel_and_classes_their_numbers():
    source = own_source((PIXELS[:, 0], LABELS.numpy().astype("int32")), (PIXELS[:, 0], LABELS))
    assert source.train.channels == 1
    assert source.train.labels.dtype == torch.int64
    assert source.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    "as_item",
    [
        lambda image: image,
        lambda image: image.float() / 255,
        lambda image: image.permute(1, 2, 0).numpy(),
        lambda image: Image.fromarray(image.permute(1, 2, 0).numpy()),
    ],
    ids=["bytes", "floats", "array", "pillow"],
)
def test_every_kind_of_data_set_comes_to_the_same_bytes(as_item):
    items = [(as_item(image), int(label)) for image, label in zip(*GOOD, strict=True)]
    source = own_source(items, items)
    assert torch.equal(source.train.pixels, PIXELS)
    assert torch.equal(source.train.labels, LABELS)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ((PIXELS.float(), LABELS), "must be uint8"),
        ((PIXELS[0, 0], LABELS), r"must be \(N, C, H, W\)"),
        ((PIXELS[:0], LABELS[:0]), r"must be \(N, C, H, W\)"),
        ((PIXELS, LABELS[:5]), "6 images, labels of shape"),
        ((PIXELS, LABELS.float()), "whole numbers"),
        ((PIXELS, LABELS - 1), "0 or more, not -1"),
        ((PIXELS, LABELS * 0), "only one class"),
        ((PIXELS[:, :, :3], LABELS), r"test images \(3, 4, 5\)"),
        ([(PIXELS[0], 0), (PIXELS[1, :, :2], 1)], "one size"),
        ([(PIXELS[0].float(), 0)], "from 0 to 1"),
        ([("seven.png", 0)], "an image is a str"),
        ([PIXELS[0]], "a pair"),
        (3, "a pair"),
        ([], "a pair"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(train, said):
    test = GOOD if "one class" not in said else (PIXELS, LABELS * 0)
    with pytest.raises(DataError, match=said):
        own_source(train, test)


def test_a_label_beyond_the_classes_is_refused():
    with pytest.raises(DataError, match="label 2, but there are 2 classes"):
        own_source(GOOD, GOOD, classes=["a", "b"])


def test_arrays_need_not_be_contiguous():
    array = numpy.zeros((6, 3, 8, 10), dtype=numpy.uint8)[:, :, ::2, ::2]
    assert own_source((array, LABELS), GOOD).train.pixels.is_contiguous()
