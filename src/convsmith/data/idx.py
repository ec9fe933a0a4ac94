"""MNIST and Fashion-MNIST from their official IDX files, compressed or not."""

import gzip
import math
import zlib
from pathlib import Path

import numpy
import torch
from torch import Tensor

from convsmith.data.images import Images, Say, Source
from convsmith.errors import DataError, DataNotFound

__all__ = ["fashion_mnist", "mnist", "read_idx"]

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST_FILES = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SYSTEM = Path("/usr/share/datasets")  # where Debian's packages put data sets
FASHION = (
    *("t-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


def mnist(root: Path, say: Say) -> Source:
    """Return MNIST: 60,000 and 10,000 digits of 28x28 (LeCun, Cortes & Burges, 1998).

    Raises:
        DataError: a file is missing or broken.
    """
    folder = find("mnist", [root / "MNIST" / "raw", root / "mnist", SYSTEM / "mnist"])
    return source("mnist", folder, tuple(str(digit) for digit in range(10)), mirrored=False)


def fashion_mnist(root: Path, say: Say) -> Source:
    """Return Fashion-MNIST: 60,000 and 10,000 pieces of clothing of 28x28 (Xiao et al., 2017).

    Raises:
        DataError: a file is missing or broken.
    """
    places = [root / "FashionMNIST" / "raw", root / "fashion-mnist", root / "fashion_mnist"]
    folder = find("fashion_mnist", [*places, SYSTEM / "fashion-mnist"])
    return source("fashion_mnist", folder, FASHION, mirrored=True)


def find(name: str, folders: list[Path]) -> Path:
    """Return the first folder that has any of the files."""
    for folder in folders:
        if any(locate(folder, file) for file in FILES + TEST_FILES):
            return folder
    looked = ", ".join(map(str, folders))
    hint = " (on Debian: apt install dataset-fashion-mnist)" if name == "fashion_mnist" else ""
    raise DataNotFound(
        f"{name} is not found: looked in {looked}. Training downloads it if it can; otherwise put "
        "its four official files "
        f"({FILES[0]}.gz, …) into {folders[0]}{hint}, or say where they are with --data-root"
    )


def locate(folder: Path, file: str) -> Path | None:
    """Return the path of a file, plain or compressed; None if it is not there."""
    paths = (folder / file, folder / f"{file}.gz")
    return next((path for path in paths if path.is_file()), None)


def source(name: str, folder: Path, classes: tuple[str, ...], *, mirrored: bool) -> Source:
    """Read both parts from one folder."""
    parts = []
    for files in (FILES, TEST_FILES):
        paths = []
        for file in files:
            path = locate(folder, file)
            if path is None:
                raise DataError(f"{name}: {folder} has no {file}.gz")
            paths.append(path)
        parts.append(read_part(*paths, classes=len(classes)))
    return Source(name, classes, parts[0], parts[1], mirrored=mirrored)


def read_part(images_path: Path, labels_path: Path, *, classes: int) -> Images:
    """Read one part and check that its images and labels belong together."""
    pixels, labels = read_idx(images_path, dimensions=3), read_idx(labels_path, dimensions=1)
    if len(pixels) != len(labels):
        raise DataError(
            f"{images_path} has {len(pixels)} images, {labels_path} {len(labels)} labels"
        )
    if len(labels) == 0:
        raise DataError(f"{images_path} has no image")
    if int(labels.max()) >= classes:
        raise DataError(
            f"{labels_path}: label {int(labels.max())}, but there are {classes} classes"
        )
    return Images(pixels[:, None], labels.long())


def read_idx(path: Path, dimensions: int) -> Tensor:
    """Return the uint8 tensor in an IDX file of that many dimensions.

    Raises:
        DataError: the file cannot be read, is no IDX file of bytes, or has another length.
    """
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(f"{path} is not an IDX file of bytes in {dimensions} dimensions")
    sizes = numpy.frombuffer(content, ">i4", dimensions, offset=4).tolist()
    expected = header + math.prod(sizes)
    if min(sizes) < 0 or len(content) != expected:
        raise DataError(f"{path} is {len(content)} bytes long, its header says {expected}")
    values = numpy.frombuffer(content, numpy.uint8, offset=header).reshape(sizes)
    return torch.from_numpy(values.copy())
