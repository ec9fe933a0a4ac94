"""Checkpoints on disk: a folder of safetensors and JSON, written whole or not at all.

Layout of one checkpoint::

    step-00000938/
    ├── tensors.safetensors    every tensor, contiguous
    ├── fields.json            everything else
    └── SHA256SUMS             checksums of the two, as ``sha256sum -c`` reads them

The folder is written under another name, flushed to the disk and renamed, so a crash at any moment
leaves either the whole checkpoint or none. Nothing is ever unpickled.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from convsmith.checksum import sha256
from convsmith.errors import CheckpointError

__all__ = [
    "checkpoints",
    "delete_after",
    "load_checkpoint",
    "prune",
    "save_checkpoint",
    "storable",
]

TENSORS = "tensors.safetensors"
FIELDS = "fields.json"
SUMS = "SHA256SUMS"
NAME = re.compile(r"step-\d{8,}")  # what else lies there is not ours


def save_checkpoint(
    parent: Path, step: int, tensors: Mapping[str, Tensor], fields: Mapping[str, Any]
) -> Path:
    """Write a checkpoint of ``step`` below ``parent`` and return its folder.

    Raises:
        OSError: the disk is full or unwritable; nothing of the new checkpoint is left, and the
            older ones are as they were.
    """
    parent.mkdir(parents=True, exist_ok=True)
    final = parent / f"step-{step:08d}"
    temporary = parent / f".{final.name}.writing"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        save_file(storable(tensors), temporary / TENSORS)
        (temporary / FIELDS).write_text(json.dumps(fields, indent=1, allow_nan=False) + "\n")
        sums = [f"{sha256(temporary / name)}  {name}\n" for name in (TENSORS, FIELDS)]
        (temporary / SUMS).write_text("".join(sums))
        for name in (TENSORS, FIELDS, SUMS):
            flush(temporary / name)
        flush(temporary)
        older = set_aside(final) if final.exists() else None  # the same step, before a rollback
        temporary.rename(final)
        flush(parent)
        if older is not None:
            shutil.rmtree(older)
    except SafetensorError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OSError(f"cannot write {final / TENSORS}: {error}") from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as safetensors takes them: on the CPU, contiguous, each with its own memory.

    The layout is the receiving parameter's own affair; tied weights are stored once a name.
    """
    plain: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        stored = tensor.detach().cpu().contiguous()
        memory = stored.untyped_storage().data_ptr()
        plain[name] = stored.clone() if memory in taken else stored
        taken.add(memory)
    return plain


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint; return its tensors, on the CPU, and its fields.

    Raises:
        CheckpointError: a file is missing or does not match its checksum.
    """
    try:
        lines = (folder / SUMS).read_text().splitlines()
        expected = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        for name in (TENSORS, FIELDS):
            if sha256(folder / name) != expected.get(name):
                raise CheckpointError(f"{folder / name} does not match its checksum")
        return load_file(folder / TENSORS), json.loads((folder / FIELDS).read_text())
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} cannot be read: {error}") from error


def checkpoints(parent: Path) -> list[Path]:
    """Return the checkpoint folders below ``parent``, oldest first.

    Where there is none, one that was set aside for a newer one of its step is brought back.
    """
    found = sorted(path for path in parent.glob("step-*") if NAME.fullmatch(path.name))
    for aside in () if found else sorted(parent.glob(".step-[0-9]*.deleting")):
        found.append(aside.rename(parent / aside.name[1:].removesuffix(".deleting")))
    return found


def prune(parent: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints, and what interrupted writing left."""
    for folder in checkpoints(parent)[:-keep]:
        discard(folder)
    for leftover in parent.glob(".step-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def delete_after(parent: Path, step: int) -> None:
    """Delete the checkpoints of later steps than ``step``: another past than the one resumed."""
    for folder in checkpoints(parent):
        if int(folder.name.removeprefix("step-")) > step:
            discard(folder)


def discard(folder: Path) -> None:
    """Delete a checkpoint; renamed first, so that half of one never looks like a whole one."""
    shutil.rmtree(set_aside(folder))


def set_aside(folder: Path) -> Path:
    """Rename a checkpoint so that it counts no more, and return where it is."""
    doomed = folder.with_name(f".{folder.name}.deleting")
    shutil.rmtree(doomed, ignore_errors=True)
    return folder.rename(doomed)


def flush(path: Path) -> None:
    """Force a file or folder to the disk; folders cannot be flushed on Windows."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
