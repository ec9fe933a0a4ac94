"""From a page's data to one HTML file that asks for nothing else."""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from convsmith.errors import WriteError
from convsmith.reporting import numbers
from convsmith.runs.folder import write_atomically

__all__ = ["publish"]

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """Return Jinja's environment: everything from files is escaped, unknown names are errors."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for show in (
        numbers.percent,
        numbers.short,
        numbers.count,
        numbers.duration,
        numbers.bytes_text,
        numbers.date,
    ):
        made.filters[show.__name__] = show
    return made


@cache
def assets() -> dict[str, Markup | str]:
    """Return style and script, and the script's digest: a browser then runs no other script."""
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return {
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_digest": digest,
    }


def publish(path: Path, template: str, page: object) -> Path:
    """Write a page, whole or not at all; the template knows its data as ``page``.

    Raises:
        WriteError: the disk is full, or the place cannot be written.
    """
    written = numbers.date(datetime.now(UTC).isoformat(timespec="seconds"))
    values = {**assets(), "page": page, "written": written}
    html = environment().get_template(template).render(values)
    try:
        # Names of folders may be no text at all; a page always is.
        write_atomically(path, html.encode("utf-8", "replace").decode("utf-8"))
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
    return path
