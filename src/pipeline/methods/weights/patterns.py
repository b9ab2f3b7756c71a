"""Where zeros may lie in a weight matrix: anywhere, or n of every m consecutive inputs kept."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: The pattern that removes whole FFN neurons; the others are of single weights.
CHANNELS = "channels"


@dataclass(frozen=True)
class Pattern:
    """Of every `of` consecutive inputs of a row, exactly `keep` are kept (N:M sparsity)."""

    keep: int
    of: int

    @property
    def share(self) -> float:
        """Share of the weights that are removed."""
        return (self.of - self.keep) / self.of

    @classmethod
    def parse(cls, text: str) -> "Pattern | None":
        """The pattern for a text such as `2:4`; None for `unstructured`.

        ValueError for any other text, and unless 1 <= n < m.
        """
        if text == "unstructured":
            return None
        found = re.fullmatch(r"(\d+):(\d+)", text, re.ASCII)
        if found and 1 <= int(found[1]) < int(found[2]):
            return cls(int(found[1]), int(found[2]))
        raise ValueError(
            f"pattern {text!r}: allowed are 'unstructured' and 'n:m' with 1 <= n < m, n of every m "
            "consecutive inputs kept, such as '2:4'"
        )


def pattern_share(text: str) -> float | None:
    """Share of the weights that a pattern removes, 0.5 for `2:4`; None for `unstructured`."""
    pattern = Pattern.parse(text)
    return pattern.share if pattern else None


def fitting(text: str, share: float, inputs: int) -> Pattern | None:
    """The pattern for a text, after checking that it fits rows of `inputs` inputs and the share to
    remove.

    ValueError unless the share is in [0, 1] and, of `n:m`, is the pattern's own, with inputs a
    multiple of m. A pattern has no level 0: for the dense matrix, do not prune.
    """
    check_share(share)
    pattern = Pattern.parse(text)
    if pattern and share != pattern.share:
        raise ValueError(
            f"share {share}: the pattern {text} removes {pattern.share} of the weights and no other"
            " share"
        )
    if pattern and inputs % pattern.of:
        raise ValueError(
            f"{inputs} inputs: the pattern {text} needs a multiple of {pattern.of}, and "
            f"{inputs % pattern.of} are left over"
        )
    return pattern


def check_share(share: float) -> None:
    """ValueError unless the share is in [0, 1]."""
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}: allowed are 0 (removes nothing) to 1 (removes all)")


def kept(scores: "torch.Tensor", share: float, pattern: str, groups: str) -> "torch.Tensor":
    """Which weights stay, (outputs, inputs) bool, when the least important ones are removed.

    `scores` is (outputs, inputs), floating point; the lowest are removed. Unstructured removes
    exactly round(share * n) of each comparison group's n weights; `groups` is `matrix` (all weights
    together) or `row` (each output's own). `n:m` removes all but the n highest of every m
    consecutive inputs of a row, whatever the groups. Of equal scores the one with the lower index
    (row by row) is removed first, so a higher share removes a superset.

    ValueError where a score is NaN, where an argument is not one of these, and as `fitting` says.
    """
    if scores.ndim != 2 or not scores.is_floating_point():
        raise ValueError(
            f"scores of shape {tuple(scores.shape)} and type {scores.dtype}: needed are floating "
            "point numbers of shape (outputs, inputs)"
        )
    if groups not in ("matrix", "row"):
        raise ValueError(f"groups {groups!r}: allowed are 'matrix' and 'row'")
    if scores.isnan().any():
        raise ValueError(f"{int(scores.isnan().sum())} of {scores.numel()} scores are NaN")
    outputs, inputs = scores.shape
    structure = fitting(pattern, share, inputs)
    if structure:
        grouped = scores.reshape(outputs, inputs // structure.of, structure.of)
        removed = lowest(grouped, structure.of - structure.keep)
    else:
        grouped = scores.reshape(1, -1) if groups == "matrix" else scores
        removed = lowest(grouped, round(share * grouped.shape[-1]))
    return ~removed.reshape(outputs, inputs)


def lowest(scores: "torch.Tensor", count: int) -> "torch.Tensor":
    """The `count` lowest along the last axis, bool of the same shape; of equal scores those with
    the lower index, on every device."""
    import torch

    # A stable sort: topk and kthvalue take any of several equal scores.
    chosen = torch.argsort(scores, dim=-1, stable=True)[..., :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, chosen, True)
