"""Which neurons of a layer are active at which tokens, as bits, and what such sets share."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


class ActiveSets:
    """The active neurons of some tokens, from (tokens, d_ff) bool. `number` (tokens,) counts them,
    and `frequency` (d_ff,) is the share of the tokens at which each neuron is active."""

    def __init__(self, active: "torch.Tensor") -> None:
        tokens, self.neurons = active.shape
        # Layers may lie on several devices; bits are small, and counting them is fast.
        packed = np.packbits(active.cpu().numpy(), axis=1)
        self._words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
        self.number = _count(self._words)
        times = np.zeros(self.neurons, dtype=np.int64)
        for part in np.array_split(packed, 1 + tokens // 128):
            unpacked = np.unpackbits(part, axis=1, count=self.neurons)
            times += unpacked.sum(axis=0, dtype=np.uint8)
        self.frequency = times / max(1, tokens)

    def overlaps(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Intersection over union of the sets of tokens and of other tokens, one by one, float64;
        not a number where nothing is active."""
        both = _count(self._words[some] & self._words[others])
        either = self.number[some] + self.number[others] - both
        return np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)

    def always(self, tokens: np.ndarray) -> np.ndarray:
        """(tokens,): share of the neurons that are active from the first of the tokens up to each
        of them."""
        return _count(np.bitwise_and.accumulate(self._words[tokens], axis=0)) / self.neurons


def _count(words: np.ndarray) -> np.ndarray:
    """Bits of every row."""
    counts: np.ndarray = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return counts
