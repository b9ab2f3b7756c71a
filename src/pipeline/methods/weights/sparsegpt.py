"""SparseGPT (arXiv 2301.00774): later weights of a row make up for what removing a weight loses.

For one row w of a linear layer with inputs x, removing weights and re-fitting the others to least
E(w x - w' x)^2 is optimal brain surgery with the Hessian H = 2 E(x x^T). SparseGPT goes through
the columns from left to right and lets only later ones change, so that all rows share one inverse
of what is left of H, and all of these come from one Cholesky factor.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.methods.weights.patterns import Pattern, fitting, lowest
from pipeline.methods.weights.pruner import Pruner, Read, Share

if TYPE_CHECKING:
    import torch


def sparsegpt_weight(
    weight: "torch.Tensor",
    second_moment: "torch.Tensor",
    share: float,
    pattern: str,
    block: int = 128,
    damping: float = 0.01,
) -> "torch.Tensor":
    """The pruned and re-fitted weight, (outputs, inputs) in the type of `weight` (Algorithm 1).

    `second_moment` is the mean of x x^T over all tokens, (inputs, inputs), and H = 2 *
    second_moment + damping * mean(diag(2 * second_moment)) * I. Inputs that are always 0 get 1 on
    the diagonal of H in place of their 0 and lose all their weights, even beyond the share; in the
    mean they count as 0.

    Weights are chosen by w^2 / U_jj^2, U the upper Cholesky factor of the inverse of H; of equal
    ones the first goes. Unstructured chooses in each block of columns among all its rows together,
    before the block is worked on; a block's count is what brings the sum of all so far to
    round(share * weights so far), so the matrix loses exactly round(share * n). `n:m` chooses in
    each row's group when its first column is reached, by the weights as re-fitted until then. Where
    nothing is removed the result is a copy, bit for bit.

    All is float64 until the result is rounded to the type of `weight`; removed weights are exactly
    0. The same machine and number of threads give the same bits.

    ValueError for shapes that do not fit, numbers that are not finite, a block that cuts groups of
    the pattern, an H that is not positive definite, as `patterns.fitting` says, and where a
    re-fitted weight is beyond the range of its type.
    """
    if weight.ndim != 2 or tuple(second_moment.shape) != (weight.shape[1],) * 2:
        raise ValueError(
            f"weight {tuple(weight.shape)} and second moment {tuple(second_moment.shape)}: needed "
            "are (outputs, inputs) and (inputs, inputs)"
        )
    outputs, inputs = weight.shape
    structure = fitting(pattern, share, inputs)
    if block < 1 or (structure and min(block, inputs) % structure.of):
        raise ValueError(
            f"block {block}: needed is at least one column, and whole groups of the pattern "
            f"{pattern}"
        )
    if not (weight.isfinite().all() and second_moment.isfinite().all()):
        raise ValueError("weight and second moment: every number has to be finite")
    if not round(share * weight.numel()):
        return weight.clone()
    moment = second_moment.to(weight.device).double()
    factor = inverse_factor(moment, damping)
    working = weight.double().masked_fill(moment.diagonal() == 0, 0.0)
    for start in range(0, inputs, block):
        end = min(start + block, inputs)
        count = round(share * outputs * end) - round(share * outputs * start)
        part = factor[start:end, start:end]
        errors = _prune(working[:, start:end], part, structure, count)
        working[:, end:] -= errors @ factor[start:end, end:]
    pruned = working.to(weight.dtype)
    if not pruned.isfinite().all():
        raise ValueError(
            f"a re-fitted weight of {float(working.abs().max()):.6g} is beyond {weight.dtype}"
        )
    return pruned


def inverse_factor(second_moment: "torch.Tensor", damping: float) -> "torch.Tensor":
    """U, (inputs, inputs) upper triangular with a positive diagonal and U^T U = H^-1; H is that of
    `sparsegpt_weight`, `second_moment` float64.

    U_jj^2 and U_jj U[j, j:] are the first element and the first row of the inverse of H[j:, j:].

    ValueError where H is not positive definite.
    """
    import torch

    diagonal = 2 * second_moment.diagonal()
    hessian = 2 * second_moment
    hessian.diagonal().copy_(torch.where(diagonal == 0, torch.ones_like(diagonal), diagonal))
    hessian.diagonal().add_(damping * diagonal.mean())
    # H = R R^T with R upper triangular is a Cholesky factorisation from the last column to the
    # first, and U is the inverse of R: H is never inverted itself, which costs half and loses less.
    reverse, failed = torch.linalg.cholesky_ex(hessian.flip(0, 1))
    if failed:
        raise ValueError(
            f"damping {damping}: the Hessian of {len(diagonal)} inputs is not positive definite; "
            "needed is a positive semidefinite second moment, and more damping where it is singular"
        )
    root = reverse.flip(0, 1)
    identity = torch.eye(len(root), dtype=root.dtype, device=root.device)
    return torch.linalg.solve_triangular(root, identity, upper=True)


def _prune(
    current: "torch.Tensor", factor: "torch.Tensor", structure: Pattern | None, count: int
) -> "torch.Tensor":
    """Prune a block of columns in place; what its removed weights were when they went, over U_jj,
    (outputs, columns) and 0 elsewhere, which is what later blocks make up for."""
    import torch

    scale = factor.diagonal()
    removed = torch.zeros_like(current, dtype=torch.bool)
    if not structure:
        scores = (current / scale).square()
        removed = lowest(scores.reshape(-1), count).reshape(scores.shape)
    errors = torch.zeros_like(current)
    for column in range(current.shape[1]):
        if structure and column % structure.of == 0:
            group = slice(column, column + structure.of)
            scores = (current[:, group] / scale[group]).square()
            removed[:, group] = lowest(scores, structure.of - structure.keep)
        errors[:, column] = torch.where(removed[:, column], current[:, column] / scale[column], 0.0)
        later = slice(column + 1, None)
        current[:, later] -= torch.outer(errors[:, column], factor[column, later])
    current.masked_fill_(removed, 0.0)
    return errors


class Options(Share):
    """Where zeros may lie, and how the others are re-fitted."""

    pattern: Literal["unstructured", "2:4", "4:8"] = Field(
        "unstructured",
        description="`2:4`, `4:8`: two of every four, or four of every eight, consecutive inputs "
        "are kept, at a share of 0.5",
    )
    block: int = Field(128, ge=8, description="columns among which weights are chosen together")
    damping: float = Field(
        0.01, gt=0, description="added to the Hessian's diagonal, as a share of its mean"
    )


class SparseGPT(Pruner):
    """Weights chosen and re-fitted by the inputs' second moments.

    Sample:

        weights: {name: sparsegpt, share: 0.5}
        sparsifier: teal
        corpus: reasoning
        levels: [0.5]
    """

    label = "SparseGPT"
    Options = Options
    changes = True

    def prune(
        self, weight: "torch.Tensor", read: Read, share: float, options: Any
    ) -> "torch.Tensor":
        """The re-fitted weight with zeros."""
        return sparsegpt_weight(
            weight, read.second_moment, share, options.pattern, options.block, options.damping
        )
