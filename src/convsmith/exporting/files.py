"""Writing files whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convsmith.errors import WriteError

__all__ = ["replacing", "write_whole"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a name to write to; what is there afterwards takes the place of ``path``.

    Raises:
        WriteError: the disk is full or cannot be written; ``path`` is then as it was.
    """
    draft = path.with_name(f".{secrets.token_hex(4)}.{path.name}")  # loaders look at the suffix
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, RuntimeError) as error:  # PyTorch's writers raise RuntimeError
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise WriteError(f"{path} cannot be written: {reason}") from error
    finally:
        with suppress(OSError):
            draft.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, flushed to the disk.

    Raises:
        WriteError: the disk is full or cannot be written.
    """
    with replacing(path) as draft:
        draft.write_bytes(content)
