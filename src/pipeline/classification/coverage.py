"""Coverage: the smallest set of neurons that carries a share of all activations.

PowerInfer's hot set with a share of 0.8 (arXiv 2312.12456, section 3).
"""

from fractions import Fraction
from math import ceil

import numpy as np


class Coverage:
    """Hot are the most active neurons up to `share` of all activations."""

    def hot_count(self, counts: np.ndarray, share: float) -> int:
        """Exact in integers: the first count whose running sum reaches share * total.

        The share counts as the decimal that it is written as: 0.28 of 100 activations are 28,
        though 0.28 * 100 is above 28 in floats.
        """
        running = np.cumsum(counts)
        if running.size == 0 or running[-1] == 0:
            return 0
        wanted = ceil(Fraction(str(share)) * int(running[-1]))
        return int(np.searchsorted(running, wanted, side="left")) + 1
