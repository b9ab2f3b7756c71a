"""Thresholds of magnitudes, and what lies above them."""

import math
from typing import TYPE_CHECKING

from pipeline.numerics.histograms import Magnitudes

if TYPE_CHECKING:
    import torch


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
    number never is. Compared as float32, since torch would round the threshold to x's type."""
    return ~(x.abs().float() <= threshold)
