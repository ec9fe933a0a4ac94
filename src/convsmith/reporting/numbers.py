"""Figures as a person reads them; what is missing or not finite is a dash."""

import math
from datetime import UTC, datetime

__all__ = ["MISSING", "bytes_text", "count", "date", "duration", "known", "percent", "short"]

MISSING = "–"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LARGEST = 1e300  # sums and differences of what is larger are no longer finite


def known(value: object) -> float | None:
    """Return a finite number as a float, and None for anything else that a file may hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return float(value) if abs(value) <= LARGEST else None


def percent(share: float | None) -> str:
    """Return ``99.31%`` for 0.9931."""
    value = known(share)
    return MISSING if value is None else f"{value:.2%}"


def short(value: float | None) -> str:
    """Return about four digits: ``0.02431``, ``6,426``, ``3e-7``."""
    number = known(value)
    if number is None:
        return MISSING
    if 1000 <= abs(number) < 1e15:
        return f"{number:,.0f}"
    return f"{number:.4g}".replace("e-0", "e-").replace("e+0", "e+")


def count(value: float | None) -> str:
    """Return a whole number with its thousands apart: ``184,586``."""
    number = known(value)
    return MISSING if number is None else f"{round(number):,}"


def duration(seconds: float | None) -> str:
    """Return ``7.1 s``, ``42 s``, ``3 min 20 s`` or ``1 h 05 min``."""
    value = known(seconds)
    if value is None:
        return MISSING
    whole = round(value)
    if whole < 10:
        return f"{value:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def bytes_text(size: float | None) -> str:
    """Return ``268 KiB``, ``1.50 MiB`` or ``2.31 GiB``."""
    value = known(size)
    if value is None:
        return MISSING
    for unit in ("bytes", "KiB", "MiB"):
        if abs(value) < 1024:
            digits = 0 if unit == "bytes" or abs(value) >= 100 else 2 if abs(value) < 10 else 1
            return f"{value:.{digits}f} {unit}"
        value /= 1024
    return f"{value:,.2f} GiB"


def date(text: str | None) -> str:
    """Return ``23 Nov 2026, 21:07 UTC`` for a moment in ISO form, and other text as it is."""
    if text is None:
        return MISSING
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M} UTC"
