"""How often the right class is among the k likeliest."""

from torch import Tensor

__all__ = ["top_k"]


def top_k(ranks: Tensor, most: int) -> tuple[float, ...]:
    """Return the shares of images whose class is among the 1, 2, … ``most`` likeliest.

    Args:
        ranks: ``(N,)`` int64, how many classes were likelier than the image's own.
        most: the largest k.
    """
    hits = ranks.clamp(max=most).bincount(minlength=most)[:most].cumsum(0)
    return tuple((hits.double() / len(ranks)).tolist())
