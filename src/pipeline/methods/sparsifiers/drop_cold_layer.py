"""`drop_cold_layer`: remove the cold neurons of one layer, 0 the first, and no other."""

import numpy as np

from pipeline.methods.static import Neurons, Parted


class DropColdLayer(Parted):
    """The cold neurons of one layer."""

    part = "layer"
    numbers = (0, float("inf"))

    def members(self, neurons: Neurons, number: int) -> np.ndarray:
        """The layer's cold neurons."""
        return (neurons.layer == number) & ~neurons.hot
