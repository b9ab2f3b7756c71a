"""FFN views of models whose blocks compute down(act(up(x))): OPT, GPT-NeoX and GPT-2."""

from collections.abc import Sequence
from typing import Any

from pipeline.models.views import FFNView, ModelView, Projection, part


def opt_views(model: Any) -> ModelView:
    """View of an OPT model, whose `fc1` and `fc2` lie in the blocks themselves."""
    blocks = list(model.model.decoder.layers)
    # In some sizes the norm stands behind the FFN.
    before = "final_layer_norm" if model.config.do_layer_norm_before else None
    names = ("fc1", "fc2", before)
    return _views(model, blocks, blocks, names, model.config.activation_function)


def gpt_neox_views(model: Any) -> ModelView:
    """View of a GPT-NeoX model; a parallel residual does not change what a neuron is."""
    blocks = list(model.gpt_neox.layers)
    names = ("dense_h_to_4h", "dense_4h_to_h", "post_attention_layernorm")
    return _views(model, blocks, [b.mlp for b in blocks], names, model.config.hidden_act)


def gpt2_views(model: Any) -> ModelView:
    """View of a GPT-2 model, whose layers keep their matrices transposed."""
    blocks = list(model.transformer.h)
    names = ("c_fc", "c_proj", "ln_2")
    return _views(model, blocks, [b.mlp for b in blocks], names, model.config.activation_function)


def _views(
    model: Any,
    blocks: list,
    owners: Sequence[Any],
    names: tuple[str, str, str | None],
    activation: str,
) -> ModelView:
    """The views of all FFNs; raises UserError, naming the block and the attribute, when the
    structure is different."""
    ffns = []
    for index, (block, owner) in enumerate(zip(blocks, owners, strict=True)):
        up, down = (Projection(part(model, index, owner, str(name))) for name in names[:2])
        before = part(model, index, block, names[2]) if names[2] else None
        ffns.append(FFNView((up,), down, activation, owner, before))
    return ModelView(ffns, blocks)
