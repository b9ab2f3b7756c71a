"""Thresholds of magnitudes, and what lies above them."""

import math
from typing import TYPE_CHECKING

from pipeline.numerics.histograms import Magnitudes

if TYPE_CHECKING:
    import torch


def limit(magnitudes: Magnitudes, share: float) -> float:
    """The threshold within which `share` of the magnitudes stay, as exactly as their bins allow.

    It is 0 at a share of 0, even if no magnitude is that small, and infinite at 1, since other text
    may have larger ones.
    """
    if share <= 0:
        return 0.0
    return magnitudes.interpolated(share) if share < 1 else math.inf


def above(x: "torch.Tensor", threshold: float) -> "torch.Tensor":
    """Bool like x: |x| > threshold. At 0 only zeros are left out, so nothing changes; NaN is never
    left out. Compared as float32, since torch would round the threshold to x's type."""
    return ~(x.abs().float() <= threshold)
