"""The official files of MNIST and Fashion-MNIST, and broken ones."""

import gzip
import struct
from pathlib import Path

import pytest
import torch
import torchvision

from convsmith.data import load_source
from convsmith.data.idx import read_idx
from convsmith.errors import DataError, DataNotFound

FASHION = Path("/usr/share/datasets/fashion-mnist")
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
    parts = [part.take(slice(None))[0] for part in (source.train, source.test)]
    ours = torch.cat(parts).flatten(1)
    expected = torch.from_numpy((theirs.images * 255 / 16 + 0.5).astype("uint8")).flatten(1)
    assert sorted(map(bytes, ours.numpy())) == sorted(map(bytes, expected.numpy()))
    assert source.test.labels.bincount().min() >= 34


@pytest.mark.parametrize("name", ["moons", "circles"])
def test_points_are_two_classes_that_can_be_told_apart(name):
    source = load_source(name, None)
    assert source.train.pixels.shape == (2000, 2, 1, 1)
    assert source.train.labels.bincount().tolist() == [1000, 1000]
    assert not torch.equal(source.train.pixels[:1000], source.test.pixels)


def test_mnist_has_its_sizes_and_classes(data_root):
    source = load_source("mnist", data_root)
    assert source.train.pixels.shape == (60_000, 1, 28, 28)
    assert source.test.pixels.shape == (10_000, 1, 28, 28)
    assert source.train.pixels.dtype == torch.uint8
    assert source.train.labels.dtype == torch.int64
    assert source.classes == tuple("0123456789")
    ones = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert source.train.labels.bincount().tolist() == ones
    assert source.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert not source.mirrored


def test_fashion_mnist_is_what_torchvision_reads(fashion_root, tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in FASHION.glob("*ubyte.gz"):
        (raw / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    ours = load_source("fashion_mnist", tmp_path)
    for train, part in ((True, ours.train), (False, ours.test)):
        theirs = torchvision.datasets.FashionMNIST(tmp_path, train=train)
        assert torch.equal(part.pixels[:, 0], theirs.data)
        assert torch.equal(part.labels, theirs.targets)
    names = [name.lower() for name in theirs.classes]
    assert list(ours.classes) == names
    system = load_source("fashion_mnist", fashion_root)
    assert torch.equal(system.test.pixels, ours.test.pixels)


def test_values_keep_their_places(tmp_path):
    path = tmp_path / "values"
    path.write_bytes(idx((2, 3, 4))[:16] + bytes(range(24)))
    expected = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4)
    assert torch.equal(read_idx(path, 3), expected)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_file_cut_off_anywhere_is_named_and_a_whole_one_read(tmp_path, compressed):
    whole = idx((3, 4, 5))
    content = gzip.compress(whole) if compressed else whole
    path = tmp_path / "cut-off"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match="cut-off"):
            read_idx(path, 3)
    path.write_bytes(content)
    assert read_idx(path, 3).shape == (3, 4, 5)


@pytest.mark.parametrize("place", range(4))
def test_every_byte_of_the_magic_number_counts(tmp_path, place):
    content = bytearray(idx((3,)))
    content[place] ^= 5
    path = tmp_path / "magic"
    path.write_bytes(content)
    with pytest.raises(DataError, match="magic is not an IDX file of bytes in 1 dim"):
        read_idx(path, 1)


@pytest.mark.parametrize("layout", ["MNIST/raw", "mnist"])
def test_the_files_are_found_in_each_of_the_usual_folders(root, tmp_path, layout):
    other = tmp_path / "other"
    (other / layout).mkdir(parents=True, exist_ok=True)
    for path in (root / "MNIST" / "raw").iterdir():
        (other / layout / path.name).symlink_to(path)
    assert len(load_source("mnist", other).train) == 6


def test_an_error_is_one_line(root):
    for fault in BROKEN:
        name, content = BROKEN[fault]
        path = root / "MNIST" / "raw" / f"{name}.gz"
        good = path.read_bytes()
        path.write_bytes(content())
        with pytest.raises(DataError) as caught:
            load_source("mnist", root)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        path.write_bytes(good)
    load_source("mnist", root)


def test_a_compressed_file_with_a_byte_changed_is_named(tmp_path):
    content = gzip.compress(idx((3, 4, 5))[:16] + bytes(range(60)))
    path = tmp_path / "changed"
    for place in range(10, len(content)):  # after the gzip header, where a name or time may change
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        with pytest.raises(DataError, match="changed"):
            read_idx(path, 3)


def test_sizes_whose_product_is_too_large_for_an_integer_are_a_lie_too(root):
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**30, 2**30, 16)
    (root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header))
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        load_source("mnist", root)


def test_another_set_in_the_data_folder_itself_is_not_taken_for_mnist(root, tmp_path):
    (root / "MNIST" / "raw").rename(tmp_path / "clothes")
    with pytest.raises(DataNotFound, match="mnist is not found"):
        load_source("mnist", tmp_path / "clothes")
