"""Images in memory or in a mapped file, and data sets made of them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from convsmith.data.listing import Problem

__all__ = ["Images", "Say", "Source"]

Say = Callable[[str], None]
"""Told in words how far something long is."""


@dataclass(frozen=True)
class Images:
    """Labelled images: some rows of one tensor, which may be a file mapped into memory.

    ``pixels`` is ``(M, C, H, W)`` uint8; points (moons, circles) are ``(M, 2, 1, 1)`` float32.
    They are kept in channels_last order, so that an image's pixels are one row of memory.
    ``labels`` is ``(N,)`` int64, and ``rows`` ``(N,)`` says which of ``pixels`` they belong to;
    None is all of them in order, N = M. ``digest`` is a checksum of ``pixels`` if it is known;
    ``files`` names the files of all ``M`` if they come from files.
    """

    pixels: Tensor
    labels: Tensor
    rows: Tensor | None = None
    digest: str | None = None
    files: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.pixels.is_contiguous(memory_format=torch.channels_last):
            pixels = self.pixels.contiguous(memory_format=torch.channels_last)
            object.__setattr__(self, "pixels", pixels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return self.pixels.shape[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        return self.pixels.shape[2], self.pixels.shape[3]

    @property
    def nbytes(self) -> int:
        """Return the bytes that these images take in memory."""
        return len(self) * self.pixels[0].nbytes

    def take(self, chosen: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return pixels ``(n, C, H, W)`` and labels ``(n,)`` of some of the images, by index."""
        rows = chosen if self.rows is None else self.rows[chosen]
        if isinstance(rows, slice):
            return self.pixels[rows], self.labels[chosen]
        by_place = self.pixels.permute(0, 2, 3, 1)
        return by_place.index_select(0, rows).permute(0, 3, 1, 2), self.labels[chosen]

    def take_alone(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Do what :meth:`take` does, on the CPU, without PyTorch's threads.

        Those of a thread that reads ahead, and those of the training, would wait for each other.
        """
        rows = chosen if self.rows is None else self.rows[chosen]
        by_place = self.pixels.permute(0, 2, 3, 1).numpy()
        taken = torch.from_numpy(by_place.take(rows.numpy(), axis=0))
        return taken.permute(0, 3, 1, 2), self.labels[chosen]

    def select(self, indices: Tensor) -> "Images":
        """Return some of the images; the pixels are shared, not copied."""
        rows = indices if self.rows is None else self.rows[indices]
        return Images(self.pixels, self.labels[indices], rows, self.digest, self.files)

    def file(self, index: int) -> str | None:
        """Return the name of the file that an image comes from, if it does."""
        if self.files is None:
            return None
        return self.files[index if self.rows is None else int(self.rows[index])]

    def to(self, device: torch.device) -> "Images":
        """Return the images on ``device``; there, only their own rows."""
        if device == self.pixels.device:
            return self
        pixels, labels = self.take(slice(None))
        return Images(pixels.to(device), labels.to(device), None, self.digest)

    def checksum(self) -> str:
        """Return a checksum of pixels, labels and their order; quick where ``digest`` is known."""
        checksum = hashlib.blake2b(digest_size=16)
        if self.digest is not None:
            checksum.update(self.digest.encode())
            if self.rows is not None:
                checksum.update(self.rows.contiguous().numpy().data)
        else:
            for start in range(0, len(self), 1024):
                pixels = self.take(slice(start, start + 1024))[0]
                checksum.update(pixels.contiguous().numpy().data)
        checksum.update(self.labels.contiguous().numpy().data)
        return checksum.hexdigest()


@dataclass(frozen=True)
class Source:
    """A data set with its official parts.

    ``validation`` and ``test`` are None where they are to be split from ``train``; ``groups``
    ``(N,)`` int64 then says which training images must stay together, such as those of one
    patient. ``mirrored`` says whether an image keeps its label when it is flipped left to right.
    ``notes`` is what the person should know of the data. ``store`` is the folder of the store that
    the images lie in, if they come from files, ``problems`` what was left out of it, and ``others``
    the files there that are no image by their names or lie in no class.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    test: Images | None
    mirrored: bool
    validation: Images | None = None
    groups: Tensor | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    others: tuple[str, ...] = ()
    store: Path | None = None
