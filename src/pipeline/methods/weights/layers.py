"""Prune a model's matrices block by block, each on the outputs of the pruned blocks before it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifiers.base import Evidence
from pipeline.methods.weights import channels
from pipeline.methods.weights.patterns import CHANNELS
from pipeline.methods.weights.pruner import TOKENS, Pruner, Read
from pipeline.models.batches import marked
from pipeline.models.blocks import Blocks
from pipeline.models.views import ModelView, linear_layers, matrix

if TYPE_CHECKING:
    import torch


def prune(evidence: Evidence, pruner: Pruner, options: Any, share: float) -> Arrays:
    """The arrays of a plan's weights; the evidence's model is pruned by them.

    ValueError for a share or a shape that the pattern does not allow.
    """
    layout = evidence.layout
    reads = _Reads(evidence) if pruner.weighs_inputs else None
    found: Arrays = {}
    dropped: list[np.ndarray] = []
    for layer in range(len(layout.blocks)):
        if options.pattern == CHANNELS:
            dropped.append(_drop(layout, layer, reads, pruner, share))
        else:
            found |= _prune(layout, layer, reads, pruner, options, share)
        if reads:
            reads.go_on()
    if dropped:
        found["dropped"] = np.stack(dropped).astype(np.uint8)
    return found


class _Reads:
    """What the modules of each block in turn read, after the blocks before it were pruned."""

    def __init__(self, evidence: Evidence) -> None:
        self._blocks = Blocks(evidence.model, evidence.layout.blocks, evidence.batched(TOKENS))
        self._hidden = self._blocks.first
        self._layer = 0

    def of(self, modules: "Sequence[torch.nn.Module]") -> "dict[torch.nn.Module, Read]":
        """What each module of the block reads; those that read one tensor share it, and its
        moments."""
        with self._blocks.inputs(modules) as values:
            self._blocks.run(self._layer, self._hidden)
        shared: dict[int, Read] = {}
        found = {}
        for module in modules:
            # The counted tokens are a copy, so the full tensor need not be kept.
            tensors = values.pop(module)
            key = id(tensors[0])
            if key not in shared:
                parts = [
                    marked(each, batch.counted)
                    for batch, each in zip(self._blocks.batches, tensors, strict=True)
                ]
                shared[key] = Read(tuple(parts))
            found[module] = shared[key]
        return found

    def go_on(self) -> None:
        """Go on to the next block; the last block's outputs are not computed."""
        if self._layer + 1 < len(self._blocks.blocks):
            self._hidden = self._blocks.run(self._layer, self._hidden)
            self._layer += 1


def _prune(
    layout: ModelView,
    layer: int,
    reads: _Reads | None,
    pruner: Pruner,
    options: Any,
    share: float,
) -> Arrays:
    """Prune all matrices of a block, in place."""
    import torch

    named = dict(linear_layers(layout.blocks[layer]))
    read = _read(reads, list(named.values()))
    found: Arrays = {}
    with torch.no_grad():
        for name, module in named.items():
            own = matrix(module)
            new = pruner.prune(own.detach(), read[module], share, options)
            found |= _arrays(f"{layer}/{name}", new, pruner.changes)
            own.copy_(new)
    return found


def _drop(
    layout: ModelView, layer: int, reads: _Reads | None, pruner: Pruner, share: float
) -> np.ndarray:
    """Remove neurons of a block, in place; returns which, (d_ff,) bool."""
    import torch

    ffn = layout.ffns[layer]
    read = _read(reads, [ffn.down.module])
    with torch.no_grad():
        gone = channels.dropped(pruner.scores(ffn, read[ffn.down.module]), share)
        ffn.zero(gone)
    found: np.ndarray = gone.cpu().numpy()
    return found


def _read(
    reads: _Reads | None, modules: "Sequence[torch.nn.Module]"
) -> "dict[torch.nn.Module, Read]":
    return reads.of(modules) if reads else {module: Read(()) for module in modules}


def _arrays(place: str, weight: "torch.Tensor", changes: bool) -> Arrays:
    if changes:
        return {f"{place}/values": weight.float().cpu().numpy().copy()}
    return {f"{place}/mask": np.packbits(weight.bool().cpu().numpy(), axis=1)}
