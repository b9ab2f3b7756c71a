"""`drop_cold`: remove neurons in the classification's order, coldest first (the cold end of
PowerInfer's split, arXiv 2312.12456).

Level `cold` removes exactly the cold set; beyond it hot neurons go too.
"""

import numpy as np

from pipeline.config.roles import ARM, COLDEST
from pipeline.methods.sparsifiers.static import Neurons, Ordered
from pipeline.numerics.ranking import heat_ranks


class DropCold(Ordered):
    """Coldest first.

    Sample:

        sparsifier: drop_cold
        corpus: reasoning
        classification: coverage80
        levels: [0.25, 0.5, cold]
    """

    label = "coldest first"
    role = ARM
    order = COLDEST

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """The classification's ranks, counted from the coldest."""
        return -heat_ranks(neurons.heat, neurons.layer, neurons.neuron)
