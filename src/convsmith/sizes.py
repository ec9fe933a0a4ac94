"""Sizes of memory as people write them, and back."""

import re

from convsmith.errors import UserError

__all__ = ["in_words", "parse_memory", "parse_size"]

# Memory is sold in units of 1024: a card "of 6 GB" has 6 GiB, so GB is read as GiB.
UNITS = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}
UNITS |= {f"{unit[0]}ib": size for unit, size in UNITS.items() if len(unit) == 2}
MOST = 2**50  # more is not meant, and no limit of an operating system
FORM = "a size such as 6GB or 800MB"


def parse_size(text: str) -> int:
    """Return the bytes of ``6GB``, ``800 MB``, ``1.5GiB``; units are multiples of 1024.

    Raises:
        UserError: it is no such size.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:[.][0-9]+)?)\s*([a-zA-Z]+)\s*", text)
    if match is None or match[2].lower() not in UNITS:
        raise UserError(f"{text!r} is not {FORM}")
    size = round(min(float(match[1]) * UNITS[match[2].lower()], 2 * MOST))
    if size < 1:
        raise UserError(f"{text!r} is no memory at all; say {FORM}")
    if size > MOST:
        raise UserError(f"{text!r} is more than any machine has; say {FORM}")
    return size


def parse_memory(text: str) -> int | float | None:
    """Return bytes for ``6GB``, a share of what is free for ``90%``, None for ``none``.

    Raises:
        UserError: it is none of these.
    """
    if text.strip().lower() == "none":
        return None
    match = re.fullmatch(r"\s*([0-9]+(?:[.][0-9]+)?)\s*%\s*", text)
    if match is None:
        try:
            return parse_size(text)
        except UserError as error:
            raise UserError(f"{error}, a share such as 90%, or none") from None
    share = float(match[1]) / 100
    if not 0 < share <= 1:
        raise UserError(f"{text!r} is not a share: more than 0% and at most 100%")
    return share


def in_words(size: float) -> str:
    """Return bytes for a person: ``1.25 GiB``, ``310 MiB``, ``12 KiB``."""
    if size >= 2**30:
        return f"{size / 2**30:.2f} GiB"
    if size >= 2**20:
        return f"{size / 2**20:.0f} MiB" if size >= 10 * 2**20 else f"{size / 2**20:.1f} MiB"
    return f"{size / 2**10:.0f} KiB" if size >= 2**10 else f"{size:.0f} B"
