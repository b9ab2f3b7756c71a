"""`drop_low_contribution`: control that removes the least contributing neurons first.

Contribution |h_i| * ||W_down[:, i]||_2, the quantity behind CETT, averaged over calibration tokens.
"""

import numpy as np

from pipeline.config.roles import CONTROL
from pipeline.methods.sparsifiers.static import Neurons, Ordered


class DropLowContribution(Ordered):
    """Smallest mean contribution first.

    Sample:

        sparsifier: drop_low_contribution
        corpus: reasoning
        classification: coverage80
        levels: [0.25, 0.5]
    """

    label = "smallest contribution first"
    role = CONTROL

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """Mean contribution of every neuron."""
        return neurons.mean_contribution
