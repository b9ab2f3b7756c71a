"""`drop_small`: control that removes the neurons with the smallest weights first."""

import numpy as np

from pipeline.methods.static import Neurons, Ordered


class DropSmall(Ordered):
    """Smallest L2 norm over all the neuron's weights first; needs no calibration data."""

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """Weight norm."""
        return neurons.weight_norm
