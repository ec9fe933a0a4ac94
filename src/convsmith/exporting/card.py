"""The model card: what a network is, what was measured of it, and how to use it, in Markdown."""

import shlex
from collections.abc import Sequence

from convsmith.exporting.about import About
from convsmith.exporting.graph import Input

__all__ = ["model_card"]

SHOWN = 30  # classes that are named
WEAKEST = 5

RESIZED = {
    "stretch": "stretched to",
    "crop": "cropped in the middle and resized to",
    "pad": "resized and padded with black to",
}


def model_card(
    about: About,
    given: Input,
    facts: Sequence[tuple[str, str]],
    per_class: dict[str, float],
    bundle: str,
) -> str:
    """Return a model card.

    Args:
        about: what the network is.
        given: what it takes.
        facts: measured figures, each with what it is of.
        per_class: the share of right answers of each class.
        bundle: the name of the bundle's file.
    """
    height, width = given.image_size
    kind = "RGB" if given.channels == 3 else "grey"
    names = ", ".join(map(escape, about.classes[:SHOWN]))
    more = f" and {len(about.classes) - SHOWN:,} more" if len(about.classes) > SHOWN else ""
    parts = [
        f"# {escape(about.name)}",
        f"Says which of {len(about.classes):,} classes an image shows: {names}{more}.",
        f"Network: {about.network or 'one of its own'}. Made by convsmith {about.convsmith}, "
        f"{about.created}. Licence: {about.licence or 'not stated'}.",
        "## Measured",
        rows([("of what", "measured"), *facts]),
        *weakest(per_class),
        "## Images",
        "An image file is turned upright as its EXIF tag says, converted to "
        f"{kind} and {RESIZED[about.resize]} {height}x{width} pixels (bilinear, smoothed), as the "
        "training's images were; `convsmith_runtime.decode` does it. The network's file takes "
        f"uint8 `(batch_size, {given.channels}, {height}, {width})` and scales and normalises.",
        "It knows its classes and nothing else: it names one of them for any image. The figures "
        "hold for images like those of the test part, some of which are in `golden/`.",
        "## Use",
        "```bash\npip install convsmith-runtime\n"
        f"convsmith-runtime predict {shlex.quote(bundle)} photo.jpg\n```",
        "## Recipe",
        f"```yaml\n{about.recipe.strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def rows(cells: Sequence[tuple[str, str]]) -> str:
    """Return a table of two columns, of which the first row is the head."""
    lines = [f"| {escape(left)} | {escape(right)} |" for left, right in cells]
    return "\n".join([lines[0], "|---|---|", *lines[1:]])


def weakest(per_class: dict[str, float]) -> list[str]:
    """Return the classes that are most often missed, as a paragraph."""
    missed = [item for item in per_class.items() if item[1] < 1]
    if not missed:
        return []
    worst = sorted(missed, key=lambda item: item[1])[:WEAKEST]
    named = ", ".join(f"{escape(name)} {share:.1%}" for name, share in worst)
    return [f"Weakest classes: {named}."]


def escape(text: str) -> str:
    """Return a text that means itself in Markdown, on one line."""
    line = " ".join(text.split())
    return "".join(f"\\{each}" if each in "\\|*_`<>[]#" else each for each in line)
