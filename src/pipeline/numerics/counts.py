"""Counts that correspond to a share of a whole."""

from fractions import Fraction
from math import ceil


def at_least(share: float, total: int) -> int:
    """The smallest whole number that is at least `share` of `total`.

    The share is taken as the decimal that it is written as: 0.28 of 100 are 28, though 0.28 * 100
    is above 28 in floats.
    """
    return ceil(Fraction(str(share)) * total)
