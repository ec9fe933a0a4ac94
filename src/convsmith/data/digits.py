"""The 1,797 handwritten digits, 8x8 pixels, that come with scikit-learn."""

import gzip
import importlib.util
from pathlib import Path

import numpy
import torch

from convsmith.data.images import Images, Say, Source
from convsmith.data.split import stratified_split
from convsmith.errors import DataError

__all__ = ["digits"]


def digits(root: Path, say: Say) -> Source:
    """Return the digits; a fifth of them, the same for everybody, is the test part.

    The file is read by its path, since importing ``sklearn.datasets`` takes two seconds. Source:
    Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.

    Raises:
        DataError: scikit-learn or its file is missing.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("the digits come with scikit-learn: pip install scikit-learn")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rt") as file:
            table = numpy.loadtxt(file, delimiter=",", dtype=numpy.int64)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; reinstall scikit-learn") from error
    values = torch.from_numpy(table)
    pixels = (values[:, :64].reshape(-1, 1, 8, 8) * 255 + 8) // 16  # 0..16 to 0..255, rounded
    images = Images(pixels.to(torch.uint8), values[:, 64])
    train, test = stratified_split(images.labels, 0.2, seed=0)
    classes = tuple(str(digit) for digit in range(10))
    return Source("digits", classes, images.select(train), images.select(test), mirrored=False)
