"""What applying a plan changes is put back, and no more is copied than changes."""

import copy
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from pipeline.methods.apply import apply
from pipeline.methods.plan import Plan
from pipeline.methods.undo import undo
from pipeline.models.views import view

HALF = np.array([[1, 0] * 12] * 2, dtype=np.uint8)


def part(name):
    return {"name": name, "options": {}}


PLANS = {
    "quantized": Plan({"quantization": part("int4") | {"options": {"group": 8}}}, "whole", 0),
    "removed": Plan({"sparsifier": part("drop_cold")}, "0.5", 0, {"sparsifier/dropped": HALF}),
    "a bias": Plan(
        {"compensation": part("mean_bias")}, "whole", 0,
        {"compensation/1/mlp.down_proj": np.ones(16, dtype=np.float32)},
    ),
    "a bias that is there": Plan(
        {"compensation": part("mean_bias")}, "whole", 0,
        {"compensation/1/self_attn.q_proj": np.ones(16, dtype=np.float32)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_weights_and_biases_are_put_back(make_model, name):
    model = make_model(attention_bias=True)
    weights = copy.deepcopy(model.state_dict())
    put_back = undo(PLANS[name], view(model))
    with ExitStack() as ends:
        apply(PLANS[name], view(model), ends)
    changed = model.state_dict()
    assert changed.keys() != weights.keys() or any(
        not torch.equal(values, weights[key]) for key, values in changed.items()
    )
    put_back()
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(values, weights[key]) for key, values in model.state_dict().items())
