"""A model whose activations can be worked out by hand."""

import pytest
import torch


@pytest.fixture(scope="package")
def toy(make_model):
    """A one-layer model whose FFN sees one-hot rows: token t gives h = H[t] at every position.

    Attention writes nothing, and the norm before the FFN turns a one-hot row into 4 times itself.
    """
    model = make_model(
        vocab_size=5,
        hidden_size=4,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        rms_norm_eps=0.0,
    )
    block = model.model.layers[0]
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.cat([torch.eye(4), torch.ones(1, 4)]))
        block.self_attn.o_proj.weight.zero_()
        # A one-hot row of width 4 has mean square 1/4, so the norm doubles it.
        block.mlp.gate_proj.weight.copy_(GATE / 2)
        block.mlp.up_proj.weight.copy_(UP / 2)
        block.mlp.down_proj.weight.copy_(DOWN)
    return model


# Rows are neurons, columns are tokens 0 to 3; h = relu(gate) * up gives, for the four tokens,
# (3, 4, 12, 0), (0, 2, 0, 0), (0, 0, 0, 0) and (-2, 2, 0, 0).
GATE = torch.tensor([[3, 0, -1, 1], [4, 1, 0, 2], [12, -2, 0, 3], [-1, -1, -1, 0]])
UP = torch.tensor([[1, 5, 1, -2], [1, 2, 7, 1], [1, 1, 1, 0], [9, 9, 9, 9]])
DOWN = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 2]])
