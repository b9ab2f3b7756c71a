"""FFN view of Llama-like models: gate, up and down projections in `model.layers[i].mlp`."""

from typing import Any

from pipeline.errors import UserError
from pipeline.models.views import FFNView, ModelView


def gated_views(model: Any) -> ModelView:
    """View of a model whose blocks compute down(act(gate(x)) * up(x)).

    Raises UserError, naming the block and the attribute, when the structure is another.
    """
    blocks = list(model.model.layers)
    ffns = []
    for index, block in enumerate(blocks):
        for name in ("gate_proj", "up_proj", "down_proj"):
            if not hasattr(block.mlp, name):
                raise UserError(
                    f"{type(model).__name__}: block {index} has no mlp.{name}; "
                    "its FFN is not of the gated form this view expects"
                )
        mlp = block.mlp
        ffns.append(
            FFNView((mlp.gate_proj, mlp.up_proj), mlp.down_proj, model.config.hidden_act, mlp)
        )
    return ModelView(ffns, blocks)
