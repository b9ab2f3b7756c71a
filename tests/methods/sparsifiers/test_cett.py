"""CETT: which neurons are left out by hand, thresholds against loops, and an FFN against numpy."""

import numpy as np
import pytest
import torch

from pipeline.methods.masks import Seen
from pipeline.methods.sparsifiers.cett import within


def test_neurons_by_hand(rules):
    h = torch.tensor([[[1.0, 9, -0.5, 4], [0.4, 0, 0.1, 1], [-2, 0, 0, 0], [0, 0, 1, 5]]])
    # Contributions, with output vectors of 5, 0, 13 and 1.41: 5 0 6.5 5.7; 2 0 1.3 1.4; 10 0 0 0;
    # 0 0 13 7.1.
    told = rules("cett", {"thresholds": [5.5]}).skip(Seen(h))
    rows = [[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 0, 0]]
    assert told.hidden[0].int().tolist() == rows
    assert told.before is None and told.gate is None
    # A contribution of the threshold itself is within it.
    assert rules("cett", {"thresholds": [5.0]}).skip(Seen(h)).hidden[0, 0, 0]


def test_contributions_of_half_precision_are_compared_as_they_were_fitted():
    """1 * 1.002 rounds to 1 in bfloat16, which is within 1.001."""
    h = torch.tensor([[1.0, 1.0]], dtype=torch.bfloat16)
    assert within(h, torch.tensor([1.002, 1.0]), 1.001).tolist() == [[False, True]]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_thresholds_are_the_largest_that_keep_the_mean_error_within_the_share(
    sparsifier, make_evidence, passed, plain, share
):
    made = sparsifier("cett", "gated-silu")
    rows = [[1, 5, 9, 20, 33, 4, 7, 60], [1, 40, 41, 42, 10, 11, 12, 13]]
    made.evidence = make_evidence(made.evidence.model, rows)
    found = made.at(share)["thresholds"]
    for layer in range(2):
        own = plain(made.evidence.model, layer)
        x = passed(made.evidence.model, layer).x.reshape(2, 8, 16)[:, 1:].reshape(14, 16)
        h = own.hidden(x)
        contributions = np.abs(h) * np.linalg.norm(own.down, axis=0)

        def cett(eps, h=h, contributions=contributions, own=own):
            tails = np.where(contributions <= eps, h, 0) @ own.down.T
            return np.mean(np.linalg.norm(tails, axis=1) / np.linalg.norm(h @ own.down.T, axis=1))

        # The threshold is just below the contribution that is too much.
        assert cett(found[layer] * (1 - 1e-5)) <= share + 1e-5
        assert cett(found[layer] * (1 + 1e-5)) > share


@pytest.mark.parametrize("kind", ["gated-silu", "gated-relu", "opt", "neox", "gpt2"])
def test_the_mean_error_on_the_sample_is_what_was_asked_for(sparsifier, kind):
    """Of the dense model's h, by the definition; the sample has a step at every contribution."""
    made = sparsifier("cett", kind)
    blocks, hidden = made.evidence.blocks, made.evidence.blocks.first
    for layer, ffn in enumerate(made.evidence.layout.ffns):
        with blocks.inputs([ffn.down.module]) as read:
            hidden = blocks.run(layer, hidden)
        h = blocks.counted(read[ffn.down.module]).double()
        h = h[h.abs().sum(1) > 0]
        step = -(-len(h) // 256)
        h, down = h[::step], ffn.down.weight.detach().double()
        for share in (0.2, 0.5):
            eps = made.at(share)["thresholds"][layer]
            inside = h.abs() * down.norm(dim=0) <= eps
            error = (torch.where(inside, h, 0) @ down.T).norm(dim=1) / (h @ down.T).norm(dim=1)
            assert float(error.mean()) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("layer", [0, 1])
def test_an_ffn_as_plain_numpy_has_it(sparsifier, passed, plain, layer):
    made = sparsifier("cett", "gated-silu")
    threshold = made.at(0.4)["thresholds"][layer]
    with made.attached(0.4):
        seen = passed(made.evidence.model, layer)
    own = plain(made.evidence.model, layer)
    h = own.hidden(seen.x)
    for row in h:
        for neuron in range(24):
            if abs(row[neuron]) * np.sqrt((own.down[:, neuron] ** 2).sum()) <= threshold:
                row[neuron] = 0
    np.testing.assert_allclose(seen.output, h @ own.down.T, rtol=1e-4, atol=1e-5)
    assert 0.2 < (h == 0).mean() < 0.9
