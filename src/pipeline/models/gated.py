"""FFN views of models whose blocks compute down(act(gate(x)) * up(x)): the Llama family, Gemma and
Phi-3, which keeps gate and up in one matrix."""

from typing import Any

from pipeline.models.views import FFNView, ModelView, Projection, part


def gated_views(model: Any) -> ModelView:
    """View of a model with gate, up and down projections in `model.layers[i].mlp`.

    Raises UserError, naming the block and the attribute, when the structure is different.
    """
    blocks = list(model.model.layers)
    ffns = []
    for index, block in enumerate(blocks):
        mlp = part(model, index, block, "mlp")
        gate, up, down = (
            Projection(part(model, index, mlp, name))
            for name in ("gate_proj", "up_proj", "down_proj")
        )
        before = part(model, index, block, "post_attention_layernorm")
        ffns.append(FFNView((gate, up), down, model.config.hidden_act, mlp, before))
    return ModelView(ffns, blocks)


def fused_views(model: Any) -> ModelView:
    """View of a model with `gate_up_proj`, whose first half of outputs is the gate."""
    blocks = list(model.model.layers)
    ffns = []
    for index, block in enumerate(blocks):
        mlp = part(model, index, block, "mlp")
        both, down = (part(model, index, mlp, name) for name in ("gate_up_proj", "down_proj"))
        half = both.out_features // 2
        inner = Projection(both, 0, half), Projection(both, half)
        before = part(model, index, block, "post_attention_layernorm")
        ffns.append(FFNView(inner, Projection(down), model.config.hidden_act, mlp, before))
    return ModelView(ffns, blocks)
