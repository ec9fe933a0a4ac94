"""CIFAR from its official files, from folders of images, and from files that are neither."""

import hashlib
import pickle

import numpy
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100

from convsmith.data import load_source
from convsmith.data.cifar import MD5, verify_official
from convsmith.errors import DataError

DRAW = numpy.random.default_rng(0)


def batch(count, classes, key):
    data = DRAW.integers(0, 256, (count, 3072), dtype=numpy.uint8)
    return {"data": data, key: [n % classes for n in range(count)]}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=2))


@pytest.fixture
def official(tmp_path):
    """A small CIFAR-10 in the official layout, and its batches."""
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    batches = {name: batch(20, 10, "labels") for name in names}
    for name, value in batches.items():
        write(tmp_path / "cifar-10-batches-py" / name, value)
    return tmp_path, batches


def test_official_files_are_read_in_their_order(official):
    root, batches = official
    source = load_source("cifar10", root)
    assert (len(source.train), len(source.test)) == (100, 20)
    assert source.classes[3] == "cat"
    expected = batches["data_batch_2"]["data"][4].reshape(3, 32, 32)
    assert numpy.array_equal(source.train.pixels[24].numpy(), expected)
    assert source.train.labels[:12].tolist() == [*range(10), 0, 1]


def test_they_are_read_as_torchvision_reads_them(official):
    from torchvision.datasets import CIFAR10

    class Unchecked(CIFAR10):
        def _check_integrity(self):
            return True

        def _load_meta(self):
            self.classes = []

    root, _ = official
    theirs = Unchecked(root, train=True)
    ours = load_source("cifar10", root).train
    assert numpy.array_equal(ours.pixels.permute(0, 2, 3, 1).numpy(), theirs.data)
    assert ours.labels.tolist() == theirs.targets


def test_cifar100_has_its_own_names(tmp_path):
    folder = tmp_path / "cifar-100-python"
    for name in ("train", "test"):
        write(folder / name, batch(200, 100, "fine_labels"))
    write(folder / "meta", {"fine_label_names": [f"thing {n}" for n in range(100)]})
    source = load_source("cifar100", tmp_path)
    assert source.classes[99] == "thing 99"
    assert source.test.labels.max() == 99


class Harm:
    """Runs a command when it is unpickled by somebody careless."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_that_would_run_code_is_refused_and_runs_nothing(official, tmp_path):
    root, _ = official
    write(root / "cifar-10-batches-py" / "data_batch_1", {"data": Harm(tmp_path / "harm")})
    with pytest.raises(DataError, match="has no place in a data set"):
        load_source("cifar10", root)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        {},
        {"data": numpy.zeros((5, 3072), dtype=numpy.uint8), "labels": [0] * 4},
        {"data": numpy.zeros((5, 3072), dtype=numpy.uint8), "labels": [10] * 5},
        {"data": numpy.zeros((5, 3071), dtype=numpy.uint8), "labels": [0] * 5},
        {"data": numpy.zeros((5, 3072), dtype=numpy.float32), "labels": [0] * 5},
    ],
)
def test_files_with_something_else_in_them_are_said(official, value):
    root, _ = official
    write(root / "cifar-10-batches-py" / "data_batch_3", value)
    with pytest.raises(DataError, match="data_batch_3"):
        load_source("cifar10", root)


def test_half_a_file_and_none_are_said(official):
    root, _ = official
    path = root / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="test_batch is not one of the official files"):
        load_source("cifar10", root)
    path.unlink()
    with pytest.raises(DataError, match="test_batch cannot be read: No such file"):
        load_source("cifar10", root)


def test_a_folder_of_images_will_do(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = load_source("cifar10", folder_of_images(tmp_path)).classes
    source = load_source("cifar10", tmp_path)
    assert names == source.classes
    assert (len(source.train), len(source.test)) == (20, 10)
    with Image.open(tmp_path / "cifar10" / "train" / "cat" / "1.png") as image:
        expected = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)
    pixels, labels = source.train.take(torch.tensor([7]))
    assert torch.equal(pixels[0], expected)
    assert source.classes[labels[0]] == "cat"


def folder_of_images(root):
    from convsmith.data.cifar import CLASSES10

    for part, count in (("train", 2), ("test", 1)):
        for name in CLASSES10:
            for number in range(count):
                path = root / "cifar10" / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(DRAW.integers(0, 256, (32, 32, 3), dtype=numpy.uint8)).save(path)
    return root


def test_too_few_classes_are_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder_of_images(tmp_path)
    (tmp_path / "cifar10" / "train").rename(tmp_path / "all")
    for name in ("cat", "dog"):
        (tmp_path / "cifar10" / "train").mkdir(exist_ok=True)
        (tmp_path / "all" / name).rename(tmp_path / "cifar10" / "train" / name)
        (tmp_path / "cifar10" / "test" / name).rename(tmp_path / f"{name}-test")
    for path in (tmp_path / "cifar10" / "test").iterdir():
        path.rename(tmp_path / path.name)
    for name in ("cat", "dog"):
        (tmp_path / f"{name}-test").rename(tmp_path / "cifar10" / "test" / name)
    with pytest.raises(DataError, match="has 2 classes, cifar10 has 10"):
        load_source("cifar10", tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_without_files_the_way_to_get_them_is_said(tmp_path, name):
    with pytest.raises(DataError, match=rf"{name} is not found: looked in .*python\.tar\.gz"):
        load_source(name, tmp_path)


def test_files_that_are_not_the_published_ones_are_found(official, monkeypatch):
    root, _ = official
    assert load_source("cifar10", root).notes == (
        "cifar10 has 100 and 20 images here, the published one 50,000 and 10,000: do not compare",
    )
    folder = root / "cifar-10-batches-py"
    (folder / "data_batch_4").unlink()
    for name in ("data_batch_1", "test_batch"):  # as if they were
        sum_ = hashlib.md5((folder / name).read_bytes()).hexdigest()
        monkeypatch.setitem(MD5, f"cifar-10-batches-py/{name}", sum_)
    found = [str(problem).partition("/")[2] for problem in verify_official("cifar10", root)]
    assert found == [
        "data_batch_2: is not the published file",
        "data_batch_3: is not the published file",
        "data_batch_4: cannot be read: No such file or directory",
        "data_batch_5: is not the published file",
    ]
    assert verify_official("cifar100", root) == verify_official("digits", root) == []


def test_the_checksums_are_those_of_torchvision():
    for ours, theirs in (("cifar-10-batches-py", CIFAR10), ("cifar-100-python", CIFAR100)):
        for name, expected in theirs.train_list + theirs.test_list:
            assert MD5[f"{ours}/{name}"] == expected
