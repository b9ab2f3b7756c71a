"""Magnitude pruning: the smallest weights of a matrix are removed."""

from typing import TYPE_CHECKING, Any

from pipeline.methods.weights.channels import magnitude_scores
from pipeline.methods.weights.patterns import kept
from pipeline.methods.weights.pruner import Pruner, Read

if TYPE_CHECKING:
    import torch

    from pipeline.models.views import FFNView


def magnitude_mask(weight: "torch.Tensor", share: float, pattern: str) -> "torch.Tensor":
    """Which weights stay, (outputs, inputs) bool: the score is |W_ij|, compared in the whole matrix
    (the layer-wise baseline of arXiv 2301.00774 and 2306.11695). Exact in every type of weight.

    ValueError as `patterns.kept` says.
    """
    return kept(weight.abs(), share, pattern, "matrix")


class Magnitude(Pruner):
    """The smallest weights of each matrix, or the neurons with the smallest norms.

    Sample:

        weights: magnitude
        corpus: reasoning
        levels: [0.25, 0.5]
    """

    label = "magnitude pruning"
    weighs_inputs = False

    def prune(
        self, weight: "torch.Tensor", read: Read, share: float, options: Any
    ) -> "torch.Tensor":
        """The weight with zeros."""
        return weight * magnitude_mask(weight, share, options.pattern)

    def scores(self, ffn: "FFNView", read: Read) -> "torch.Tensor":
        """Norms of all weights of the neurons."""
        return magnitude_scores([p.weight for p in ffn.inner], ffn.down.weight)
