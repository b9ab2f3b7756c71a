"""`drop_random`: control that removes as many neurons, drawn by seed.

With scope `layer` it takes as many of each layer as every other order does at the same level, and
is their matched control. `match` names a method that ranks the whole model: as many are then drawn
of each layer as that method took. `among: cold` draws among the cold neurons alone, so that the
order of coldness can be told from not being hot.

    sparsifier: {name: drop_random, among: cold}
    sparsifier: {name: drop_random, match: drop_cold_of_model}
"""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.config.base import Name, Section
from pipeline.config.roles import CONTROL, RANDOM
from pipeline.methods.plan import Refused
from pipeline.methods.sparsifiers.base import Evidence
from pipeline.methods.sparsifiers.static import Neurons, Ordered, least_share
from pipeline.numerics.ranking import scrambled


class Options(Section):
    """How many are drawn of each layer, and among which."""

    match: Name | None = Field(
        None,
        description="method whose number of neurons removed is drawn in each layer; it has this "
        "method's levels and scope",
    )
    among: Literal["all", "cold"] = Field(
        "all", description="draw among all neurons, or among the cold ones of the classification"
    )


class DropRandom(Ordered):
    """A uniform draw without replacement; a higher level removes a superset.

    Sample:

        sparsifier: {name: drop_random, among: all}
        corpus: reasoning
        classification: coverage80
        levels: [0.25, cold]
        seeds: [0, 1, 2]
    """

    label = "drawn at random"
    role = CONTROL
    order = RANDOM
    seeded = True
    Options = Options
    follows = "match"

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """A hash of (seed, layer, neuron), uniform in [0, 1)."""
        return scrambled(neurons.layer, neurons.neuron, seed + 1) / 2.0**64

    def most(self, evidence: Evidence, options: Any) -> float:
        """The share of the neurons that may be drawn, of the layer that has fewest where each gives
        its own."""
        if options.among == "all":
            return 1.0
        return least_share(evidence, ~evidence.neurons.hot)

    def first(self, neurons: Neurons, count: int, seed: int, options: Any) -> np.ndarray:
        """The first `count` neurons of the draw, among those that may be drawn."""
        able = np.arange(neurons.hot.size)
        if options.among == "cold":
            able = np.flatnonzero(~neurons.hot)
        if count > able.size:
            layers = np.unique(neurons.layer)
            where = f"layer {layers[0]}" if len(layers) == 1 else "the model"
            raise Refused(
                f"{count} neurons are to be drawn among the cold ones of {where}, which has "
                f"{able.size} of them"
            )
        part = neurons.subset(able)
        chosen: np.ndarray = able[super().first(part, count, seed, options)]
        return chosen
