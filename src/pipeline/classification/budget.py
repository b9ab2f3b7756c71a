"""Budget: a fixed share of the neurons is hot, as a memory limit dictates."""

import numpy as np


class Budget:
    """Hot is the most active `share` of the neurons."""

    def hot_count(self, counts: np.ndarray, share: float) -> int:
        """Nearest whole number of neurons."""
        return round(share * counts.size)
