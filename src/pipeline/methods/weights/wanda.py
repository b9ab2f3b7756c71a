"""Wanda (arXiv 2306.11695): weights of each output's row are compared by how much they pass on."""

from typing import TYPE_CHECKING, Any

from pipeline.methods.weights.channels import wanda_scores
from pipeline.methods.weights.patterns import kept
from pipeline.methods.weights.pruner import Pruner, Read

if TYPE_CHECKING:
    import torch

    from pipeline.models.views import FFNView


def wanda_mask(
    weight: "torch.Tensor", input_norms: "torch.Tensor", share: float, pattern: str
) -> "torch.Tensor":
    """Which weights stay, (outputs, inputs) bool: the score is |W_ij| * ||X_j||_2 (equation 1),
    compared in each row; unstructured removes round(share * inputs) of every row.

    `input_norms` is ||X_j||_2 over all tokens, (inputs,). A common factor changes nothing, so root
    mean squares do as well. Scores are float64: products of float32 or smaller are exact there.

    ValueError unless there is one finite norm >= 0 for each input, and as `patterns.kept` says.
    """
    norms = input_norms.to(weight.device).double()
    if weight.ndim != 2 or tuple(norms.shape) != (weight.shape[1],):
        raise ValueError(
            f"weight {tuple(weight.shape)} and norms {tuple(norms.shape)}: needed are "
            "(outputs, inputs) and (inputs,)"
        )
    if not (norms.isfinite() & (norms >= 0)).all():
        raise ValueError("input norms: every one has to be finite and at least 0")
    return kept(weight.abs().double() * norms, share, pattern, "row")


class Wanda(Pruner):
    """The weights, or the neurons, that pass on least.

    Sample:

        weights: {name: wanda, pattern: "2:4"}
        corpus: reasoning
        levels: [0.5]
    """

    label = "Wanda"

    def prune(
        self, weight: "torch.Tensor", read: Read, share: float, options: Any
    ) -> "torch.Tensor":
        """The weight with zeros."""
        return weight * wanda_mask(weight, read.norms, share, options.pattern)

    def scores(self, ffn: "FFNView", read: Read) -> "torch.Tensor":
        """Wanda's scores summed over the neurons' output weights."""
        return wanda_scores(ffn.down.weight, read.norms)
