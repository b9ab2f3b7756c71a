"""Token sequences as padded batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.models.memory import divided

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Batch:
    """Right-padded sequences, (sequences, length) each.

    `attention` is 1 for tokens and 0 for padding; `counted` is true for tokens that enter the
    statistics, which special tokens do not. `rows` are the indices of the batch's sequences among
    those given.
    """

    rows: Sequence[int]
    tokens: "torch.Tensor"
    attention: "torch.Tensor"
    counted: "torch.Tensor"

    def part(self, places: Sequence[int]) -> "Batch":
        """Some of the batch's sequences, by their places in it."""
        rows, chosen = [self.rows[place] for place in places], list(places)
        return Batch(rows, self.tokens[chosen], self.attention[chosen], self.counted[chosen])


def batches(
    sequences: Sequence[Sequence[int]],
    fits: int | Callable[[int], int],
    special: Sequence[int],
    device: str,
) -> Iterator[Batch]:
    """Batches of the sequences, longest first so that little is padding; the order is fixed.

    `fits` is how many sequences a batch holds, or a function that says how many of a length.
    """
    import torch

    def most(place: int) -> int:
        return fits if isinstance(fits, int) else fits(len(sequences[place]))

    order = sorted(range(len(sequences)), key=lambda i: (-len(sequences[i]), i))
    excluded = torch.tensor(sorted(special), dtype=torch.long)
    for chosen in divided(order, most):
        rows = [sequences[i] for i in chosen]
        tokens = torch.zeros(len(rows), len(rows[0]), dtype=torch.long)
        attention = torch.zeros_like(tokens)
        for index, row in enumerate(rows):
            tokens[index, : len(row)] = torch.tensor(row)
            attention[index, : len(row)] = 1
        counted = attention.bool() & ~torch.isin(tokens, excluded)
        yield Batch(chosen, tokens.to(device), attention.to(device), counted.to(device))


def places_of(mask: "torch.Tensor") -> "torch.Tensor":
    """(tokens,) indices of the tokens that `mask`, (sequences, length) bool, marks, among all
    tokens of the batch."""
    return mask.flatten().nonzero().flatten()


def at_places(values: "torch.Tensor", places: "torch.Tensor | slice | None") -> "torch.Tensor":
    """(tokens, channels): the values at the given places of a batch, or at all of them for None.

    `values` are (sequences, length, channels), or the same as (sequences * length, channels), as
    some architectures (OPT) hand them on. A slice copies nothing.
    """
    rows = values.reshape(-1, values.shape[-1])
    if places is None:
        return rows
    if isinstance(places, slice):
        return rows[places]
    return rows.index_select(0, places.to(rows.device))


def marked(values: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    """(tokens, channels) of the tokens that `mask`, (sequences, length) bool, marks; `values` as
    for `at_places`."""
    return at_places(values, places_of(mask))
