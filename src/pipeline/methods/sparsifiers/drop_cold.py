"""`drop_cold`: remove neurons in the classification's order, coldest first.

The curve passes the end of the cold set at level `cold`; beyond it hot neurons go too.
"""

import numpy as np

from pipeline.methods.static import Neurons, Ordered
from pipeline.ranking import heat_ranks


class DropCold(Ordered):
    """Coldest first."""

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """Ranks as the classification's, from the coldest."""
        return -heat_ranks(neurons.heat, neurons.layer, neurons.neuron)
