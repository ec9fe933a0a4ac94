"""Downloading files whose checksums are known: from several mirrors, resumed, never half there."""

import errno
import hashlib
import http.client
import os
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from convsmith.data.images import Say
from convsmith.data.told import Told
from convsmith.errors import DataError

__all__ = ["fetch", "unpack"]

CHUNK = 2**18
TIMEOUT = 30.0  # seconds without a byte
TRIES = 100  # of one mirror, as long as each brings something
LEAST = 2**16  # bytes that are something
CONNECTION_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
)
SCHEMES = ("http://", "https://", "file://")


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    md5: str,
    size: int | None,
    say: Say,
    by_hand: str | None = None,
) -> Path:
    """Download a file from the first mirror that has the right bytes, and return ``target``.

    What a broken connection leaves is kept beside the target, and the next try, of this process or
    another, goes on from there. The target appears whole and checked, or not at all.

    Args:
        urls: where it is, best first.
        target: where it goes; a file that is there with the right checksum is left alone.
        md5: its checksum, in hexadecimal.
        size: its bytes, if known; more are not taken.
        say: told how far it is.
        by_hand: the address for the person to try; by default the first.

    Raises:
        DataError: no mirror has it, or the disk is full; the way by hand is said.
    """
    if target.is_file():
        if checksum(target) == md5:
            return target
        say(f"{target} is not what it should be; downloading it again")
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    reasons = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        adopt(target, part)
        for url in urls:
            reason = from_mirror(url, part, md5, size, say)
            if not reason:
                with part.open("rb") as file:
                    os.fsync(file.fileno())
                part.replace(target)
                return target
            reasons.append(f"{host(url)}: {reason}")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            part.unlink(missing_ok=True)
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error
    raise DataError(
        f"{target.name} cannot be downloaded ({'; '.join(reasons)}). Where there is a network, "
        f"download {by_hand or urls[0]} and put it at {target}"
    )


def adopt(target: Path, part: Path) -> None:
    """Go on with the largest piece that a process which is gone has left."""
    left = []
    for path in target.parent.glob(f".{target.name}.part-*"):
        number = path.name.rpartition("-")[2]
        if number.isdigit() and not alive(int(number)):
            left.append((path.stat().st_size, path))
    for _, path in sorted(left, reverse=True):
        if part.exists():
            path.unlink(missing_ok=True)
        else:
            with suppress(OSError):  # another process was first
                path.rename(part)


def alive(process: int) -> bool:
    """Return whether there is a process of that number."""
    if os.name == "nt":
        return True  # asking would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def from_mirror(url: str, part: Path, md5: str, size: int | None, say: Say) -> str:
    """Download from one mirror into ``part``; return why it failed, empty if it did not."""
    if not url.startswith(SCHEMES):
        return "is no http, https or file address"
    reason = ""
    for _ in range(TRIES):
        before = size_of(part)
        try:
            reason = receive(url, part, size, say)
        except CONNECTION_ERRORS as error:
            reason = brief(error)
        if part.exists() and checksum(part) == md5:  # whatever the server said of its length
            return ""
        if not reason:
            part.unlink(missing_ok=True)
            reason = "has other bytes than it should"
            if before == 0:
                return reason  # else perhaps only the piece from before was bad
        elif size_of(part) < before + LEAST:
            return reason
    return reason


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 if it is not there."""
    return path.stat().st_size if path.exists() else 0


def receive(url: str, part: Path, size: int | None, say: Say) -> str:
    """Add what a server sends to ``part``; return why it is not whole, empty if it may be."""
    have = size_of(part)
    if size is not None and have >= size:
        return ""
    request = urllib.request.Request(url, headers={"User-Agent": "convsmith"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # it is shorter than what is here
            part.unlink()
            return "is shorter than it should be"
        raise
    with answer:
        resumed = getattr(answer, "status", 200) == 206
        place = str(answer.headers.get("Content-Range", ""))
        if resumed and not place.startswith(f"bytes {have}-"):
            part.unlink()
            return "sent another piece than it was asked for"
        announced = answer.headers.get("Content-Length", "")
        start = have if resumed else 0
        total = size or (start + int(announced) if announced.isdigit() else None)
        name = url.rpartition("/")[2]
        told = Told(f"downloading {name} from {host(url)}", total, say, megabytes)
        with part.open("ab" if resumed else "wb") as file:
            done = start
            while chunk := answer.read1(CHUNK):
                file.write(chunk)
                done += len(chunk)
                told.now(done)
                if size is not None and done > size:
                    break
    if size is not None and done > size:
        part.unlink()
        return "is longer than it should be"
    if total is not None and done < total:
        return f"broke off after {done:,} of {total:,} bytes"
    return ""


def megabytes(count: int) -> str:
    """Return bytes as a person reads them."""
    return f"{count / 1e6:,.0f} MB"


def unpack(archive: Path, folder: Path, names: Sequence[str], largest: int) -> None:
    """Take some files out of a tar archive into ``folder``, all of them or none.

    Args:
        archive: the archive, compressed or not.
        folder: made by this; its name is that of the archive's own folder.
        names: the files, without that folder.
        largest: the most bytes of one file.

    Raises:
        DataError: the archive is damaged, lacks a file, or holds something else by that name.
    """
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            for name in names:
                member = tar.getmember(f"{folder.name}/{name}")
                source = tar.extractfile(member) if member.isfile() else None
                if source is None or member.size > largest:
                    raise DataError(f"{archive}: {member.name} is not the file it should be")
                with source, (draft / name).open("wb") as file:
                    shutil.copyfileobj(source, file)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    except KeyError as error:
        raise DataError(f"{archive} lacks a file: {error.args[0]}") from error
    except (OSError, EOFError, tarfile.TarError) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def checksum(path: Path) -> str:
    """Return the MD5 of a file; the publishers of these data sets give no other."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def host(url: str) -> str:
    """Return the name of a URL's server."""
    return url.partition("://")[2].partition("/")[0] or url


def brief(error: BaseException) -> str:
    """Return why a connection failed, in a few words."""
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(error).__name__
