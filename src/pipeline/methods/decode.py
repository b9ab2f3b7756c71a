"""What a plan means to the kernels, which `pipeline.kernels.patch` makes a model decode through:

patch(model, for_kernels(Plan.read(document, arrays)))
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from pipeline.kernels.rules import LayerRules, Threshold
from pipeline.methods.apply import apply, entry_of, options_of
from pipeline.methods.plan import Plan, Refused
from pipeline.models.forward import START
from pipeline.models.views import EXACT_ZERO_ACTIVATIONS, ModelView, linear_layers


@dataclass(frozen=True)
class Decoding:
    """A plan in the kernels' terms."""

    plan: Plan

    def for_kernels(self, shape: ModelView) -> Sequence[LayerRules]:
        """Prune, quantize and compensate in place, and tell what every block skips.

        Refused, with the reason, for a sparsifier that the kernels have no form of.
        """
        plan = self.plan
        if plan.refused:
            raise Refused(plan.refused)
        rules = [LayerRules() for _ in shape.ffns]
        if part := plan.parts.get("sparsifier"):
            entry = entry_of("sparsifier", part["name"])()
            rules = entry.for_kernels(
                plan.of("sparsifier"), options_of("sparsifier", part), shape,
                plan.sparse_from == START,
            )  # fmt: skip
        others = {n: values for n, values in plan.arrays.items() if not n.startswith("sparsifier/")}
        parts = {kind: part for kind, part in plan.parts.items() if kind != "sparsifier"}
        with ExitStack() as ends:
            apply(replace(plan, parts=parts, arrays=others), shape, ends)
        return [
            _natural(own, shape, layer) if own.neurons is None else own
            for layer, own in enumerate(rules)
        ]


def for_kernels(plan: Plan) -> Decoding:
    """The plan as `patch` takes it."""
    return Decoding(plan)


def _natural(own: LayerRules, shape: ModelView, layer: int) -> LayerRules:
    """Neurons that are zero by themselves need not be computed either, where no rule goes by the
    channels that the FFN reads."""
    ffn = shape.ffns[layer]
    modules = {p.module for p in (*ffn.inner, ffn.down)}
    taken = any(
        name in own.channels for name, m in linear_layers(shape.blocks[layer]) if m in modules
    )
    if taken or ffn.activation not in EXACT_ZERO_ACTIVATIONS:
        return own
    return replace(own, neurons=Threshold(0.0))
