"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), from the official files or a folder of images."""

import pickle
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from convsmith.data.download import checksum
from convsmith.data.files import Reading, files_source
from convsmith.data.images import Images, Say, Source
from convsmith.data.listing import Problem, list_folder
from convsmith.errors import DataError, DataNotFound

__all__ = ["cifar10", "cifar100", "verify_official"]

SIDE = 32
COUNTS = (50_000, 10_000)  # images to train and to test on, in both
MD5 = {  # of the official files, as their publisher's reader checks them
    "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
    "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
    "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
    "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
    "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "cifar-100-python/meta": "7973b15100ade9c7d40fb424638fde48",
}
CLASSES10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def cifar10(root: Path, say: Say) -> Source:
    """Return CIFAR-10: 50,000 and 10,000 photographs of 32x32 in 10 classes.

    Raises:
        DataError: the files are missing or broken.
    """
    official = root / "cifar-10-batches-py"
    if official.is_dir():
        parts = [[f"data_batch_{n}" for n in range(1, 6)], ["test_batch"]]
        train, test = (read_batches(official, names, "labels", 10) for names in parts)
        notes = notes_on("cifar10", train, test)
        return Source("cifar10", CLASSES10, train, test, mirrored=True, notes=notes)
    return from_folder("cifar10", root, ["cifar10", "cifar-10", "CIFAR10"], 10, say)


def cifar100(root: Path, say: Say) -> Source:
    """Return CIFAR-100: 50,000 and 10,000 photographs of 32x32 in 100 classes.

    Raises:
        DataError: the files are missing or broken.
    """
    official = root / "cifar-100-python"
    if official.is_dir():
        train, test = (
            read_batches(official, [name], "fine_labels", 100) for name in ("train", "test")
        )
        names = unpickle(official / "meta").get("fine_label_names")
        if not isinstance(names, list) or len(names) != 100:
            raise DataError(f"{official / 'meta'} does not name 100 classes")
        notes = notes_on("cifar100", train, test)
        return Source("cifar100", tuple(map(str, names)), train, test, mirrored=True, notes=notes)
    return from_folder("cifar100", root, ["cifar100", "cifar-100", "CIFAR100"], 100, say)


def notes_on(name: str, train: Images, test: Images) -> tuple[str, ...]:
    """Return what to say of a data set that is not all of the published one."""
    counts = (len(train), len(test))
    if counts == COUNTS:
        return ()
    found, published = (" and ".join(f"{n:,}" for n in each) for each in (counts, COUNTS))
    return (f"{name} has {found} images here, the published one {published}: do not compare",)


def verify_official(name: str, root: Path) -> list[Problem]:
    """Return which of the official files are not the published ones; none if there is no such."""
    folder = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}.get(name)
    if folder is None or not (root / folder).is_dir():
        return []
    problems = []
    for path, expected in MD5.items():
        if path.startswith(f"{folder}/"):
            try:
                same = checksum(root / path) == expected
            except OSError as error:
                problems.append(Problem(path, f"cannot be read: {error.strerror}"))
                continue
            if not same:
                problems.append(Problem(path, "is not the published file"))
    return problems


def from_folder(name: str, root: Path, folders: list[str], classes: int, say: Say) -> Source:
    """Return the data set from a folder of images by class."""
    official = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[name]
    found = next((root / each for each in folders if (root / each / "train").is_dir()), None)
    if found is None:
        places = ", ".join(str(root / each) for each in (official, folders[0]))
        raise DataNotFound(
            f"{name} is not found: looked in {places}. Training downloads it if it can; otherwise "
            f"unpack the official {official.replace('-batches-py', '-python')}.tar.gz into {root}, "
            "or put a folder "
            f"{folders[0]} with train/<class>/ and test/<class>/ there, or say where it is with "
            "--data-root"
        )
    listing = list_folder(found)
    reading = Reading(image_size=(SIDE, SIDE), channels=3)
    source = files_source(name, listing, reading, say, mirrored=True)
    if len(source.classes) != classes or source.test is None:
        raise DataError(f"{found} has {len(source.classes)} classes, {name} has {classes}")
    notes = notes_on(name, source.train, source.test)
    return replace(source, notes=(*source.notes, *notes))


def read_batches(folder: Path, names: list[str], key: str, classes: int) -> Images:
    """Return the images of some of the official files, one after another."""
    pixels: list[Tensor] = []
    labels: list[int] = []
    for name in names:
        batch = unpickle(folder / name)
        data, found = batch.get("data"), batch.get(key)
        fits = (
            isinstance(data, numpy.ndarray)
            and data.dtype == numpy.uint8
            and data.shape[1:] == (3 * SIDE * SIDE,)
            and isinstance(found, list)
            and len(found) == len(data)
            and all(isinstance(label, int) and 0 <= label < classes for label in found)
        )
        if not fits or data is None or found is None:
            raise DataError(f"{folder / name} does not hold images of 32x32 and their {key}")
        pixels.append(torch.from_numpy(data.reshape(-1, 3, SIDE, SIDE)))
        labels += found
    return Images(torch.cat(pixels), torch.tensor(labels))


class ArraysOnly(pickle.Unpickler):
    """Reads numbers, texts, lists and NumPy arrays; anything that could run code is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few things that a pickled array needs."""
        multiarray = ("numpy.core.multiarray", "numpy._core.multiarray")
        if module in multiarray and name == "_reconstruct":
            return numpy.zeros(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(numpy, name)
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return latin1
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a data set")


def latin1(text: str, encoding: str) -> bytes:
    """Return the bytes of a text, in the one encoding that pickled bytes have."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"{encoding} has no place in a data set")
    return text.encode("latin1")


def unpickle(path: Path) -> dict[str, Any]:
    """Return the mapping in one of the official files.

    Raises:
        DataError: it cannot be read or holds something else.
    """
    try:
        value = ArraysOnly(BytesIO(path.read_bytes()), encoding="latin1").load()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # what a broken pickle raises has no common class
        raise DataError(f"{path} is not one of the official files: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} is not one of the official files")
    return value
