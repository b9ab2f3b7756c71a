"""FFN views of models whose blocks compute down(act(gate(x)) * up(x)).

They differ in what stands around it. The Llama family, Qwen, SmolLM, Granite and Gemma 1 put a norm
before the FFN. Gemma 2 and 3 put one before and one behind it, OLMo 2 one behind it alone. StableLM
may compute attention and FFN side by side, from one norm. Phi-3 keeps gate and up in one matrix.

A norm behind the FFN changes no neuron: h, and what each neuron adds to the output of the down
projection, are those in front of it. Granite scales the FFN's output by a constant, which is the
same.
"""

from typing import Any

from pipeline.models.views import FFNView, ModelView, Projection, part

#: Modules of a block's FFN.
_NAMES = ("gate_proj", "up_proj", "down_proj")


def gated_views(model: Any) -> ModelView:
    """View of a model with gate, up and down projections in `model.layers[i].mlp`.

    Raises UserError, naming the block and the attribute, when the structure is different.
    """
    return _views(model, "post_attention_layernorm", model.config.hidden_act)


def gemma_views(model: Any) -> ModelView:
    """View of a Gemma 2 or 3, whose FFN stands between two norms; UserError as `gated_views`."""
    return _views(model, "pre_feedforward_layernorm", model.config.hidden_activation)


def olmo2_views(model: Any) -> ModelView:
    """View of an OLMo 2, whose FFN reads the residual stream itself; UserError as `gated_views`."""
    return _views(model, None, model.config.hidden_act)


def stablelm_views(model: Any) -> ModelView:
    """View of a StableLM, whose FFN reads the attention's norm where the two are side by side;
    UserError as `gated_views`."""
    parallel = model.config.use_parallel_residual
    before = "input_layernorm" if parallel else "post_attention_layernorm"
    return _views(model, before, model.config.hidden_act)


def _views(model: Any, before: str | None, activation: str) -> ModelView:
    """The view of a model whose FFNs read the norm called `before`, or the stream itself."""
    blocks = list(model.model.layers)
    ffns = []
    for index, block in enumerate(blocks):
        mlp = part(model, index, block, "mlp")
        gate, up, down = (Projection(part(model, index, mlp, name)) for name in _NAMES)
        norm = part(model, index, block, before) if before else None
        ffns.append(FFNView((gate, up), down, activation, mlp, norm))
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
