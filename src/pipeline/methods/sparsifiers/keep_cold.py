"""`keep_cold`: remove neurons in the classification's order, hottest first, until only cold ones
are left."""

import numpy as np

from pipeline.config.roles import ARM, HOTTEST
from pipeline.methods.plan import Refused
from pipeline.methods.sparsifiers.base import Evidence
from pipeline.methods.sparsifiers.static import Neurons, Ordered
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
        """The classification's ranks, counted from the hottest."""
        return heat_ranks(neurons.heat, neurons.layer, neurons.neuron)

    def most(self, evidence: Evidence) -> float:
        """The hot set's share; where each layer gives its own, that of the layer with the
        smallest."""
        hot, layers = evidence.neurons.hot, evidence.neurons.layer
        if evidence.scope == "layer":
            return float(min(hot[layers == layer].mean() for layer in np.unique(layers)))
        return float(hot.mean())

    def limit(self, removed: int, hot: int, total: int) -> None:
        """Raise Refused beyond the hot set, where cold neurons would go as well."""
        if removed > hot:
            raise Refused(
                f"removing {removed} of {total} neurons goes beyond the {hot} hot ones, so cold "
                "neurons would go too"
            )
