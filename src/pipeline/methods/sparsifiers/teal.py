"""`teal`: a linear layer skips the input channels whose magnitude is at most a threshold (TEAL,
arXiv 2408.14690).

Thresholds are quantiles of |x| over calibration text, from the profile's histograms, and not of a
distribution assumed to be symmetric.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifiers.base import Evidence
from pipeline.methods.sparsifiers.by_input import ByInput
from pipeline.methods.sparsifiers.thresholds import above, limit
from pipeline.models.skips import CHANNELS, LayerRules
from pipeline.models.views import ModelView, linear_layers

if TYPE_CHECKING:
    import torch


class Teal(ByInput):
    """Small inputs of every linear layer; `settings` are thresholds of |x|.

    Sample:

        sparsifier: {name: teal, allocation: greedy}
        corpus: reasoning
        levels: [0.5, 0.7]
        measure: model_weight_sparsity
    """

    label = "TEAL"
    kernel_form = CHANNELS

    def setting(self, evidence: Evidence, layer: int, name: str, share: float) -> float:
        """The magnitude that `share` of the layer's inputs stay within."""
        return limit(evidence.magnitudes(layer, name), share)

    def keep(
        self, module: "torch.nn.Module", setting: float
    ) -> "Callable[[torch.Tensor], torch.Tensor]":
        """Read channels with |x| above the threshold."""
        return lambda x: above(x, setting)

    def for_kernels(
        self, arrays: Arrays, options: Any, layout: ModelView, from_start: bool
    ) -> list[LayerRules]:
        """The thresholds of all linear layers, with the shares that they are the quantiles of."""
        found = []
        for layer, block in enumerate(layout.blocks):
            names = [name for name, _ in linear_layers(block)]
            own, shares = (
                dict(zip(names, map(float, arrays[kind][layer]), strict=True))
                for kind in ("settings", "shares")
            )
            found.append(LayerRules(channels=own, expected=shares))
        return found
