"""What the runtime raises on purpose: one clear line each."""

__all__ = ["BundleError", "ImageError"]


class ImageError(ValueError):
    """A file is missing, not an image, cut off, or of too many pixels."""


class BundleError(ValueError):
    """A file is no bundle, a damaged one, or one that must not be opened."""
