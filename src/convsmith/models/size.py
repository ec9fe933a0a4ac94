"""Refusing images that are too small for a network, with the smallest size that is not."""

from convsmith.errors import ModelError

__all__ = ["require_size"]


def require_size(name: str, image_size: tuple[int, int], smallest: int) -> None:
    """Raise ModelError unless both sides are at least ``smallest`` pixels."""
    height, width = image_size
    if min(height, width) < smallest:
        raise ModelError(
            f"{name} needs images of at least {smallest}x{smallest} pixels, not {height}x{width}"
        )
