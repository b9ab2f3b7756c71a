"""`keep_cold`: remove neurons in the classification's order, hottest first, until cold are left."""

import numpy as np

from pipeline.methods.plan import Refused
from pipeline.methods.static import Neurons, Ordered
from pipeline.ranking import heat_ranks


class KeepCold(Ordered):
    """Hottest first, up to the hot set."""

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """Ranks as the classification's, from the hottest."""
        return heat_ranks(neurons.heat, neurons.layer, neurons.neuron)

    def limit(self, removed: int, hot: int, total: int) -> None:
        """Refused beyond the hot set: cold neurons would go as well."""
        if removed > hot:
            raise Refused(
                f"removing {removed} of {total} neurons goes beyond the {hot} hot ones, so cold "
                "neurons would go too"
            )
