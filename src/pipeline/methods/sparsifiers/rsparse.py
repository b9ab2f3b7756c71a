"""`rsparse`: a linear layer reads its large inputs exactly and the others through a matrix of low
rank (R-Sparse, arXiv 2504.19449): Y = W s(x) + U V (x - s(x)).

A share s to spare leaves a budget of (1 - s) * m * n weights for an (m, n) matrix. Of it, alpha
goes
to channels, ranked by |x_i| * ||W[:, i]||_2, and the rest to the two factors of rank r = (1 - s) *
(1 - alpha) * m * n / (m + n). Alpha is chosen for every matrix from a few values by the error of
its output; the paper searches all matrices at once with an evolutionary algorithm. Sizes are the
matrices' own, also of narrow key and value projections.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pipeline.config.base import Section
from pipeline.methods.inputs_by_token import column_norms
from pipeline.methods.masks import Masks, Seen
from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifier import Evidence, PerToken
from pipeline.models.forward import Skipped
from pipeline.models.views import linear_layers, matrix

if TYPE_CHECKING:
    import torch


class Options(Section):
    """How the budget may be divided."""

    alphas: tuple[float, ...] = Field(
        (1.0, 0.95, 0.9, 0.8, 0.7, 0.5),
        min_length=1,
        description="shares of the budget that may go to channels; the rest goes to the low rank",
    )


class RSparse(PerToken):
    """Arrays: `LAYER/LINEAR/threshold` of the score, `.../alpha`, and the factors `.../left`
    (outputs, rank) and `.../right` (rank, inputs), absent at rank 0."""

    Options = Options

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """The best division of every matrix, on what reaches it in the dense model."""
        found: Arrays = {}
        blocks = evidence.blocks
        hidden = blocks.first
        for layer, block in enumerate(evidence.shape.blocks):
            named = list(linear_layers(block))
            with blocks.inputs([module for _, module in named]) as read:
                hidden = blocks.run(layer, hidden)
            for name, module in named:
                divided = divide(
                    matrix(module).detach(), blocks.counted(read[module]), share, options.alphas
                )
                found |= {f"{layer}/{name}/{key}": value for key, value in divided.items()}
        return found

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook threshold and low rank of every linear layer."""
        for layer, block in enumerate(masks.shape.blocks):
            for name, module in linear_layers(block):
                self._attach(masks, layer, module, arrays, f"{layer}/{name}")

    def _attach(
        self, masks: Masks, layer: int, module: "torch.nn.Module", arrays: Arrays, place: str
    ) -> None:
        import torch

        norms, threshold = column_norms(module), float(arrays[f"{place}/threshold"])
        rest, extra = None, 0
        if f"{place}/left" in arrays:
            left, right = (
                torch.from_numpy(arrays[f"{place}/{key}"]).to(norms) for key in ("left", "right")
            )
            extra = left.numel() + right.numel()

            def rest(x: "torch.Tensor") -> "torch.Tensor":
                return (x @ right.T) @ left.T

        def keep(x: "torch.Tensor") -> "torch.Tensor":
            return x.abs() * norms > threshold

        def skip(seen: Seen) -> Skipped:
            return Skipped(hidden=~keep(seen.hidden))

        if module is masks.shape.ffns[layer].down.module:
            masks.neurons(layer, skip, rest=rest, extra=extra)
        else:
            masks.inputs(module, keep, rest, extra)


def budget(share: float, alpha: float, outputs: int, inputs: int) -> tuple[float, int]:
    """(share of channels read, rank) within (1 - share) of the matrix' weights; the rank is rounded
    down, and what that leaves goes to channels."""
    left = (1 - share) * outputs * inputs
    rank = int((1 - alpha) * left / (outputs + inputs))
    return (left - rank * (outputs + inputs)) / (outputs * inputs), rank


def low_rank(weight: "torch.Tensor", rank: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """(left (outputs, rank), right (rank, inputs)): their product is the nearest matrix of that
    rank in the Frobenius norm; singular values are in `left`."""
    import torch

    u, s, v = torch.linalg.svd(weight.double(), full_matrices=False)
    return (u[:, :rank] * s[:rank]).to(weight.dtype), v[:rank].to(weight.dtype)


def divide(
    weight: "torch.Tensor", inputs: "torch.Tensor", share: float, alphas: tuple[float, ...]
) -> Arrays:
    """Threshold, alpha and factors with the least error of the output, mean over tokens of its
    length; `weight` (outputs, channels), `inputs` (tokens, channels)."""
    norms = weight.double().norm(dim=0).to(weight.dtype)
    scores = inputs.abs() * norms
    ordered = scores.flatten().sort().values
    best: tuple[float, Arrays] | None = None
    for alpha in alphas:
        read, rank = budget(share, alpha, *weight.shape)
        skipped = round((1 - read) * len(ordered))
        # A score of 0 adds nothing, so leaving it out changes nothing.
        threshold = float(ordered[skipped - 1]) if skipped > 0 else 0.0
        rest = inputs.masked_fill(scores > threshold, 0)
        error = rest @ weight.T
        found = {"threshold": np.array(threshold), "alpha": np.array(alpha)}
        if rank:
            left, right = low_rank(weight, rank)
            error = error - (rest @ right.T) @ left.T
            factors = {"left": left, "right": right}
            found |= {k: v.float().cpu().numpy() for k, v in factors.items()}
        size = float(error.double().norm(dim=-1).mean())
        if best is None or size < best[0]:
            best = size, found
    if best is None:
        raise ValueError("no alpha to choose from")
    return best[1]
