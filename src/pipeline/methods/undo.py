"""Put back what applying a plan changes in a model."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.methods.plan import Plan
from pipeline.models.views import ModelView, linear_layers

if TYPE_CHECKING:
    import torch


def undo(plan: Plan, views: ModelView) -> Callable[[], None]:
    """A function that gives the model back the weights and biases that it has at this call, after
    the plan was applied to it.

    Until then copies of the weights that the plan changes are held in main memory: those of all
    linear layers of the blocks under weight pruning or quantization, those of the FFNs where
    neurons are removed for good, and none where neurons or inputs are skipped token by token.
    """
    layers = [module for block in views.blocks for _, module in linear_layers(block)]
    changed: set[torch.nn.Module] = set()
    if {"weights", "quantization"} & set(plan.parts):
        changed.update(layers)
    elif plan.dropped is not None:
        changed.update(p.module for ffn in views.ffns for p in (*ffn.inner, ffn.down))
    copies = [(m, _copy(m.weight) if m in changed else None, _copy(m.bias)) for m in layers]

    def put_back() -> None:
        import torch

        with torch.no_grad():
            for module, weight, bias in copies:
                if weight is not None:
                    module.weight.copy_(weight)
                if bias is None:
                    module.bias = None
                else:
                    module.bias.copy_(bias)

    return put_back


def _copy(values: Any) -> Any:
    return None if values is None else values.detach().to("cpu", copy=True)
