"""How unevenly an amount is spread over its holders."""

from fractions import Fraction
from math import ceil

import numpy as np

#: Sums of floats may miss a share that they reach by so much, relatively.
_ROUNDING = 1e-12


def smallest(amounts: np.ndarray, share: float) -> int:
    """How many of the first amounts carry `share` of their sum; 0 when there is nothing to carry.

    `amounts` fall. Exact in integers. The share counts as the decimal that it is written as: 0.28
    of 100 activations are 28, though 0.28 * 100 is above 28 in floats.
    """
    running = np.cumsum(amounts)
    if running.size == 0 or running[-1] == 0:
        return 0
    if np.issubdtype(amounts.dtype, np.integer):
        wanted = ceil(Fraction(str(share)) * int(running[-1]))
        return int(np.searchsorted(running, wanted, side="left")) + 1
    return int(np.searchsorted(running, share * running[-1] * (1 - _ROUNDING), side="left")) + 1


def gini(amounts: np.ndarray) -> float:
    """Gini coefficient of non-negative values: 0 when all are equal, near 1 when one has all."""
    ordered = np.sort(amounts)
    if ordered.size == 0 or ordered[-1] == 0:
        return 0.0
    places = np.arange(1, ordered.size + 1)
    return float((2 * places - ordered.size - 1) @ ordered / (ordered.size * ordered.sum()))


def carried(amounts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Share of the sum that the first `shares` of the amounts carry, the Lorenz curve from the
    largest down; `amounts` fall. Between two holders it is a straight line."""
    running = np.r_[0.0, np.cumsum(amounts, dtype=np.float64)]
    held: np.ndarray = np.interp(shares * amounts.size, np.arange(running.size), running)
    return held / running[-1] if running[-1] else np.zeros_like(shares)
