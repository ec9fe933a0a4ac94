"""The official files of MNIST and Fashion-MNIST, and broken ones."""

import gzip
import struct

import pytest
import torch
import torchvision

from convsmith.data import load_source
from convsmith.errors import DataError

NAMES = {
    "train-images-idx3-ubyte": (3, (6, 4, 5)),
    "train-labels-idx1-ubyte": (1, (6,)),
    "t10k-images-idx3-ubyte": (3, (6, 4, 5)),
    "t10k-labels-idx1-ubyte": (1, (6,)),
}


def idx(shape, value=1):
    header = struct.pack(">BBBB", 0, 0, 8, len(shape)) + struct.pack(f">{len(shape)}I", *shape)
    return header + bytes([value]) * torch.Size(shape).numel()


@pytest.fixture
def root(tmp_path):
    """A folder with a tiny whole data set."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, (_, shape) in NAMES.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(shape)))
    return tmp_path


def test_plain_and_compressed_files_are_read(root):
    compressed = load_source("mnist", root)
    for path in list((root / "MNIST" / "raw").iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    plain = load_source("mnist", root)
    assert torch.equal(plain.train.pixels, compressed.train.pixels)
    assert plain.train.pixels.shape == (6, 1, 4, 5)


BROKEN = {
    "cut off": (
        "train-images-idx3-ubyte",
        lambda: gzip.compress(idx((6, 4, 5)))[:-12],
    ),
    "short": ("train-images-idx3-ubyte", lambda: gzip.compress(idx((6, 4, 5))[:-1])),
    "long": ("train-images-idx3-ubyte", lambda: gzip.compress(idx((6, 4, 5)) + b"x")),
    "not gzip": ("t10k-labels-idx1-ubyte", lambda: b"<html>not found</html>"),
    "empty": ("t10k-labels-idx1-ubyte", lambda: b""),
    "empty inside": ("t10k-labels-idx1-ubyte", lambda: gzip.compress(b"")),
    "wrong magic": (
        "train-labels-idx1-ubyte",
        lambda: gzip.compress(b"\1\2\3\4" + idx((6,))[4:]),
    ),
    "wrong dimensions": ("train-images-idx3-ubyte", lambda: gzip.compress(idx((6, 20)))),
    "too many labels": ("train-labels-idx1-ubyte", lambda: gzip.compress(idx((7,)))),
    "unknown label": ("train-labels-idx1-ubyte", lambda: gzip.compress(idx((6,), 10))),
    "lying length": (
        "train-images-idx3-ubyte",
        lambda: gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**15, 2**15)),
    ),
    "no image": ("train-images-idx3-ubyte", lambda: gzip.compress(idx((0, 4, 5)))),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_named(root, fault):
    name, content = BROKEN[fault]
    (root / "MNIST" / "raw" / f"{name}.gz").write_bytes(content())
    with pytest.raises(DataError, match=name):
        load_source("mnist", root)


def test_a_missing_file_is_named_and_a_missing_set_told_where_to_be(root, tmp_path):
    (root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="has no t10k-labels-idx1-ubyte"):
        load_source("mnist", root)
    with pytest.raises(DataError, match="mnist is not found: looked in"):
        load_source("mnist", tmp_path / "elsewhere")
    with pytest.raises(DataError, match="did you mean `mnist`"):
        load_source("minst", root)


def test_mnist_is_what_torchvision_reads(data_root, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    folder = data_root / "mnist" if (data_root / "mnist").is_dir() else data_root / "MNIST/raw"
    for path in folder.glob("*ubyte.gz"):
        (raw / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    ours = load_source("mnist", data_root)
    for train, part in ((True, ours.train), (False, ours.test)):
        theirs = torchvision.datasets.MNIST(tmp_path, train=train)
        assert torch.equal(part.pixels[:, 0], theirs.data)
        assert torch.equal(part.labels, theirs.targets)


def test_fashion_mnist_has_its_sizes_and_classes(fashion_root):
    source = load_source("fashion_mnist", fashion_root)
    assert (len(source.train), len(source.test)) == (60_000, 10_000)
    assert source.classes[9] == "ankle boot"
    assert source.train.labels.bincount().tolist() == [6000] * 10
    assert source.mirrored


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    source, theirs = load_source("digits", None), load_digits()
    assert (len(source.train), len(source.test)) == (1438, 359)
    ours = torch.cat([source.train.pixels, source.test.pixels]).flatten(1)
    expected = torch.from_numpy((theirs.images * 255 / 16 + 0.5).astype("uint8")).flatten(1)
    assert sorted(map(bytes, ours.numpy())) == sorted(map(bytes, expected.numpy()))
    assert source.test.labels.bincount().min() >= 34


@pytest.mark.parametrize("name", ["moons", "circles"])
def test_points_are_two_classes_that_can_be_told_apart(name):
    source = load_source(name, None)
    assert source.train.pixels.shape == (2000, 2, 1, 1)
    assert source.train.labels.bincount().tolist() == [1000, 1000]
    assert not torch.equal(source.train.pixels[:1000], source.test.pixels)
