"""Prune a model's matrices block by block, each on what the pruned blocks before it hand on."""

from collections.abc import Mapping
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
    import torch

    shape = evidence.shape
    blocks = Blocks(evidence.model, shape.blocks, evidence.batched(TOKENS))
    hidden = blocks.first
    found: Arrays = {}
    dropped: list[torch.Tensor] = []
    for layer, (block, ffn) in enumerate(zip(shape.blocks, shape.ffns, strict=True)):
        named = dict(linear_layers(block))
        with blocks.inputs(list(named.values())) as values:
            after = blocks.run(layer, hidden)
        read = _read(blocks, values)
        with torch.no_grad():
            if options.pattern == CHANNELS:
                scores = pruner.scores(ffn, read[ffn.down.module])
                dropped.append(channels.dropped(scores, share))
                ffn.zero(dropped[-1])
            else:
                for name, module in named.items():
                    own = matrix(module)
                    new = pruner.prune(own.detach(), read[module], share, options)
                    found |= _arrays(f"{layer}/{name}", new, pruner.changes)
                    own.copy_(new)
        # The last block's outputs reach no further one.
        hidden = blocks.run(layer, hidden) if layer + 1 < len(shape.blocks) else after
    if dropped:
        found["dropped"] = torch.stack(dropped).cpu().numpy().astype(np.uint8)
    return found


def apply(arrays: Arrays, shape: ModelView) -> None:
    """Set a model's matrices to a plan's weights, in place; neurons that it drops are left to
    whoever drops those of the other parts."""
    import torch

    with torch.no_grad():
        for layer, block in enumerate(shape.blocks):
            for name, module in linear_layers(block):
                own, place = matrix(module), f"{layer}/{name}"
                if f"{place}/values" in arrays:
                    own.copy_(torch.from_numpy(arrays[f"{place}/values"]))
                elif f"{place}/mask" in arrays:
                    bits = np.unpackbits(arrays[f"{place}/mask"], axis=1, count=own.shape[1])
                    own.mul_(torch.from_numpy(bits).to(own))


def pruned(arrays: Arrays, shape: ModelView) -> "dict[torch.nn.Module, torch.Tensor]":
    """Which weights are left, (outputs, inputs) bool, of the matrices that the arrays prune; those
    of the model as it is."""
    return {
        module: matrix(module).detach().bool()
        for layer, block in enumerate(shape.blocks)
        for name, module in linear_layers(block)
        if {f"{layer}/{name}/values", f"{layer}/{name}/mask"} & set(arrays)
    }


def _read(
    blocks: Blocks, values: "Mapping[torch.nn.Module, list[torch.Tensor]]"
) -> "dict[torch.nn.Module, Read]":
    """What each module reads; those that read one tensor share it, and its moments."""
    shared: dict[int, Read] = {}
    found = {}
    for module, tensors in values.items():
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
    return {f"{place}/mask": np.packbits((weight != 0).cpu().numpy(), axis=1)}
