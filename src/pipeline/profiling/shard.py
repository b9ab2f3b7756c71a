"""Profile one shard of the calibration sequences."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.profile import Profile
from pipeline.models.views import FFNView, ModelView, counted, view
from pipeline.profiling.batches import Batch, batches, blocks_of_shard
from pipeline.profiling.cett import fit_threshold

if TYPE_CHECKING:
    import torch

_SAMPLE_SEED = 0


def profile_shard(
    model: Any,
    sequences: Sequence[Sequence[int]],
    special: Sequence[int],
    config: Profile,
    shard: int,
    shards: int,
) -> tuple[dict[str, np.ndarray], dict[str, list]]:
    """(columns of NEURON_BLOCKS, columns of LAYER_BLOCKS) for the shard's whole blocks.

    CETT thresholds are fitted anew by every shard on the same sampled tokens, so shards agree
    without waiting for each other; merging checks that they did.
    """
    import torch

    shape = view(model)
    device = str(next(model.parameters()).device)
    with torch.inference_mode():
        layers = _fit_thresholds(model, shape, sequences, special, config, device)
        thresholds = layers["cett_threshold"]
        parts: list[dict[str, np.ndarray]] = []
        for block in blocks_of_shard(len(sequences), config.block_sequences, shard, shards):
            start = block * config.block_sequences
            rows = sequences[start : start + config.block_sequences]
            sums = [_Sums(ffn, eps) for ffn, eps in zip(shape.ffns, thresholds, strict=True)]
            for batch in batches(rows, config.batch_size, special, device):
                with _watching(shape, batch, _adding(sums)):
                    _forward(model, batch)
            parts.extend(s.columns(block, layer) for layer, s in enumerate(sums))
    return _concatenated(parts), layers


def _adding(sums: "list[_Sums]") -> "Callable[[int, torch.Tensor], None]":
    return lambda layer, inner: sums[layer].add(inner)


class _Sums:
    """Counts and float64 sums over one block for one layer, each (d_ff,)."""

    def __init__(self, ffn: FFNView, threshold: float) -> None:
        import torch

        self.down_norm = ffn.down_norms()
        self.weight_norm = ffn.weight_norms()
        self.threshold = threshold
        device = self.down_norm.device
        whole = {"dtype": torch.int64, "device": device}
        real = {"dtype": torch.float64, "device": device}
        self.tokens = 0
        self.nonfinite = torch.zeros(ffn.d_ff, **whole)
        self.active_nonzero = torch.zeros(ffn.d_ff, **whole)
        self.active_cett = torch.zeros(ffn.d_ff, **whole)
        self.sum_abs = torch.zeros(ffn.d_ff, **real)
        self.sum_square = torch.zeros(ffn.d_ff, **real)
        self.max_abs = torch.zeros(ffn.d_ff, **real)

    def add(self, inner: "torch.Tensor") -> None:
        """Add h of some tokens, (tokens, d_ff)."""
        import torch

        finite = torch.isfinite(inner)
        magnitude = inner.abs().float().masked_fill(~finite, 0.0)
        self.tokens += inner.shape[0]
        self.nonfinite += (~finite).sum(0)
        self.active_nonzero += (magnitude > 0).sum(0)
        self.active_cett += (magnitude * self.down_norm.float() > self.threshold).sum(0)
        self.sum_abs += magnitude.sum(0, dtype=torch.float64)
        self.sum_square += magnitude.double().square().sum(0)
        if inner.shape[0]:
            self.max_abs = torch.maximum(self.max_abs, magnitude.amax(0).double())

    def columns(self, block: int, layer: int) -> dict[str, np.ndarray]:
        """Rows of NEURON_BLOCKS."""
        count = self.down_norm.numel()
        return {
            "block": np.full(count, block),
            "layer": np.full(count, layer),
            "neuron": np.arange(count),
            "tokens": np.full(count, self.tokens),
            "nonfinite": self.nonfinite.cpu().numpy(),
            "active_nonzero": self.active_nonzero.cpu().numpy(),
            "active_cett": self.active_cett.cpu().numpy(),
            "sum_abs": self.sum_abs.cpu().numpy(),
            "sum_square": self.sum_square.cpu().numpy(),
            "max_abs": self.max_abs.cpu().numpy(),
            "sum_contribution": (self.sum_abs * self.down_norm).cpu().numpy(),
            "weight_norm": self.weight_norm.cpu().numpy(),
            "down_norm": self.down_norm.cpu().numpy(),
        }


def _fit_thresholds(
    model: Any,
    shape: ModelView,
    sequences: Sequence[Sequence[int]],
    special: Sequence[int],
    config: Profile,
    device: str,
) -> dict[str, list]:
    """Columns of LAYER_BLOCKS, fitted on sequences drawn from the whole corpus."""
    import torch

    sample = sampled(sequences, config.cett_tokens)
    kept: list[list[torch.Tensor]] = [[] for _ in shape.ffns]
    for batch in batches(sample, config.batch_size, special, device):
        with _watching(shape, batch, lambda layer, h: kept[layer].append(h)):
            _forward(model, batch)
    columns: dict[str, list] = {"layer": [], "cett_threshold": [], "cett": [], "cett_tokens": []}
    for layer, (ffn, parts) in enumerate(zip(shape.ffns, kept, strict=True)):
        inner = torch.cat(parts).float()[: config.cett_tokens]
        inner = inner[torch.isfinite(inner).all(dim=1)]
        threshold, cett = fit_threshold(inner, ffn.down.weight.float(), config.cett)
        columns["layer"].append(layer)
        columns["cett_threshold"].append(threshold)
        columns["cett"].append(cett)
        columns["cett_tokens"].append(inner.shape[0])
    return columns


def sampled(sequences: Sequence[Sequence[int]], tokens: int) -> list[Sequence[int]]:
    """A fixed random draw of sequences, in corpus order, that holds at most `tokens` tokens; at
    least one sequence. Even distances would hit one kind of text in a corpus that takes turns."""
    order = np.random.default_rng(_SAMPLE_SEED).permutation(len(sequences))
    held = np.cumsum([len(sequences[index]) for index in order])
    count = max(1, int(np.searchsorted(held, tokens, side="right")))
    return [sequences[index] for index in sorted(order[:count])]


@contextmanager
def _watching(
    shape: ModelView, batch: Batch, receive: "Callable[[int, torch.Tensor], None]"
) -> Iterator[None]:
    """Hand h of every layer, (counted tokens, d_ff), to `receive` during a forward pass."""

    def hook(layer: int) -> Callable:
        return lambda h: receive(layer, counted(h, batch.counted))

    handles = [ffn.watch(hook(layer)) for layer, ffn in enumerate(shape.ffns)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _forward(model: Any, batch: Batch) -> None:
    """Run the blocks; the language-model head is not needed for any statistic."""
    model.base_model(input_ids=batch.tokens, attention_mask=batch.attention, use_cache=False)


def _concatenated(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    names = parts[0] if parts else ()
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
