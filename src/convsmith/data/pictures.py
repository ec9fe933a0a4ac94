"""Pictures of samples and of what augmentation makes of them."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from convsmith.data.augment import Augment
from convsmith.data.images import Images
from convsmith.data.mixing import mix_pixels
from convsmith.randomness import generator

__all__ = ["augmented", "grid", "samples", "side_by_side", "strip", "thumbnail"]

CELL = 112  # pixels of one image in a grid
GAP = 6
NAME = 240  # pixels, the widest name of a row


def samples(images: Images, classes: int, count: int, seed: int = 0) -> Tensor:
    """Return indices of ``count`` images, going round the classes, drawn by seed."""
    draw = generator(seed, "samples")
    order = torch.randperm(len(images), generator=draw)
    labels = images.labels[order]
    turn = torch.zeros(len(order), dtype=torch.int64)  # the how-manieth of its class
    for label in range(classes):
        members = (labels == label).nonzero().flatten()
        turn[members] = torch.arange(len(members))
    ranked = (turn * classes + labels).argsort(stable=True)
    return order[ranked[:count]]


def augmented(pixels: Tensor, augment: Augment, seed: int) -> Tensor:
    """Return ``(N, C, H, W)`` uint8 images as training would see them."""
    draw = generator(seed, "augment", 0, 0)
    size = (pixels.shape[2], pixels.shape[3])
    changed = augment.apply(pixels, augment.draw(draw, len(pixels), size))
    mix = augment.draw_mix(draw, len(pixels), size)
    if mix is not None:
        changed = mix_pixels(changed, mix)
    return changed.round().clamp(0, 255).to(torch.uint8)


def thumbnail(pixels: Tensor, side: int = CELL) -> Image.Image:
    """Return one ``(C, H, W)`` uint8 image whose longer side is ``side``; small ones stay sharp."""
    channels, height, width = pixels.shape
    array = pixels[0] if channels != 3 else pixels.permute(1, 2, 0)
    image = Image.fromarray(array.contiguous().numpy())
    scale = side / max(height, width)
    smooth = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return image.resize(size, smooth).convert("RGB")


def grid(
    rows: Sequence[tuple[str, Tensor]], titles: Sequence[str] = (), cell: int = CELL
) -> Image.Image:
    """Return a picture of rows of images, each row with a name and each column with a title.

    Args:
        rows: a name, shortened if it is long, and ``(N, C, H, W)`` uint8 images.
        titles: of the columns; none leaves no room for them.
        cell: the side of one image's square in pixels.
    """
    font = ImageFont.load_default(14)
    rows = [(fitted(name, font, NAME), pixels) for name, pixels in rows]
    margin = GAP + max((round(font.getlength(name)) + 2 * GAP for name, _ in rows), default=0)
    top = 30 if titles else GAP
    columns = max(len(pixels) for _, pixels in rows)
    width = margin + columns * (cell + GAP)
    picture = Image.new("RGB", (width, top + len(rows) * (cell + GAP)), "white")
    draw = ImageDraw.Draw(picture)
    for column, title in enumerate(titles):
        place = margin + column * (cell + GAP) + cell / 2
        draw.text((place, 8), fitted(title, font, cell), "black", font, anchor="ma")
    for row, (name, pixels) in enumerate(rows):
        down = top + row * (cell + GAP)
        draw.text((GAP, down + cell / 2), name, "black", font, anchor="lm")
        for column, each in enumerate(pixels):
            image = thumbnail(each, cell)
            right = margin + column * (cell + GAP)
            corner = (right + (cell - image.width) // 2, down + (cell - image.height) // 2)
            picture.paste(image, corner)
    return picture


def strip(panels: Sequence[Tensor]) -> Image.Image:
    """Return ``(C, H, W)`` uint8 images of one size beside one another, nothing between them."""
    images = [thumbnail(each, max(each.shape[1:])) for each in panels]
    width, height = images[0].width + GAP, images[0].height
    picture = Image.new("RGBA", (len(images) * width - GAP, height))
    for number, image in enumerate(images):
        picture.paste(image, (number * width, 0))
    return picture


def side_by_side(panels: Sequence[tuple[str, Tensor]], lines: Sequence[str]) -> Image.Image:
    """Return a picture of images beside one another, each with its name, under lines of text.

    Args:
        panels: a name and a ``(C, H, W)`` uint8 image, all of one size.
        lines: the first is the title; those that are too long are shortened.
    """
    images = strip([pixels for _, pixels in panels])
    width, step = images.width, (images.width + GAP) // len(panels)
    fonts = [ImageFont.load_default(17), *[ImageFont.load_default(13)] * len(lines)]
    top = 18 + 22 * len(lines)
    picture = Image.new("RGB", (width + 24, top + images.height + 34), "white")
    draw = ImageDraw.Draw(picture)
    for row, (text, font) in enumerate(zip(lines, fonts, strict=False)):
        colour = "#5c626c" if row else "black"
        draw.text((12, 12 + 22 * row), fitted(text, font, width), colour, font)
    picture.paste(images, (12, top), images)
    for column, (name, _) in enumerate(panels):
        text = fitted(name, fonts[-1], step - GAP)
        place = (12 + column * step + (step - GAP) / 2, top + images.height + 8)
        draw.text(place, text, "#5c626c", fonts[-1], anchor="ma")
    return picture


def fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return a text, shortened until it is no wider than ``width`` pixels."""
    cut = text[: max(width, 1)]  # measuring takes time and memory; a letter has a pixel or more
    if cut == text and font.getlength(text) <= width:
        return text
    while cut and font.getlength(f"{cut}…") > width:
        cut = cut[:-1]
    return f"{cut}…"
