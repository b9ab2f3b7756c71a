"""Coverage: the smallest set of neurons that carries a share of all activations.

PowerInfer's hot set with a share of 0.8 (arXiv 2312.12456, section 3).
"""

import numpy as np


class Coverage:
    """Hot are the most active neurons up to `share` of all activations."""

    def hot_count(self, counts: np.ndarray, share: float) -> int:
        """Exact in integers: the first count whose running sum reaches share * total."""
        running = np.cumsum(counts)
        if running.size == 0 or running[-1] == 0:
            return 0
        return int(np.searchsorted(running, share * running[-1], side="left")) + 1
