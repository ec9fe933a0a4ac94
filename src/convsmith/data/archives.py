"""Where data sets can be downloaded, and how they are laid out: as torchvision does it."""

import os
from dataclasses import dataclass
from pathlib import Path

from convsmith.data.download import fetch, unpack
from convsmith.data.images import Say

__all__ = ["ARCHIVES", "Archive", "download_source"]


@dataclass(frozen=True)
class Archive:
    """A data set's files: names with their MD5 sums and sizes, and the servers that have them all.

    ``folder`` is where they belong below the root. ``members`` are the files to be taken out of a
    tar archive into it; None leaves the files as they are.
    """

    servers: tuple[str, ...]
    files: dict[str, tuple[str, int | None]]
    folder: str
    members: tuple[str, ...] | None = None


ARCHIVES: dict[str, Archive] = {
    "mnist": Archive(
        servers=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://dataset.bj.bcebos.com/mnist/",
        ),
        files={
            "train-images-idx3-ubyte.gz": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
            "train-labels-idx1-ubyte.gz": ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
            "t10k-images-idx3-ubyte.gz": ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
            "t10k-labels-idx1-ubyte.gz": ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
        },
        folder="MNIST/raw",
    ),
    "fashion_mnist": Archive(
        servers=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://dataset.bj.bcebos.com/fashion_mnist/",
        ),
        files={
            "train-images-idx3-ubyte.gz": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", None),
            "train-labels-idx1-ubyte.gz": ("25c81989df183df01b3e8a0aad5dffbe", None),
            "t10k-images-idx3-ubyte.gz": ("bef4ecab320f06d8554ea6380940ec79", None),
            "t10k-labels-idx1-ubyte.gz": ("bb300cfdad3c16e7a12a480ee83cd310", None),
        },
        folder="FashionMNIST/raw",
    ),
    "cifar10": Archive(
        servers=("https://www.cs.toronto.edu/~kriz/", "https://dataset.bj.bcebos.com/cifar/"),
        files={"cifar-10-python.tar.gz": ("c58f30108f718f92721af3b95e74349a", 170_498_071)},
        folder="cifar-10-batches-py",
        members=(*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"),
    ),
    "cifar100": Archive(
        servers=("https://www.cs.toronto.edu/~kriz/", "https://dataset.bj.bcebos.com/cifar/"),
        files={"cifar-100-python.tar.gz": ("eb9058c3a382ffc7106e4002c42a8d85", 169_001_437)},
        folder="cifar-100-python",
        members=("train", "test", "meta"),
    ),
}
LARGEST = 2**28  # bytes of one unpacked file


def download_source(name: str, root: Path, say: Say) -> None:
    """Put a data set's official files where they belong below ``root``.

    With ``CONVSMITH_MIRROR`` set they are looked for there first: below the data set's folder, as
    in a root of data sets, or right there.

    Raises:
        DataError: they cannot be had; the way by hand is said.
    """
    archive = ARCHIVES[name]
    folder = root / archive.folder
    say(f"{name} is not in {root}; downloading it")
    place = folder if archive.members is None else root
    for file, (md5, size) in archive.files.items():
        own = os.environ.get("CONVSMITH_MIRROR", "").rstrip("/")
        near = [f"{own}/{archive.folder}/{file}", f"{own}/{file}"] if own else []
        official = [server + file for server in archive.servers]
        target = place / file
        fetch([*near, *official], target, md5=md5, size=size, say=say, by_hand=official[0])
    if archive.members is not None:
        for file in archive.files:
            unpack(root / file, folder, archive.members, LARGEST)
