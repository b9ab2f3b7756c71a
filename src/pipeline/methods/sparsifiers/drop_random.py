"""`drop_random`: control that removes as many neurons, drawn by seed."""

import numpy as np

from pipeline.methods.static import Neurons, Ordered
from pipeline.ranking import scrambled


class DropRandom(Ordered):
    """A uniform draw without replacement; a higher level removes a superset."""

    seeded = True

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """A hash of (seed, layer, neuron), uniform in [0, 1)."""
        return scrambled(neurons.layer, neurons.neuron, seed + 1) / 2.0**64
