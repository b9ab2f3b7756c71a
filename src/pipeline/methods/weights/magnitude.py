"""Magnitude pruning: the smallest weights of a matrix are removed."""

from typing import TYPE_CHECKING

from pipeline.methods.weights.patterns import kept

if TYPE_CHECKING:
    import torch


def magnitude_mask(weight: "torch.Tensor", share: float, pattern: str) -> "torch.Tensor":
    """Which weights stay, (outputs, inputs) bool: the score is |W_ij|, compared in the whole matrix
    (the layer-wise baseline of arXiv 2301.00774 and 2306.11695). Exact in every type of weight.

    ValueError as `patterns.kept` says.
    """
    return kept(weight.abs(), share, pattern, "matrix")
