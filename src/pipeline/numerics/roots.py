"""Square roots and norms by numpy, for scores that are ranked.

torch hands square roots to a vector library that is off by one unit in the last place for about one
number in a hundred (which ones depends on the processor), and sums in an order that depends on
where a column lies. Scores that are equal by their definition would then be ranked by such errors.
numpy's roots are exactly rounded, and it sums every column, or every row, in one order.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def roots(squares: "torch.Tensor") -> "torch.Tensor":
    """Square root of every element, exactly rounded; shape, type and device are those of
    `squares`."""
    import torch

    found = np.sqrt(squares.detach().numpy(force=True))
    return torch.from_numpy(np.asarray(found)).to(squares.device)


def sums_of_squares(matrix: "torch.Tensor", dim: int) -> "torch.Tensor":
    """Sums of squares over one dimension of a matrix, float64, on its device: of columns for `dim`
    0, of rows for 1. Columns (or rows) that hold the same numbers in the same order have the same
    sum."""
    import torch

    values = np.ascontiguousarray(matrix.detach().double().numpy(force=True))
    return torch.from_numpy(np.square(values).sum(axis=dim)).to(matrix.device)


def norms(matrix: "torch.Tensor", dim: int) -> "torch.Tensor":
    """L2 norms over one dimension of a matrix, float64, on its device; see `sums_of_squares`."""
    return roots(sums_of_squares(matrix, dim))
