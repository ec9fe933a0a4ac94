"""A user's own tensors and data sets."""

import io
import re

import numpy
import pytest
import torch
import torchvision
from PIL import Image
from torch.utils.data import Subset, TensorDataset

from convsmith.data.decode import decode
from convsmith.data.images import Images
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
    pixels = own_source((array, LABELS), GOOD).train.pixels
    assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_a_source_keeps_what_it_is_called_and_whether_it_may_be_mirrored():
    source = own_source(GOOD, GOOD, name="cats", mirrored=True)
    assert (source.name, source.mirrored) == ("cats", True)
    plain = own_source(GOOD, GOOD)
    assert (plain.name, plain.mirrored) == ("own", False)


def test_images_from_another_source_and_torch_data_sets_are_taken():
    images = Images(PIXELS, LABELS)
    for given in (images, TensorDataset(PIXELS, LABELS), Subset(TensorDataset(*GOOD), range(6))):
        source = own_source(given, GOOD)
        assert torch.equal(source.train.pixels, PIXELS)
        assert torch.equal(source.train.labels, LABELS)


def test_a_data_set_of_torchvision_is_taken():
    class Fake(torchvision.datasets.VisionDataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return self.transform(Image.fromarray(PIXELS[index].permute(1, 2, 0).numpy())), index

    transform = torchvision.transforms.ToTensor()
    source = own_source(Fake("/nowhere", transform=transform), GOOD)
    assert torch.equal(source.train.pixels, PIXELS)
    assert source.classes == tuple("012345")


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3)]
)
def test_pillow_images_become_grey_or_rgb(mode, channels):
    white = Image.new("RGB", (5, 4), "white").convert(mode)
    black = Image.new("RGB", (5, 4), "black").convert(mode)
    items = [(white, 0), (black, 1)]
    source = own_source(items, items)
    assert source.train.pixels.shape == (2, channels, 4, 5)
    assert source.train.pixels.flatten(1).unique(dim=1).T.tolist() == [[255, 0]]


def test_floats_are_rounded_to_the_nearest_byte():
    levels = torch.arange(256) / 255
    image = (levels + 0.4 / 255).clamp(max=1).reshape(1, 16, 16)
    source = own_source([(image, 0), (image, 1)], [(image, 0), (image, 1)])
    assert source.train.pixels[0].flatten().tolist() == list(range(256))


def test_half_precision_floats_and_grey_arrays_are_taken():
    half = (torch.tensor([[[0.0, 0.5, 1.0]]]).half(), 0)
    array = (numpy.array([[0, 128, 255]], dtype=numpy.uint8), 1)
    source = own_source([half, array], [array, half])
    assert source.train.pixels.tolist() == [[[[0, 128, 255]]]] * 2


def test_labels_may_be_a_list_and_of_any_signed_type():
    for labels in (
        LABELS.tolist(),
        *(LABELS.to(t) for t in (torch.int8, torch.int16, torch.uint8)),
    ):
        source = own_source((PIXELS, labels), GOOD)
        assert source.train.labels.dtype == torch.int64
        assert torch.equal(source.train.labels, LABELS)


def test_the_classes_come_from_both_parts():
    source = own_source((PIXELS[:2], LABELS[:2]), GOOD)
    assert source.classes == ("0", "1", "2")


def test_the_part_at_fault_is_named():
    bad = (PIXELS.float(), LABELS)
    for parts, said in (((bad, GOOD), "train images"), ((GOOD, bad), "test images")):
        with pytest.raises(DataError, match=said):
            own_source(*parts)


def test_points_may_be_floats():
    points = torch.randn(6, 2, 1, 1)
    source = own_source((points, LABELS), (points, LABELS))
    assert torch.equal(source.train.pixels, points)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ((PIXELS[None], LABELS), r"must be \(N, C, H, W\)"),
        ((PIXELS.long(), LABELS), "must be uint8"),
        ((PIXELS, LABELS[:, None]), "labels of shape"),
        ((PIXELS, LABELS > 0), "whole numbers"),
        ((PIXELS, LABELS.to(torch.complex64)), "whole numbers"),
        ([(PIXELS[0] / 255 - 0.1, 0)], "from 0 to 1"),
        ([(image.permute(1, 2, 0).numpy() / 255, 0) for image in PIXELS], "must be uint8"),
        ([(PIXELS[0], 0, "extra")], "a pair"),
        ([(PIXELS[0], 0), (PIXELS[1],)], "a pair"),
        (iter([(PIXELS[0], 0)]), "a pair"),
        (None, "a pair"),
        ([(None, 0)], "an image is a NoneType"),
        ([(PIXELS[0], -3)], "0 or more, not -3"),
        ([(PIXELS[0, :1], 0)], r"training images are \(1, 4, 5\)"),
    ],
)
def test_more_of_what_cannot_be_used_is_refused_in_one_line(train, said):
    with pytest.raises(DataError, match=said) as caught:
        own_source(train, GOOD)
    assert "\n" not in str(caught.value)


def test_a_pillow_image_is_read_as_prediction_will_read_it():
    ramp = numpy.linspace(0, 65535, 64).astype(numpy.uint16).reshape(8, 8)
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    for image, channels in ((Image.fromarray(ramp), 1), (clear, 3)):
        items = [(image, 0), (image, 1)]
        found = own_source(items, items).train.pixels
        assert torch.equal(found[0], decode(image, channels, (8, 8)))


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64"])
def test_labels_of_any_whole_type_are_taken(kind):
    source = own_source((PIXELS, LABELS.numpy().astype(kind)), GOOD)
    assert torch.equal(source.train.labels, LABELS)


def test_arrays_may_be_flipped_or_read_only():
    array = PIXELS.permute(0, 2, 3, 1).numpy()
    flipped, fixed = array[:, ::-1], array.copy()
    fixed.flags.writeable = False
    for images in (flipped, fixed):
        items = list(zip(images, LABELS.tolist(), strict=True))
        found = own_source(items, items).train.pixels
        assert torch.equal(found, torch.from_numpy(images.copy()).permute(0, 3, 1, 2))
    assert len(own_source((PIXELS.numpy()[:, ::-1], LABELS), GOOD).train) == 6


@pytest.mark.parametrize(
    "train",
    [
        (["a", "b"], [0, 1]),
        (PIXELS, None),
        (PIXELS, ["a"] * 6),
        ([[1, 2], [3]], [0, 1]),
        {"images": PIXELS},
        [(PIXELS[0], "cat")],
        [(PIXELS[0], None)],
        [(PIXELS[0], 0.7)],
        [(PIXELS[0], float("nan"))],
        [(PIXELS[0], torch.tensor([0, 1]))],
        [(numpy.zeros(5, numpy.uint8), 0)],
        [(numpy.zeros((1, 2, 3, 4), numpy.uint8), 0)],
        [(torch.full((3, 4, 5), torch.nan), 0)],
        [(torch.zeros(3, 0, 5), 0)],
        (PIXELS[:, :, :0], LABELS),
    ],
)
def test_odd_images_and_labels_are_data_errors_too(train):
    with pytest.raises(DataError, match="train"):
        own_source(train, GOOD)


class Broken:
    def __len__(self):
        return 5

    def __getitem__(self, index):
        if index == 3:
            raise OSError("the disk is gone")
        return torch.zeros(1, 4, 4, dtype=torch.uint8), index % 2


@pytest.mark.parametrize(
    ("train", "options", "said"),
    [
        (Broken(), {}, "train: image 3 cannot be had: OSError: the disk is gone"),
        (
            [(torch.zeros(1, 4, 4, dtype=torch.uint8), 2**70)],
            {},
            "label 4611686018427387904: labels",
        ),
        ((torch.zeros(2, 1, 4, 4, dtype=torch.uint8), [0, 2**70]), {}, "cannot be made a tensor"),
        ((torch.zeros(2, 4, 4, dtype=torch.uint8), [0, 10**9]), {}, "label 1000000000: labels are"),
        ((torch.empty(2, 1, 4, 4, dtype=torch.uint8, device="meta"), [0, 1]), {}, "hold values"),
        ((torch.zeros(2, 1, 4, 4).to_sparse(), [0, 1]), {}, "plain tensor"),
        (None, {"classes": "ab"}, "a list of names"),
        (None, {"classes": [0, 1]}, "a list of names"),
        (None, {"classes": ["a", "a"]}, "the same name"),
    ],
)
def test_what_cannot_be_meant_is_said(train, options, said):
    good = (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))
    with pytest.raises(DataError, match=re.escape(said)):
        own_source(good if train is None else train, good, **options)


def test_a_users_own_picture_stays_as_it_was():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (6, 4)).save(file, "jpeg", exif=exif)
    picture = Image.open(file)
    data = [(picture, 0), (picture, 1)]
    assert own_source(data, data).train.image_size == (6, 4)
    assert picture.size == (6, 4)
