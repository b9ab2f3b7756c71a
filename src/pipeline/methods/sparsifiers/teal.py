"""`teal`: a linear layer skips the input channels whose magnitude is at most a threshold (TEAL,
arXiv 2408.14690).

Thresholds are quantiles of |x| over calibration text, from the profile's histograms, and not of a
distribution assumed to be symmetric.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.histograms import Magnitudes
from pipeline.methods.inputs_by_token import ByInput
from pipeline.methods.sparsifier import Evidence

if TYPE_CHECKING:
    import torch


class Teal(ByInput):
    """Small inputs of every linear layer; `settings` are thresholds of |x|."""

    def setting(self, evidence: Evidence, layer: int, name: str, share: float) -> float:
        """The magnitude that `share` of the layer's inputs stay within."""
        return limit(evidence.magnitudes(layer, name), share)

    def keep(
        self, module: "torch.nn.Module", setting: float
    ) -> "Callable[[torch.Tensor], torch.Tensor]":
        """|x| above the threshold."""
        return lambda x: above(x, setting)


def limit(magnitudes: Magnitudes, share: float) -> float:
    """The threshold that `share` of the magnitudes stay within, as near as their bins tell.

    At a share of 0 it is 0, though no magnitude may be as small; at 1 infinite, since other text
    has larger ones.
    """
    if share <= 0:
        return 0.0
    return magnitudes.interpolated(share) if share < 1 else math.inf


def above(x: "torch.Tensor", threshold: float) -> "torch.Tensor":
    """Bool like x: |x| > threshold. At 0 only zeros are left out, so nothing changes; what is not a
    number never is."""
    return ~(x.abs() <= threshold)
