"""`rsparse`: a linear layer reads its large inputs exactly and the others through a matrix of low
rank (R-Sparse, arXiv 2504.19449): Y = W s(x) + U V (x - s(x)).

Sparing a share s leaves a budget of (1 - s) * m * n weights for an (m, n) matrix. The part alpha of
it goes to channels, ranked by |x_i| * ||W[:, i]||_2, and the rest to the two factors of rank r = (1
- s) * (1 - alpha) * m * n / (m + n). Alpha is chosen for every matrix from a few values by the
error of its output; the paper searches all matrices at once with an evolutionary algorithm. Sizes
are the matrices' own, also for narrow key and value projections.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from pipeline.config.base import Section
from pipeline.methods.masks import Masks, Seen
from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifiers.base import Evidence, Sparsifier
from pipeline.methods.sparsifiers.by_input import column_norms
from pipeline.methods.sparsifiers.thresholds import above
from pipeline.models.forward import Skipped
from pipeline.models.views import linear_layers, matrix

if TYPE_CHECKING:
    import torch

    Factors = tuple[torch.Tensor, torch.Tensor]


class Options(Section):
    """How the budget may be divided."""

    alphas: tuple[float, ...] = Field(
        (1.0, 0.95, 0.9, 0.8, 0.7, 0.5),
        min_length=1,
        description="shares of the budget that may go to channels; the rest goes to the low rank",
    )

    @field_validator("alphas")
    @classmethod
    def _shares(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= value <= 1 for value in values):
            raise ValueError("values must be from 0 to 1")
        return values


class RSparse(Sparsifier):
    """Small inputs go through a matrix of low rank.

    Arrays: `LAYER/LINEAR/threshold` of the score, `.../alpha`, and the factors `.../left` (outputs,
    rank) and `.../right` (rank, inputs), absent at rank 0.

    Sample:

        sparsifier: {name: rsparse, alphas: [1.0, 0.9, 0.7]}
        corpus: reasoning
        levels: [0.5, 0.7]
    """

    label = "R-Sparse"
    Options = Options

    def __init__(self) -> None:
        self._factors: tuple[Evidence, dict[str, Factors]] | None = None

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """The best division of every matrix, on what reaches it in the dense model."""
        found: Arrays = {}
        if self._factors is None or self._factors[0] is not evidence:
            self._factors = evidence, {}
        factors = self._factors[1]
        blocks = evidence.blocks
        hidden = blocks.first
        for layer, block in enumerate(evidence.layout.blocks):
            named = list(linear_layers(block))
            with blocks.inputs([module for _, module in named]) as read:
                hidden = blocks.run(layer, hidden)
            for name, module in named:
                place, weight = f"{layer}/{name}", matrix(module).detach()
                # Computed once for all shares, since it takes longer than everything else.
                if place not in factors:
                    most = max(budget(0, alpha, *weight.shape)[1] for alpha in options.alphas)
                    factors[place] = low_rank(weight, most)
                inputs = blocks.counted(read[module])
                divided = divide(weight, factors[place], inputs, share, options.alphas)
                found |= {f"{place}/{key}": value for key, value in divided.items()}
        return found

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook threshold and low rank of every linear layer."""
        for layer, block in enumerate(masks.layout.blocks):
            for name, module in linear_layers(block):
                self._attach(masks, layer, module, arrays, f"{layer}/{name}")

    def _attach(
        self, masks: Masks, layer: int, module: "torch.nn.Module", arrays: Arrays, place: str
    ) -> None:
        import torch

        weight, threshold = matrix(module), float(arrays[f"{place}/threshold"])
        norms = column_norms(weight)
        rest, extra = None, 0
        if f"{place}/left" in arrays:
            left, right = (
                torch.from_numpy(arrays[f"{place}/{key}"]).to(weight) for key in ("left", "right")
            )
            extra = left.numel() + right.numel()

            def rest(x: "torch.Tensor") -> "torch.Tensor":
                return (x @ right.T) @ left.T

        def keep(x: "torch.Tensor") -> "torch.Tensor":
            return above(x * norms, threshold)

        def skip(seen: Seen) -> Skipped:
            return Skipped(hidden=~keep(seen.hidden))

        if module is masks.layout.ffns[layer].down.module:
            masks.neurons(layer, skip, rest=rest, extra=extra)
        else:
            masks.inputs(module, keep, rest, extra)


def budget(share: float, alpha: float, outputs: int, inputs: int) -> tuple[float, int]:
    """(share of channels read, rank) within (1 - share) of the matrix' weights; the rank is rounded
    down, and what that leaves goes to channels.

    Shares are taken as the decimals that they are written as: (1 - 0.9) * 10 is 1, though it is
    below 1 in floats.
    """
    left = (1 - Fraction(str(share))) * outputs * inputs
    rank = math.floor((1 - Fraction(str(alpha))) * left / (outputs + inputs))
    return float((left - rank * (outputs + inputs)) / (outputs * inputs)), rank


def low_rank(weight: "torch.Tensor", rank: int) -> "Factors":
    """(left (outputs, rank), right (rank, inputs)): their product is the nearest matrix of that
    rank in the Frobenius norm. Singular values are in `left`, the largest first, so the first
    columns and rows are the factors of any smaller rank."""
    import torch

    if not rank:
        return weight.new_zeros(len(weight), 0), weight.new_zeros(0, weight.shape[1])
    u, s, v = torch.linalg.svd(weight.double(), full_matrices=False)
    return (u[:, :rank] * s[:rank]).to(weight.dtype), v[:rank].to(weight.dtype)


def divide(
    weight: "torch.Tensor",
    factors: "Factors",
    inputs: "torch.Tensor",
    share: float,
    alphas: Sequence[float],
) -> Arrays:
    """Threshold, alpha and factors with the smallest error of the output (the mean over tokens of
    the error's length), the first of equal ones.

    `weight` is (outputs, channels), `factors` its `low_rank` for the largest rank that any alpha
    allows, `inputs` (tokens, channels). At a share of 0 all channels are read, whatever the alphas;
    where none is read the threshold is infinite, since other text has larger scores.
    """
    scores = inputs.abs() * column_norms(weight)
    ordered = scores.flatten().sort().values
    best: tuple[float, Arrays] | None = None
    for alpha in alphas if share > 0 else (1.0,):
        read, rank = budget(share, alpha, *weight.shape)
        skipped = round((1 - read) * len(ordered))
        # A score of 0 adds nothing, so leaving it out changes nothing.
        threshold = float(ordered[skipped - 1]) if skipped > 0 else 0.0
        if skipped == len(ordered):
            threshold = math.inf
        rest = inputs.masked_fill(above(scores, threshold), 0)
        error = rest @ weight.T
        found = {"threshold": np.array(threshold), "alpha": np.array(alpha)}
        if rank:
            left, right = factors[0][:, :rank], factors[1][:rank]
            error = error - (rest @ right.T) @ left.T
            found["left"], found["right"] = (part.float().cpu().numpy() for part in (left, right))
        size = float(error.double().norm(dim=-1).mean())
        if best is None or size < best[0]:
            best = size, found
    if best is None:
        raise ValueError("no alpha to choose from")
    return best[1]
