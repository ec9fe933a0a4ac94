"""Golden samples: image files with what the network says of them, chosen so that mistakes show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

import torch
from PIL import ExifTags, Image
from torch import Tensor

from convsmith_runtime.decode import Resize, to_pixels
from convsmith_runtime.manifest import Golden

__all__ = ["Samples", "make_samples", "to_png"]

COUNT = 8
LARGEST_FILE = 2 * 2**20  # bytes of an original; larger ones are stored as the network sees them
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
ON_ITS_SIDE = 6  # EXIF: to be turned a quarter clockwise
TINT = (1.0, 0.6, 0.2)  # of red, green and blue

Judge = Callable[[Tensor], Tensor]
"""Maps ``(N, C, H, W)`` uint8 images to the logits ``(N, classes)`` of training's evaluation."""


@dataclass(frozen=True)
class Samples:
    """Golden samples; ``shows`` is by how much a mistake would change some logit, by its name."""

    golden: tuple[Golden, ...]
    shows: dict[str, float]


def make_samples(
    pixels: Tensor,
    labels: Sequence[int],
    originals: Sequence[bytes | None],
    judge: Judge,
    resize: Resize,
) -> Samples:
    """Return golden samples made of some candidates, and how well they show mistakes.

    Six are the first candidates. One, of which it matters most how it stands, is stored on its side
    with an EXIF tag that says so. Of colour images, one is that whose colours matter most; where
    they hardly do, it is tinted.

    Args:
        pixels: ``(M, C, H, W)`` uint8, as the network's evaluation sees them.
        labels: their classes.
        originals: the files that they come from, if they do.
        judge: what the golden logits come from.
        resize: how image files are made to fit.
    """
    logits = judge(pixels)
    on_side = torch.stack([seen_unturned(each, resize) for each in pixels])
    unturned = difference(judge(on_side), logits)
    shows = {"an ignored EXIF tag": float(unturned.max())}
    rows = list(range(min(COUNT - 2, len(pixels))))
    files = [original_or_png(pixels[row], originals[row]) for row in rows]
    turned = int(unturned.argmax())
    rows.append(turned)
    files.append((to_png(pixels[turned].rot90(1, (1, 2)), ON_ITS_SIDE), "png"))
    known: list[int | None] = [labels[row] for row in rows]
    said = [logits[row] for row in rows]
    if pixels.shape[1] == 3:
        coloured, label = most_colourful(pixels, labels, logits, judge)
        files.append((to_png(coloured), "png"))
        known.append(label)
        said.append(judge(coloured[None])[0])
        swapped = judge(coloured.flip(0)[None])
        shows["swapped channels"] = float(difference(swapped, said[-1][None]).max())
    golden = tuple(
        Golden(f"golden/{number:03d}.{kind}", data, label, tuple(each.tolist()))
        for number, ((data, kind), label, each) in enumerate(zip(files, known, said, strict=True))
    )
    return Samples(golden, shows)


def most_colourful(
    pixels: Tensor, labels: Sequence[int], logits: Tensor, judge: Judge
) -> tuple[Tensor, int | None]:
    """Return the image whose colours matter most, and its class; a tinted one if they do not."""
    swapped = difference(judge(pixels.flip(1)), logits)
    row = int(swapped.argmax())
    if float(swapped[row]) >= 0.01 * float(logits.abs().max()):
        return pixels[row], labels[row]
    return tint(pixels[row]), None


def difference(given: Tensor, expected: Tensor) -> Tensor:
    """Return the largest difference of a logit for each image ``(N,)``."""
    return (given - expected).abs().amax(1)


def original_or_png(pixels: Tensor, original: bytes | None) -> tuple[bytes, str]:
    """Return an image's file and its kind: as it was, if it is a PNG or JPEG of moderate size."""
    if original is not None and len(original) <= LARGEST_FILE and original.startswith(SIGNATURES):
        return original, "png" if original.startswith(SIGNATURES[0]) else "jpg"
    return to_png(pixels), "png"


def to_png(pixels: Tensor, orientation: int | None = None) -> bytes:
    """Return ``(C, H, W)`` uint8 as a PNG file, which loses nothing, perhaps with an EXIF tag."""
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    file = BytesIO()
    to_image(pixels).save(file, "PNG", **({"exif": exif} if orientation else {}))
    return file.getvalue()


def to_image(pixels: Tensor) -> Image.Image:
    """Return ``(C, H, W)`` uint8 as a Pillow image."""
    array = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
    return Image.fromarray(array.contiguous().numpy())


def seen_unturned(pixels: Tensor, resize: Resize) -> Tensor:
    """Return what would be seen of an image on its side by someone who ignores its EXIF tag."""
    channels, height, width = pixels.shape
    image = to_image(pixels.rot90(1, (1, 2)))
    return torch.from_numpy(to_pixels(image, channels, (height, width), resize))


def tint(pixels: Tensor) -> Tensor:
    """Return a colour image whose channels differ."""
    shares = torch.tensor(TINT).view(3, 1, 1)
    tinted = (pixels * shares + (255 - pixels) * (1 - shares) * 0.5).round()
    return tinted.clamp(0, 255).to(torch.uint8)
