"""Prune a model's matrices block by block, each on what the pruned blocks before it hand on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.methods import CHANNELS
from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifier import Evidence
from pipeline.methods.weights import channels
from pipeline.methods.weights.pruner import Pruner, Read
from pipeline.models.blocks import Blocks
from pipeline.models.views import ModelView, linear_layers, matrix

if TYPE_CHECKING:
    import torch

#: Most tokens that matrices are pruned on.
TOKENS = 131_072


def prune(evidence: Evidence, pruner: Pruner, options: Any, share: float) -> Arrays:
    """The arrays of a plan's weights; the evidence's model is pruned by them.

    ValueError for a share or a shape that the pattern does not allow.
    """
    shape = evidence.shape
    blocks = Blocks(evidence.model, shape.blocks, evidence.batched(TOKENS))
    hidden = blocks.first
    found: Arrays = {}
    dropped: list[np.ndarray] = []
    for layer in range(len(shape.blocks)):
        if options.pattern == CHANNELS:
            dropped.append(_drop(blocks, shape, layer, hidden, pruner, share))
        else:
            found |= _prune(blocks, layer, hidden, pruner, options, share)
        # The last block's outputs reach no further one.
        if layer + 1 < len(shape.blocks):
            hidden = blocks.run(layer, hidden)
    if dropped:
        found["dropped"] = np.stack(dropped).astype(np.uint8)
    return found


def _prune(
    blocks: Blocks,
    layer: int,
    hidden: "Sequence[torch.Tensor]",
    pruner: Pruner,
    options: Any,
    share: float,
) -> Arrays:
    """Prune all matrices of a block, in place."""
    import torch

    named = dict(linear_layers(blocks.blocks[layer]))
    read = _read(blocks, layer, hidden, list(named.values()))
    found: Arrays = {}
    with torch.no_grad():
        for name, module in named.items():
            own = matrix(module)
            new = pruner.prune(own.detach(), read[module], share, options)
            found |= _arrays(f"{layer}/{name}", new, pruner.changes)
            own.copy_(new)
    return found


def _drop(
    blocks: Blocks,
    shape: ModelView,
    layer: int,
    hidden: "Sequence[torch.Tensor]",
    pruner: Pruner,
    share: float,
) -> np.ndarray:
    """Remove neurons of a block, in place; which, (d_ff,) bool."""
    import torch

    ffn = shape.ffns[layer]
    read = _read(blocks, layer, hidden, [ffn.down.module])
    with torch.no_grad():
        gone = channels.dropped(pruner.scores(ffn, read[ffn.down.module]), share)
        ffn.zero(gone)
    found: np.ndarray = gone.cpu().numpy()
    return found


def _read(
    blocks: Blocks,
    layer: int,
    hidden: "Sequence[torch.Tensor]",
    modules: "Sequence[torch.nn.Module]",
) -> "dict[torch.nn.Module, Read]":
    """What each module of a block reads; those that read one tensor share it, and its moments."""
    with blocks.inputs(modules) as values:
        blocks.run(layer, hidden)
    shared: dict[int, Read] = {}
    found = {}
    for module in modules:
        # The counted tokens are a copy, so the others need not be held beside it.
        tensors = values.pop(module)
        key = id(tensors[0])
        if key not in shared:
            parts = [
                each.reshape(*batch.counted.shape, each.shape[-1])[batch.counted]
                for batch, each in zip(blocks.batches, tensors, strict=True)
            ]
            shared[key] = Read(tuple(parts))
        found[module] = shared[key]
    return found


def _arrays(place: str, weight: "torch.Tensor", changes: bool) -> Arrays:
    if changes:
        return {f"{place}/values": weight.float().cpu().numpy().copy()}
    return {f"{place}/mask": np.packbits(weight.bool().cpu().numpy(), axis=1)}
