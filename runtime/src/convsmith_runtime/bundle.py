"""Reading a bundle, which may be a stranger's: nothing in it is run, unpacked or believed.

A bundle is a zip. Read from it are ``manifest.json``, ``golden.json``, the ONNX file and the golden
images, each in memory, up to a limit, and compared with its checksum. Whatever else it holds is
listed and never opened.
"""

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from convsmith_runtime.errors import BundleError
from convsmith_runtime.manifest import (
    Golden,
    Manifest,
    Member,
    parse_golden,
    parse_manifest,
    require_name,
)
from convsmith_runtime.onnx_file import require_harmless

__all__ = ["Bundle", "open_bundle"]

MIB = 2**20
MOST_MEMBERS = 256
MOST_DIRECTORY = MIB  # bytes of the zip's table of contents
LARGEST_TEXT = 16 * MIB
LARGEST_IMAGE = 32 * MIB
LARGEST_MODEL = 2**31  # what a protobuf can hold
MOST_RATIO = 100  # of unpacked to packed bytes, beyond the first MiB
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # how PNG and JPEG files begin

END, END_ZIP64 = b"PK\5\6", b"PK\6\7"


@dataclass(frozen=True)
class Bundle(Manifest):
    """A bundle that was read: its manifest, the ONNX file, and the golden samples."""

    model: bytes
    golden: tuple[Golden, ...]

    def __repr__(self) -> str:
        return f"Bundle({self.name!r}, {len(self.classes)} classes)"


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read a bundle into memory.

    Raises:
        BundleError: it is missing, no bundle, damaged, or one that must not be opened: too large
            for what it says, with strange names, or with a network that refers to other files.
    """
    name = os.fspath(path)
    with reading(name), open_regular(name) as file:
        require_small_directory(file)
        with zipfile.ZipFile(file) as archive:
            infos = members_of(archive)
            manifest = parse_manifest(read(archive, infos, "manifest.json", LARGEST_TEXT))
            require_listed(manifest, infos)
            known = {each.name: each for each in manifest.members}
            model = checked(archive, infos, known, manifest.graph.file, LARGEST_MODEL)
            golden = read_golden(archive, infos, known, len(manifest.classes))
        require_harmless(model)
    return Bundle(**vars(manifest), model=model, golden=golden)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn whatever a broken zip raises into one BundleError that names the file."""
    try:
        yield
    except BundleError as error:
        raise BundleError(f"{name}: {error}") from error
    except FileNotFoundError:
        raise BundleError(f"{name} is not there") from None
    except OSError as error:
        raise BundleError(f"{name} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        raise BundleError(f"{name} is damaged: {error}") from error
    except (NotImplementedError, RuntimeError, ValueError, LookupError) as error:
        raise BundleError(f"{name} is no bundle: {error}") from error


def open_regular(name: str) -> IO[bytes]:
    """Open a file; a pipe or a folder is none, and opening a pipe would wait for its writer."""
    mode = Path(name).stat().st_mode
    if stat.S_ISDIR(mode):
        raise BundleError("is a folder; a bundle is one file, such as model.convsmith")
    if not stat.S_ISREG(mode):
        raise BundleError("is no regular file")
    return Path(name).open("rb")


def require_small_directory(file: IO[bytes]) -> None:
    """Look at the end of the zip before its table of contents is read into memory.

    Bundles have no comment and are no zip64, so the end has one form only.

    Raises:
        BundleError: it is no zip, or its table of contents is too large.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 42))
    tail = file.read()
    end = tail[-22:]
    if len(end) < 22 or end[:4] != END or end[20:] != b"\0\0":
        raise BundleError("is no bundle, or cut off")
    here, total, directory = struct.unpack("<8xHHI", end[:16])
    if tail[:4] == END_ZIP64 or here != total or total > MOST_MEMBERS:
        raise BundleError(f"holds too many files; a bundle has at most {MOST_MEMBERS}")
    if directory > MOST_DIRECTORY:
        raise BundleError("has too large a table of contents")


def members_of(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name.

    Raises:
        BundleError: a name is strange or there twice, or a member is a link, is encrypted, is
            packed in an unusual way, or would become far larger than it is.
    """
    infos: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = require_name(info.orig_filename)
        if name in infos:
            raise BundleError(f"{name} is in it twice")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 1 or kind not in (0, stat.S_IFREG):
            raise BundleError(f"{name} is encrypted or no regular file")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(f"{name} is packed in an unusual way")
        if info.file_size > max(MIB, MOST_RATIO * info.compress_size):
            raise BundleError(f"{name} would unpack to {info.file_size:,} bytes: refused")
        infos[name] = info
    return infos


def require_listed(manifest: Manifest, infos: dict[str, zipfile.ZipInfo]) -> None:
    """Raise BundleError unless the manifest lists exactly what is there."""
    listed = {each.name: each.bytes for each in manifest.members}
    there = {name: info.file_size for name, info in infos.items() if name != "manifest.json"}
    if listed != there:
        wrong = sorted(name for name in listed | there if listed.get(name) != there.get(name))
        raise BundleError(f"{wrong[0]} is not as manifest.json lists it")


def read(
    archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], name: str, limit: int
) -> bytes:
    """Return a member's bytes, of which there are as many as it says and at most ``limit``."""
    if name not in infos:
        raise BundleError(f"holds no {name}")
    info = infos[name]
    if info.file_size > limit:
        raise BundleError(f"{name} has {info.file_size:,} bytes; at most {limit:,} are read")
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise BundleError(f"{name} is cut off")
    return data


def checked(
    archive: zipfile.ZipFile,
    infos: dict[str, zipfile.ZipInfo],
    known: dict[str, Member],
    name: str,
    limit: int,
) -> bytes:
    """Return a member's bytes, which match their checksum."""
    data = read(archive, infos, name, limit)
    if hashlib.sha256(data).hexdigest() != known[name].sha256:
        raise BundleError(f"{name} does not match its checksum")
    return data


def read_golden(
    archive: zipfile.ZipFile,
    infos: dict[str, zipfile.ZipInfo],
    known: dict[str, Member],
    classes: int,
) -> tuple[Golden, ...]:
    """Return the golden samples."""
    golden = []
    text = checked(archive, infos, known, "golden.json", LARGEST_TEXT)
    for image, label, logits in parse_golden(text, classes):
        data = checked(archive, infos, known, image, LARGEST_IMAGE)
        if not data.startswith(PICTURES):
            raise BundleError(f"{image} is neither a PNG nor a JPEG file")
        golden.append(Golden(image, data, label, logits))
    return tuple(golden)
