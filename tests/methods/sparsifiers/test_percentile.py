"""Percentile thresholds: by hand, refusals, and an FFN against plain numpy."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipeline.methods.masks import Seen
from pipeline.methods.plan import Refused
from pipeline.methods.sparsifiers.percentile import Options

H = torch.ones(1, 1, 4)
GATE = torch.tensor([[[-0.5, 0.4, 2, -9]]])
UP = torch.tensor([[[3.0, -0.1, 1, 1.1]]])


def test_neurons_and_outputs_by_hand(rules):
    found = rules("percentile", {"gate": [0.5], "up": [1.0], "down": [2.0]})
    assert found.sees == ("gate_input", "up")
    told = found.skip(Seen(H, gate_input=GATE, up=UP))
    assert told.gate.int().tolist() == [[[1, 1, 0, 0]]]
    assert told.hidden.int().tolist() == [[[0, 1, 1, 0]]]
    assert told.before is None
    assert found.keep(torch.tensor([[2.0, -2.1, 0, 5]])).int().tolist() == [[0, 1, 0, 1]]


def test_each_output_can_be_left_out(rules):
    found = rules("percentile", {"up": [1.0]}, outputs=("up",))
    told = found.skip(Seen(H, up=UP))
    assert found.sees == ("up",) and found.keep is None
    assert told.gate is None and told.hidden.int().tolist() == [[[0, 1, 1, 0]]]
    found = rules("percentile", {"down": [1.0]}, outputs=("down",))
    assert found.skip is None and found.keep is not None


@pytest.mark.parametrize("kind", ["opt", "neox", "gpt2"])
def test_the_gate_of_an_ffn_without_one_is_refused(sparsifier, kind):
    reason = "^this model's FFN has no gate; leave `gate` out of `outputs`$"
    for outputs in (("gate",), ("gate", "up", "down")):
        with pytest.raises(Refused, match=reason):
            sparsifier("percentile", kind, outputs=outputs)
    assert set(sparsifier("percentile", kind, outputs=("up",)).at(0.5)) == {"up"}


@pytest.mark.parametrize("outputs", [(), ("up", "up"), ("hidden",)])
def test_outputs_are_some_and_each_once(outputs):
    with pytest.raises(ValidationError):
        Options(outputs=outputs)


@pytest.mark.parametrize("layer", [0, 1])
def test_an_ffn_as_plain_numpy_has_it(sparsifier, passed, plain, layer):
    made = sparsifier("percentile", "gated-silu")
    t = {name: values[layer] for name, values in made.at(0.3).items()}
    with made.attached(0.3):
        seen = passed(made.evidence.model, layer)
    own = plain(made.evidence.model, layer)
    gate, up = seen.x @ own.gate.T, seen.x @ own.up.T
    gate[np.abs(gate) < t["gate"]] = 0
    up[np.abs(up) < t["up"]] = 0
    h = own.act(gate) * up
    output = h @ own.down.T
    output[np.abs(output) < t["down"]] = 0
    np.testing.assert_allclose(seen.output, output, rtol=1e-4, atol=1e-5)
    # A neuron is zero where either is: near 1 - 0.7 ** 2, and not 0.3.
    assert (h == 0).mean() == pytest.approx(0.51, abs=0.08)
    assert (output == 0).mean() == pytest.approx(0.3, abs=0.15)


def test_an_ffn_without_a_gate_as_plain_numpy_has_it(sparsifier, reads, logits):
    """fc1's output is compared before the activation, so large negative ones count as large."""
    made = sparsifier("percentile", "opt", outputs=("up",))
    threshold, (_, ffn) = made.at(0.4)["up"][1], made.evidence.layout.ffns
    with made.attached(0.4):
        found = reads(made.evidence.layout, lambda: logits(made.evidence.model))
    fc1 = ffn.inner[0]
    weight, bias = (p.detach().double().numpy() for p in (fc1.weight, fc1.bias))
    up = found[1, "fc1"].double().numpy() @ weight.T + bias
    h = np.where(np.abs(up) > threshold, np.maximum(up, 0), 0)
    np.testing.assert_allclose(found[1, "fc2"].numpy(), h, rtol=1e-4, atol=1e-5)
    assert ((up > 0) & (h == 0)).any()
