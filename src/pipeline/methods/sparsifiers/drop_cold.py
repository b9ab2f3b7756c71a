"""`drop_cold`: remove neurons by activation frequency, coldest first.

The curve passes the end of the cold set at level `cold`; beyond it hot neurons go too.
"""

import numpy as np

from pipeline.methods.static import Neurons


class DropCold:
    """Coldest first."""

    seeded = False

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """Activation frequency."""
        return neurons.frequency

    def check(self, removed: int, hot: int, total: int) -> None:
        """Every level is a condition."""
