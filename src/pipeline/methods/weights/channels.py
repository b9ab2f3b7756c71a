"""FFN channels: a neuron's inner weights and its column of W_down, scored and removed as one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.methods.weights.patterns import check_share, lowest
from pipeline.numerics.roots import roots, sums_of_squares

if TYPE_CHECKING:
    import torch


def magnitude_scores(matrices: Sequence["torch.Tensor"], down: "torch.Tensor") -> "torch.Tensor":
    """L2 norm of all of a neuron's weights, (d_ff,) float64.

    `matrices` are the inner ones (W_up, and W_gate of a gated FFN), each (d_ff, d_model); `down` is
    W_down, (d_model, d_ff). Biases are left out.

    ValueError where the shapes do not fit.
    """
    expected = (down.shape[-1], down.shape[0])
    if down.ndim != 2 or any(tuple(matrix.shape) != expected for matrix in matrices):
        raise ValueError(
            f"inner matrices {[tuple(matrix.shape) for matrix in matrices]} and down "
            f"{tuple(down.shape)}: needed are (d_ff, d_model) and (d_model, d_ff)"
        )
    squares = sums_of_squares(down, 0)
    for matrix in matrices:
        squares = squares + sums_of_squares(matrix, 1)
    return roots(squares)


def wanda_scores(down: "torch.Tensor", hidden_norms: "torch.Tensor") -> "torch.Tensor":
    """Sum over the outputs o of |W_down[o, i]| * ||h_i||_2, (d_ff,) float64: Wanda's score (arXiv
    2306.11695, equation 1) summed over the column that neuron i owns.

    `down` is W_down, (d_model, d_ff); `hidden_norms` is ||h_i||_2 over all tokens, (d_ff,).

    ValueError where the shapes do not fit.
    """
    if down.ndim != 2 or tuple(hidden_norms.shape) != (down.shape[1],):
        raise ValueError(
            f"down {tuple(down.shape)} and norms {tuple(hidden_norms.shape)}: needed are "
            "(d_model, d_ff) and (d_ff,)"
        )
    return down.double().abs().sum(dim=0) * hidden_norms.to(down.device).double()


def dropped(scores: "torch.Tensor", share: float) -> "torch.Tensor":
    """Which channels go, (d_ff,) bool: exactly the round(share * d_ff) with the lowest scores, of
    equal ones those with the lower index.

    ValueError unless scores are (d_ff,) without NaN, and the share is in [0, 1].
    """
    check_share(share)
    if scores.ndim != 1 or scores.isnan().any():
        raise ValueError(
            f"scores of shape {tuple(scores.shape)}, {int(scores.isnan().sum())} of them NaN: "
            "needed is (d_ff,) without NaN"
        )
    return lowest(scores, round(share * len(scores)))
