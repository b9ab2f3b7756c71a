"""A plan in the terms of the kernels, for `pipeline.decoding.patch`:

patch(model, for_kernels(Plan.read(document, arrays)))
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UserError
from pipeline.kernels.activations import NAMES
from pipeline.methods.apply import apply, entry_of, options_of
from pipeline.methods.plan import Plan, Refused
from pipeline.models.forward import CONTINUATION, START
from pipeline.models.skips import DENSE, SPARSE, LayerRules, Threshold
from pipeline.models.views import EXACT_ZERO_ACTIVATIONS, ModelView, linear_layers
from pipeline.numerics.measures import NEURONS

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Decoding:
    """A plan in the kernels' terms."""

    plan: Plan

    @property
    def prefill(self) -> str:
        """How a prompt is read: sparse where the plan starts with the first token, dense where it
        starts after the prompt."""
        return SPARSE if self.plan.sparse_from == START else DENSE

    def for_kernels(self, layout: ModelView) -> Sequence[LayerRules]:
        """Prune, quantize and compensate in place; returns the rules by which every block skips.

        UserError for a plan of a model of another shape; the caller has to make sure that it is
        this very model. Refused, with the reason, for a sparsifier that has no form in the kernels,
        and for one that starts after a given number of tokens.
        """
        plan = self.plan
        _check(plan, layout)
        if plan.refused:
            raise Refused(plan.refused)
        if plan.sparse_from not in (START, CONTINUATION):
            raise Refused(f"the kernels start at the prompt or after it, not {plan.sparse_from} "
                          "tokens in")  # fmt: skip
        rules = [LayerRules() for _ in layout.ffns]
        if part := plan.parts.get("sparsifier"):
            entry = entry_of("sparsifier", part["name"])()
            rules = entry.for_kernels(
                plan.of("sparsifier"), options_of("sparsifier", part), layout,
                plan.sparse_from == START,
            )  # fmt: skip
        gone = plan.of("weights").get("dropped")
        found = [self._of_block(own, layout, layer, gone) for layer, own in enumerate(rules)]
        others = {n: values for n, values in plan.arrays.items() if not n.startswith("sparsifier/")}
        parts = {kind: part for kind, part in plan.parts.items() if kind != "sparsifier"}
        with ExitStack() as ends:
            apply(replace(plan, parts=parts, arrays=others), layout, ends)
        return found

    def _of_block(
        self, own: LayerRules, layout: ModelView, layer: int, gone: np.ndarray | None
    ) -> LayerRules:
        ffn = layout.ffns[layer]
        if gone is not None:
            # Neurons that weight pruning removed are cut out as well.
            own = replace(own, dropped=_either(own.dropped, gone[layer], ffn.down.weight.device))
        if own.neurons is None and _skips_by_itself(own, layout, layer):
            own = replace(own, neurons=Threshold(0.0))
        achieved = self.plan.achieved
        if own.neurons is None or achieved is None:
            return own
        return replace(own, expected=_expected(own, achieved))


def _expected(own: LayerRules, achieved: Mapping[str, Mapping[str, float]]) -> float:
    """Share of the remaining neurons that the kernels skip, by the plan's measurements over the
    whole model: for a threshold including neurons that come out zero, for a set only those that it
    leaves out."""
    imposed, total = (float(achieved[name][NEURONS]) for name in ("imposed", "total"))
    gone = 0.0 if own.dropped is None else float(own.dropped.float().mean())
    share = total if isinstance(own.neurons, Threshold) else imposed
    return max(0.0, (share - gone) / (1 - gone)) if gone < 1 else 0.0


def _check(plan: Plan, layout: ModelView) -> None:
    neurons = sum(ffn.d_ff for ffn in layout.ffns)
    if plan.neurons and plan.neurons != neurons:
        raise UserError(f"the plan is of a model with {plan.neurons} FFN neurons; this one has "
                        f"{neurons}")  # fmt: skip
    linear = {len(list(linear_layers(block))) for block in layout.blocks}
    settings = plan.of("sparsifier").get("settings")
    if settings is not None and (
        {settings.shape[1]} != linear or len(settings) != len(layout.blocks)
    ):
        raise UserError(
            f"the plan is of a model with {len(settings)} blocks of {settings.shape[1]} linear "
            f"layers; this one has {len(layout.blocks)} of {', '.join(map(str, sorted(linear)))}"
        )


def for_kernels(plan: Plan) -> Decoding:
    """The plan as `patch` takes it."""
    return Decoding(plan)


def _skips_by_itself(own: LayerRules, layout: ModelView, layer: int) -> bool:
    """True where neurons that are zero by themselves are to be skipped: the activation function has
    exact zeros, and no rule skips channels of the FFN's own layers."""
    ffn = layout.ffns[layer]
    modules = {p.module for p in (*ffn.inner, ffn.down)}
    taken = any(
        name in own.channels for name, m in linear_layers(layout.blocks[layer]) if m in modules
    )
    return not taken and ffn.activation in EXACT_ZERO_ACTIVATIONS and ffn.activation in NAMES


def _either(
    dropped: "torch.Tensor | None", gone: np.ndarray, device: "torch.device"
) -> "torch.Tensor":
    import torch

    also = torch.from_numpy(gone.astype(bool)).to(device)
    return also if dropped is None else dropped | also
