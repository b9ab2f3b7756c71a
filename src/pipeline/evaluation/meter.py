"""Measure on the evaluated tokens how much of the FFN was skipped."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.views import FFNView, ModelView, counted

if TYPE_CHECKING:
    import torch


class Meter:
    """Counts zeros of h, the input of the down projections, at tokens that count.

    Padding does not count, nor do the steps of a sequence that has ended while others of its batch
    go on: one whose last token is in `stop`, or that `ended`, asked before each step, marks in its
    (sequences,) bool. `dropped`, (layers, d_ff) bool, is what the method removes.
    """

    def __init__(
        self,
        shape: ModelView,
        dropped: np.ndarray,
        stop: set[int],
        ended: "Callable[[], torch.Tensor | None]" = lambda: None,
    ) -> None:
        self.shape = shape
        self.dropped = dropped
        self.stop = stop
        self.ended = ended
        self.reset()

    def reset(self) -> None:
        """Start counting anew."""
        self.tokens = 0
        self.nonfinite = [0] * len(self.shape.ffns)
        self.zeros = [0] * len(self.shape.ffns)
        self._counted: torch.Tensor | None = None
        self._running: torch.Tensor | None = None

    @contextmanager
    def watching(self, model: Any) -> Iterator[None]:
        """Count during the block."""
        handles = [model.register_forward_pre_hook(self._before, with_kwargs=True)]
        for layer, ffn in enumerate(self.shape.ffns):
            handles.append(ffn.watch(self._counter(layer)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def counts(self) -> list[dict[str, int]]:
        """What was counted since the last reset, layer by layer: rows of tables.samples.COUNTS
        without the task and the block."""
        rows = []
        for layer, ffn in enumerate(self.shape.ffns):
            whole, spared = _weights(ffn)
            rows.append(
                {
                    "layer": layer,
                    "tokens": self.tokens,
                    "zeros": self.zeros[layer],
                    "nonfinite": self.nonfinite[layer],
                    "neurons": ffn.d_ff,
                    "removed": int(self.dropped[layer].sum()),
                    "weights": whole,
                    "spared": spared,
                    "linear_weights": self.shape.linear_weights,
                }
            )
        return rows

    def _before(self, _module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        tokens: torch.Tensor = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        attention = kwargs.get("attention_mask")
        running = self._running
        if running is None or _begins(tokens, attention, len(running)):
            self._running = tokens.new_ones(tokens.shape[0]).bool()
            marked = tokens.new_ones(tokens.shape).bool()
            if attention is not None:
                marked = attention[:, -tokens.shape[1] :].bool()
        else:
            ended = self.ended()
            for token in self.stop:
                running = running & (tokens[:, 0] != token)
            self._running = running = running if ended is None else running & ~ended
            marked = running[:, None]
        self._counted = marked
        self.tokens += int(marked.sum())

    def _counter(self, layer: int) -> Any:
        def count(h: "torch.Tensor") -> None:
            inner = counted(h, self._counted)
            self.zeros[layer] += int((inner == 0).sum())
            self.nonfinite[layer] += int((~inner.isfinite()).sum())

        return count


def _begins(tokens: "torch.Tensor", attention: "torch.Tensor | None", sequences: int) -> bool:
    """True for prompts, false for a step of `sequences`: its mask is longer than its one token."""
    if tokens.shape[1] > 1 or len(tokens) != sequences:
        return True
    return attention is not None and attention.shape[1] == tokens.shape[1]


def _weights(ffn: FFNView) -> tuple[int, int]:
    """(weights of one neuron, weights of it that a zero h spares once its gate is known)."""
    width = ffn.down.out_features
    return width * (len(ffn.inner) + 1), width * len(ffn.inner)


def figures(counts: Sequence[Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """The three measures, imposed and total, of rows of COUNTS: all layers, any number of blocks.

    A removed neuron needs none of its weights. A neuron of the others that is zero by itself needs
    its gate (or fc1) row to be known as zero, and none of its remaining weights. Sums are of whole
    numbers, so how the items were divided changes nothing.
    """
    removed = [row["tokens"] * row["removed"] for row in counts]
    imposed = sum(n * row["weights"] for n, row in zip(removed, counts, strict=True))
    natural = sum(
        (row["zeros"] - n) * row["spared"] for n, row in zip(removed, counts, strict=True)
    )
    pairs = sum(row["tokens"] * row["neurons"] for row in counts)
    ffn = sum(row["tokens"] * row["neurons"] * row["weights"] for row in counts)
    linear = sum(row["tokens"] * row["linear_weights"] for row in counts if row["layer"] == 0)
    zeros = sum(row["zeros"] for row in counts)
    return {
        "imposed": _measures(sum(removed), imposed, pairs, ffn, linear),
        "total": _measures(zeros, imposed + natural, pairs, ffn, linear),
    }


def _measures(neurons: int, weights: int, pairs: int, ffn: int, linear: int) -> dict[str, float]:
    return {
        "neuron_sparsity": neurons / max(1, pairs),
        "ffn_weight_sparsity": weights / max(1, ffn),
        "model_weight_sparsity": weights / max(1, linear),
    }
