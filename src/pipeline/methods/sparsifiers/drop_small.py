"""`drop_small`: control that removes the neurons with the smallest weights first."""

import numpy as np

from pipeline.config.roles import CONTROL
from pipeline.methods.sparsifiers.static import Neurons, Ordered


class DropSmall(Ordered):
    """Smallest L2 norm over all the neuron's weights first; needs no calibration data.

    Sample:

        sparsifier: drop_small
        corpus: reasoning
        classification: coverage80
        levels: [0.25, 0.5]
    """

    label = "smallest weights first"
    role = CONTROL

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """Norm of every neuron's weights."""
        return neurons.weight_norm
