"""FFN views of models whose blocks compute down(act(up(x))): OPT and GPT-NeoX."""

from collections.abc import Sequence
from typing import Any

from pipeline.errors import UserError
from pipeline.models.views import FFNView, ModelView


def opt_views(model: Any) -> ModelView:
    """View of an OPT model, whose `fc1` and `fc2` lie in the blocks themselves."""
    blocks = list(model.model.decoder.layers)
    activation = model.config.activation_function
    return _views(model, blocks, [(block, "fc1", "fc2") for block in blocks], activation)


def gpt_neox_views(model: Any) -> ModelView:
    """View of a GPT-NeoX model; a parallel residual does not change what a neuron is."""
    blocks = list(model.gpt_neox.layers)
    owners = [(block.mlp, "dense_h_to_4h", "dense_4h_to_h") for block in blocks]
    return _views(model, blocks, owners, model.config.hidden_act)


def _views(
    model: Any, blocks: list, owners: Sequence[tuple[Any, str, str]], activation: str
) -> ModelView:
    """Raises UserError, naming the block and the attribute, when the structure is another."""
    ffns = []
    for index, (owner, up, down) in enumerate(owners):
        for name in (up, down):
            if not hasattr(owner, name):
                raise UserError(
                    f"{type(model).__name__}: block {index} has no {name}; "
                    "its FFN is not of the ungated form this view expects"
                )
        ffns.append(FFNView((getattr(owner, up),), getattr(owner, down), activation, owner))
    return ModelView(ffns, blocks)
