"""How much memory batches take, by a model's sizes, and how they are kept within a bound.

Figures only, so that planning tells the same as a run, and a study has the same batches on every
machine. What is measured on a machine, the end of a GPU's memory, only divides a batch that has
failed.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import UserError
from pipeline.models.size import Size

T = TypeVar("T")
R = TypeVar("R")

_MEGABYTE = 10**6
#: Memory that the sequences of a batch may take, in megabytes, where nothing else is configured.
BATCH_MEGABYTES = 2000
#: Bytes that the logits of one piece may take, copies included, besides a batch.
PIECE_BYTES = 256 * _MEGABYTE
#: Bytes by entry of the vocabulary while a token is scored: logits, the same in float32, and
#: log-probabilities.
_SCORED = 12
#: Tensors in memory at once while a layer runs: of the width of the FFN, of that of the residual
#: stream. Bytes of their numbers: norms and sums are made in float32 in models of 16 bits as well.
_INNER, _OUTER, _NUMBER = 6, 8, 4
#: Bytes by pair of tokens, of masks over padding.
_PAIR = 16
#: Tensors that a layer keeps for its gradients.
_INNER_KEPT, _OUTER_KEPT = 5, 14


def piece_rows(vocabulary: int, copies: int = 1) -> int:
    """Tokens whose logits are made at once; with `copies` as many logits as scoring takes."""
    return max(1, PIECE_BYTES // (_SCORED * copies * vocabulary))


def piece_bytes(vocabulary: int, rows: float, copies: int = 1) -> float:
    """Bytes that the logits of so many tokens take, made piece by piece."""
    return _SCORED * copies * vocabulary * min(rows, piece_rows(vocabulary, copies))


def read_bytes(size: Size, length: int) -> int:
    """Bytes of a sequence in a forward pass that keeps nothing, of `length` tokens with padding."""
    return length * (_NUMBER * (_INNER * size.width + _OUTER * size.d_model) + _PAIR * length)


def written_bytes(size: Size, length: int, answer: int, width: int) -> int:
    """Bytes of a sequence while up to `answer` tokens are written behind a prompt of `length`
    tokens, by a model of numbers of `width` bytes: keys and values are kept, and every step makes
    the logits of one token."""
    kept = (length + answer) * size.layers * size.cache * width
    return read_bytes(size, length) + kept + _SCORED * size.vocabulary


def trained_bytes(size: Size, length: int) -> int:
    """Bytes of a sequence in a pass that keeps what gradients need."""
    layer = _NUMBER * (_INNER_KEPT * size.width + _OUTER_KEPT * size.d_model) + _PAIR * length
    return read_bytes(size, length) + length * size.layers * layer


@dataclass(frozen=True)
class Room:
    """What a batch may hold: at most `sequences`, and no more than fit into `megabytes`."""

    sequences: int
    megabytes: int = BATCH_MEGABYTES

    def of(self, each: float) -> int:
        """How many sequences that take `each` bytes; at least one."""
        return max(1, min(self.sequences, int(self.megabytes * _MEGABYTE // max(1, each))))


#: What a batch may hold where a policy measures a loss.
LOSS_ROOM = Room(8)


def divided(items: Sequence[T], fits: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Runs of the items, which must be sorted so that none needs more memory than those before it;
    `fits` says how many like the given one fit into a batch."""
    start = 0
    while start < len(items):
        stop = start + fits(items[start])
        yield items[start:stop]
        start = stop


class Halving:
    """Runs batches, and where a GPU's memory does not hold one, its halves.

    `mark` notes what has been counted so far, and returns what goes back to it: a batch that fails
    may have been counted in part.
    """

    def __init__(self, mark: Callable[[], Callable[[], None]] | None = None) -> None:
        self._mark = mark or (lambda: lambda: None)
        #: Batches that were divided so far.
        self.halved = 0

    def run(self, batch: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
        """What `work` gives for the batch, or for its parts one after the other; UserError where a
        single sequence is too much."""
        import torch

        back = self._mark()
        try:
            return list(work(batch))
        except torch.cuda.OutOfMemoryError as error:
            told = str(error).partition("\n")[0]
        # Only here are the tensors of the failed batch gone, which the error held.
        back()
        torch.cuda.empty_cache()
        if len(batch) == 1:
            raise UserError(
                f"the GPU's memory does not hold the model and a single sequence ({told}); give "
                "the model a device with more memory, or a smaller dtype, or shorten the sequences"
            )
        self.halved += 1
        logging.getLogger(__name__).warning(
            "a batch of %d sequences is divided in two: %s", len(batch), told
        )
        middle = (len(batch) + 1) // 2
        return [*self.run(batch[:middle], work), *self.run(batch[middle:], work)]
