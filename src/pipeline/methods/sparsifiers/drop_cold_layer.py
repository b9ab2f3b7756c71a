"""`drop_cold_layer`: remove the cold neurons of one layer, counted from 0, and no others."""

import numpy as np

from pipeline.config.roles import ARM
from pipeline.methods.sparsifiers.static import Neurons, Parted


class DropColdLayer(Parted):
    """The cold neurons of one layer.

    Sample:

        sparsifier: drop_cold_layer
        corpus: reasoning
        classification: coverage80
        levels: [0, 1]
    """

    label = "cold neurons of one layer"
    role = ARM
    part = "layer"
    numbers = (0, float("inf"))

    def members(self, neurons: Neurons, number: int) -> np.ndarray:
        """The layer's cold neurons."""
        return (neurons.layer == number) & ~neurons.hot
