"""`drop_decile`: remove one tenth of the neurons and no others, from 1, the coldest, to 10, the
hottest: a tenth of every layer, or of the model's neurons ranked together.

It shows what each part of the activity range is worth by itself, which a curve of cumulative
removal cannot.
"""

import numpy as np

from pipeline.config.roles import ARM
from pipeline.methods.sparsifiers.static import Neurons, Parted
from pipeline.numerics.ranking import deciles


class DropDecile(Parted):
    """One decile of activation frequency.

    Sample:

        sparsifier: drop_decile
        corpus: reasoning
        classification: coverage80
        levels: [1, 10]
    """

    label = "one decile of activity"
    role = ARM
    part = "decile"
    numbers = (1, 10)
    scopes = ("layer", "model")

    def members(self, neurons: Neurons, number: int) -> np.ndarray:
        """The decile's neurons."""
        return deciles(neurons.frequency, neurons.layer, neurons.neuron) == number
