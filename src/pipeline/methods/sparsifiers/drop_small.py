"""`drop_small`: control that removes the neurons with the smallest weights first."""

import numpy as np

from pipeline.methods.static import Neurons


class DropSmall:
    """Smallest L2 norm over all the neuron's weights first; needs no calibration data."""

    seeded = False
    part = ""

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """Weight norm."""
        return neurons.weight_norm

    def check(self, removed: int, hot: int, total: int) -> None:
        """Every level is a condition."""
