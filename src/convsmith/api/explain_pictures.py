"""What ``explain`` leaves in a run's folder: pictures, and what the run's page shows of them."""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image
from torch import Tensor

from convsmith.api.explain_maps import Mapped, figures_of, words_of
from convsmith.data.pictures import side_by_side, strip
from convsmith.errors import WriteError
from convsmith.insight.overlay import colours, enlarge, overlay
from convsmith.reporting.explanations import StoredExplanation, StoredExplanations
from convsmith.runs.folder import RunFolder, write_atomically

__all__ = ["file_names", "plain", "write_gallery", "write_pictures"]

SIDE = 224  # pixels of a panel at most, where the image is smaller
STRIP = 160  # the same on the page


def write_pictures(
    run: RunFolder, found: Sequence[Mapped], names: Sequence[str], how: str
) -> list[Path]:
    """Write a picture of each image, its map and both; return where they are."""
    paths = []
    for each, name in zip(found, names, strict=True):
        lines = [heading(each), f"{how}, what speaks for {each.target}"]
        if each.target != each.guess:
            lines[1] += f" ({each.target_probability:.1%})"
        lines += [words_of(each.faithfulness), figures_of(each.faithfulness)]
        picture = side_by_side(panels(each, SIDE), [line for line in lines if line])
        paths.append(save(picture, run.explanations / f"{name}.png"))
    return paths


def write_gallery(run: RunFolder, name: str, found: Sequence[Mapped], about: Sequence[str]) -> None:
    """Write what the run's page shows, in the place of what was explained so before.

    Args:
        run: the folder.
        name: of the file; the strips are named after it.
        found: the images.
        about: the title, the method, and what is said of all the maps.
    """
    title, method, words = about
    strips = run.explanations / "strips"
    for old in strips.glob(f"{name}-*.png"):
        old.unlink()
    stored = []
    for number, each in enumerate(found, 1):
        picture = strip([pixels for _, pixels in panels(each, STRIP)])
        trust = each.faithfulness
        path = save(picture, strips / f"{name}-{number:02d}.png")
        stored.append(
            StoredExplanation(
                strip=path.relative_to(run.path).as_posix(),
                where=each.chosen.name,
                label=each.chosen.label,
                guess=each.guess,
                probability=round(each.probability, 6),
                target=each.target,
                target_probability=round(each.target_probability, 6),
                faithful=None if trust is None or not trust.telling else trust.found,
                words=words_of(trust),
                figures=figures_of(trust),
            )
        )
    run.explanations.mkdir(parents=True, exist_ok=True)  # nothing may have been explained yet
    gallery = asdict(StoredExplanations(title, method, words, tuple(stored)))
    write_atomically(run.explanations / f"{name}.json", json.dumps(gallery, indent=2) + "\n")


def panels(each: Mapped, side: int) -> list[tuple[str, Tensor]]:
    """Return the image, its map in colours and both, large enough to be seen."""
    pixels, map_ = enlarge(each.chosen.pixels, each.map, side, smooth=each.smooth)
    return [("image", pixels), ("map", colours(map_)), ("overlay", overlay(pixels, map_))]


def heading(each: Mapped) -> str:
    """Return what the image is and what it was taken for."""
    guess = f"{each.guess} ({each.probability:.1%})"
    if each.chosen.label is None:
        return f"predicted {guess}"
    if each.chosen.label == each.guess:
        return f"{each.chosen.label}, predicted {guess}"
    return f"{each.chosen.label}, taken for {guess}"


def file_names(found: Sequence[Mapped], method: str) -> list[str]:
    """Return a name for the picture of each image, after the image's own, all different."""
    names: list[str] = []
    for each in found:
        base = f"{plain(Path(each.chosen.name).stem)}-{method}"
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}-{number}"
        names.append(name)
    return names


def plain(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", text)[:40].strip(".-") or "image"


def save(picture: Image.Image, path: Path) -> Path:
    """Write a PNG, whole or not at all, and return its path."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(temporary, "PNG", optimize=True)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
    return path
