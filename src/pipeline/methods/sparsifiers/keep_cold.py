"""`keep_cold`: remove neurons in the classification's order, hottest first, until cold are left."""

from typing import Any

import numpy as np

from pipeline.config.roles import ARM, HOTTEST
from pipeline.methods.plan import Refused
from pipeline.methods.sparsifiers.base import Evidence
from pipeline.methods.sparsifiers.static import Neurons, Ordered, least_share
from pipeline.numerics.ranking import heat_ranks


class KeepCold(Ordered):
    """Hottest first, up to the hot set.

    Sample:

        sparsifier: keep_cold
        corpus: reasoning
        classification: coverage80
        levels: [0.1, hot]
    """

    label = "hottest first"
    role = ARM
    order = HOTTEST

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """Ranks as the classification's, from the hottest."""
        return heat_ranks(neurons.heat, neurons.layer, neurons.neuron)

    def most(self, evidence: Evidence, options: Any) -> float:
        """The hot set's share, of the layer that has fewest where each gives its own."""
        return least_share(evidence, evidence.neurons.hot)

    def limit(self, removed: int, hot: int, total: int) -> None:
        """Refused beyond the hot set: cold neurons would go as well."""
        if removed > hot:
            raise Refused(
                f"removing {removed} of {total} neurons goes beyond the {hot} hot ones, so cold "
                "neurons would go too"
            )
