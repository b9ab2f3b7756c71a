"""`drop_low_contribution`: control that removes the least contributing neurons first.

Contribution |h_i| * ||W_down[:, i]||_2, the quantity behind CETT, averaged over calibration tokens.
"""

import numpy as np

from pipeline.methods.static import Neurons, Ordered


class DropLowContribution(Ordered):
    """Smallest mean contribution first."""

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """Mean contribution."""
        return neurons.mean_contribution
