"""How unevenly an amount is spread over its holders."""

import numpy as np

from pipeline.numerics.counts import at_least

#: Relative amount by which a sum of floats may miss a share that it reaches in exact arithmetic.
_ROUNDING = 1e-12


def smallest(amounts: np.ndarray, share: float) -> int:
    """How many of the first amounts carry `share` of their sum; 0 when there is nothing to carry.

    `amounts` are in falling order. Exact for integers.
    """
    running = np.cumsum(amounts)
    if running.size == 0 or running[-1] == 0:
        return 0
    if np.issubdtype(amounts.dtype, np.integer):
        wanted = at_least(share, int(running[-1]))
        return int(np.searchsorted(running, wanted, side="left")) + 1
    return int(np.searchsorted(running, share * running[-1] * (1 - _ROUNDING), side="left")) + 1


def gini(amounts: np.ndarray) -> float:
    """Gini coefficient of non-negative values: 0 when all are equal, near 1 when one holder has
    everything."""
    # Products of counts and places overflow integers in large models.
    ordered = np.sort(amounts).astype(np.float64)
    if ordered.size == 0 or ordered[-1] == 0:
        return 0.0
    places = np.arange(1, ordered.size + 1)
    return float((2 * places - ordered.size - 1) @ ordered / (ordered.size * ordered.sum()))


def carried(amounts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Share of the sum that the first `shares` of the amounts carry, the Lorenz curve from the
    largest down; `amounts` are in falling order. Between two holders the curve is a straight
    line."""
    running = np.r_[0.0, np.cumsum(amounts, dtype=np.float64)]
    held: np.ndarray = np.interp(shares * amounts.size, np.arange(running.size), running)
    return held / running[-1] if running[-1] else np.zeros_like(shares)
