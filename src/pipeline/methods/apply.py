"""Apply a plan to a model: no calibration data, and nothing of the plan is fitted anew."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from pipeline.methods.compensation.sites import fold
from pipeline.methods.masks import Masks
from pipeline.methods.plan import Arrays, Plan
from pipeline.methods.weights import written
from pipeline.models.forward import START, Forward
from pipeline.models.views import ModelView, linear_layers, matrix
from pipeline.registry import PARTS


def options_of(kind: str, part: Mapping[str, Any]) -> Any:
    """The options of a part as its own type, from plain values."""
    return entry_of(kind, part["name"]).Options.model_validate(part["options"])


def entry_of(kind: str, name: str) -> Any:
    """The registered class of a part."""
    return PARTS[kind].load(name)


def apply(plan: Plan, layout: ModelView, ends: ExitStack) -> Forward:
    """Apply all parts in place, in their order; hooks last as long as `ends`. Returns the Forward
    that knows the model's passes."""
    weights = plan.of("weights")
    written.apply(weights, layout)
    pruned = written.pruned(weights, layout)
    gone = [weights.get("dropped")]
    if gone[0] is not None:
        # Before the weights are quantized, which are scaled in groups.
        remove(gone[0].astype(bool), layout)
    if part := plan.parts.get("quantization"):
        quantize(part, layout)
    sparsifier = plan.of("sparsifier")
    if plan.sparse_from == START:
        # Weights of neurons that are gone at every token can go, too.
        gone.append(sparsifier.pop("dropped", None))
    removed = _either(gone)
    forward = Forward(sparse_from=plan.sparse_from, removed=removed, pruned=pruned)
    if sparsifier:
        attach(plan.parts["sparsifier"], sparsifier, Masks(layout, forward, ends))
    fold(plan.of("compensation"), layout)
    if removed is not None:
        remove(removed, layout)
    return forward


def attach(part: Mapping[str, Any], arrays: Arrays, masks: Masks) -> None:
    """Hook a sparsifier on a model."""
    entry_of("sparsifier", part["name"])().attach(masks, arrays, options_of("sparsifier", part))


def quantize(part: Mapping[str, Any], layout: ModelView) -> None:
    """Quantize every linear layer of the blocks, in place."""
    import torch

    quantizer, options = entry_of("quantization", part["name"])(), options_of("quantization", part)
    with torch.no_grad():
        for block in layout.blocks:
            for _, module in linear_layers(block):
                own = matrix(module)
                own.copy_(quantizer.quantize(own.detach(), options))


def remove(dropped: np.ndarray, layout: ModelView, how: str = "zero") -> None:
    """Remove neurons, (layers, d_ff) bool, from the model in place, by `zero` or by `slice`."""
    import torch

    for ffn, row in zip(layout.ffns, dropped, strict=True):
        getattr(ffn, how)(torch.from_numpy(row).to(ffn.down.weight.device))


def _either(masks: list[np.ndarray | None]) -> np.ndarray | None:
    found = [mask.astype(bool) for mask in masks if mask is not None]
    if not found:
        return None
    either: np.ndarray = np.logical_or.reduce(found)
    return either
