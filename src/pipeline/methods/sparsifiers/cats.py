"""`cats`: neurons whose |act(gate)| is below a threshold are skipped (CATS, arXiv 2404.08763).

The gate is always read, so at most two thirds of the FFN's weights are spared. Thresholds are
quantiles over calibration text, from the profile's histograms, which have no largest bin.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.methods.masks import Masks, Seen
from pipeline.methods.plan import Arrays, Refused
from pipeline.methods.sparsifiers.base import Evidence, Sparsifier
from pipeline.methods.sparsifiers.thresholds import above, limit
from pipeline.models.forward import Skipped
from pipeline.models.skips import THRESHOLD, LayerRules, Threshold
from pipeline.models.views import ModelView


class Cats(Sparsifier):
    """Neurons with a small output of the gate are skipped. Arrays: `thresholds` (layers,) of
    |act(gate)|.

    Sample:

        sparsifier: cats
        corpus: reasoning
        levels: [0.5, 0.7]
    """

    label = "CATS"
    kernel_form = THRESHOLD

    def check(self, layout: ModelView, options: Any) -> None:
        """Raise Refused for an FFN without a gate."""
        if not layout.ffns[0].gated:
            raise Refused("this model's FFN has no gate, whose output CATS compares")

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """Thresholds within which the same share of every layer's neurons stays."""
        layers = range(len(evidence.layout.ffns))
        found = [limit(evidence.magnitudes(layer, "ffn.activation"), share) for layer in layers]
        return {"thresholds": np.array(found)}

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook every layer's threshold."""
        for layer, threshold in enumerate(arrays["thresholds"]):
            masks.neurons(layer, _rule(float(threshold)), sees=("gate",))

    def for_kernels(
        self, arrays: Arrays, options: Any, layout: ModelView, from_start: bool
    ) -> list[LayerRules]:
        """The thresholds as they are, one per layer."""
        return [LayerRules(neurons=Threshold(float(each))) for each in arrays["thresholds"]]


def _rule(threshold: float) -> Callable[[Seen], Skipped]:
    def skip(seen: Seen) -> Skipped:
        if seen.gate is None:
            raise ValueError("act(gate) was not asked for")
        return Skipped(gate=~above(seen.gate, threshold))

    return skip
