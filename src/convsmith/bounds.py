"""Number types with their limits, used in the signatures that recipes are validated against."""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Count = Annotated[int, Ge(1), Le(1_000_000_000)]
"""A whole number, at least 1; a thousand million is taken for a slip of the hand."""

Whole = Annotated[int, Ge(0)]
"""A whole number, at least 0."""

Positive = Annotated[float, Gt(0), Le(1e30)]
"""A number above 0 that float32 holds, with room for a product."""

NonNegative = Annotated[float, Ge(0)]
"""A number that is 0 or more."""

Fraction = Annotated[float, Ge(0), Lt(1)]
"""A number from 0 up to, but not including, 1: a dropout rate, a smoothing, a momentum."""

Share = Annotated[float, Ge(0), Le(1)]
"""A number from 0 to 1, both included: a probability."""
