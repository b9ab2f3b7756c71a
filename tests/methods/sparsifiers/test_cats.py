"""CATS: which neurons are skipped by hand, thresholds, and an FFN against plain numpy."""

import numpy as np
import pytest
import torch

from pipeline.methods.masks import Seen
from pipeline.methods.plan import Refused
from pipeline.numerics.histograms import RELATIVE_ERROR


def test_neurons_by_hand(rules):
    found = rules("cats", {"thresholds": [0.5]})
    gate = torch.tensor([[[0.5, -0.2, 0.6, 0], [1, -1, 0.4, -0.51], [0, 0, 0, 0], [-3, 2, 1, 9]]])
    assert found.sees == ("gate",)
    told = found.skip(Seen(hidden=gate * 7, gate=gate))
    assert told.gate.int().tolist() == [[[1, 1, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]]]
    assert told.before is None and told.hidden is None
    with pytest.raises(ValueError, match="not asked for"):
        found.skip(Seen(hidden=gate))


@pytest.mark.parametrize("kind", ["opt", "neox", "gpt2"])
def test_an_ffn_without_a_gate_is_refused(sparsifier, kind):
    with pytest.raises(Refused, match="^this model's FFN has no gate, whose output CATS compares$"):
        sparsifier("cats", kind)


@pytest.mark.parametrize("layer", [0, 1])
def test_an_ffn_as_plain_numpy_has_it(sparsifier, passed, plain, layer):
    made = sparsifier("cats", "gated-silu")
    threshold = made.at(0.6)["thresholds"][layer]
    with made.attached(0.6):
        seen = passed(made.evidence.model, layer)
    own = plain(made.evidence.model, layer)
    gate = own.act(seen.x @ own.gate.T)
    left = np.where(np.abs(gate) > threshold, gate, 0)
    output = (left * (seen.x @ own.up.T)) @ own.down.T
    np.testing.assert_allclose(seen.output, output, rtol=1e-4, atol=1e-5)
    assert 0.4 < (left == 0).mean() < 0.8


def test_thresholds_are_quantiles_of_the_gates_output(sparsifier, passed, plain, make_evidence):
    """On one text, the very one that the pass is made of: all of its tokens, but the first."""
    made = sparsifier("cats", "gated-silu")
    rows = [[1, 5, 9, 20, 33, 4, 7, 60], [1, 40, 41, 42, 10, 11, 12, 13]]
    made.evidence = make_evidence(made.evidence.model, rows)
    for layer in range(2):
        x = passed(made.evidence.model, layer).x.reshape(2, 8, 16)[:, 1:].reshape(14, 16)
        own = plain(made.evidence.model, layer)
        gates = np.sort(np.abs(own.act(x @ own.gate.T)), axis=None)
        for share, place in ((0.25, 83), (0.5, 167), (0.75, 251)):
            found = made.at(share)["thresholds"][layer]
            assert found == pytest.approx(gates[place], rel=RELATIVE_ERROR + 1e-5)
