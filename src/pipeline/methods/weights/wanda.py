"""Wanda (arXiv 2306.11695): weights are compared by what they pass on, in each output's row."""

from typing import TYPE_CHECKING

from pipeline.methods.weights.patterns import kept

if TYPE_CHECKING:
    import torch


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
