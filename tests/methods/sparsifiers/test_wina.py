"""WINA: which channels are kept by hand, and a block against plain Python."""

import numpy as np
import pytest
import torch

from pipeline.methods.sparsifiers.by_input import column_norms
from pipeline.methods.sparsifiers.wina import kept


def test_the_largest_products_by_hand():
    x = torch.tensor([[4.0, 3, 2, 1], [1, 1, 1, 1], [0, 0, 0, -5], [-9, 0.5, 4, 0]])
    norms = torch.tensor([1.0, 2, 4, 3])
    # Products: 4 6 8 3; 1 2 4 3; 0 0 0 15; 9 1 16 0.
    assert kept(x, norms, 0.5).int().tolist()[:2] == [[0, 1, 1, 0], [0, 0, 1, 1]]
    assert kept(x, norms, 0.5).int().tolist()[3] == [1, 0, 1, 0]
    assert kept(x, norms, 0.75).int().tolist()[2:] == [[0, 0, 0, 1], [0, 0, 1, 0]]
    # Plain magnitude would keep the first channel of the first token.
    assert kept(x, torch.ones(4), 0.5)[0].tolist() == [True, True, False, False]
    # Of 4 channels 0.1 is none, and 0.13 rounds to one.
    assert kept(x, norms, 0.1).all() and kept(x, norms, 0.13).sum(1).tolist() == [3] * 4


def test_products_that_overflow_half_precision_are_told_apart():
    x = torch.tensor([[60000, 50000, 1, 2]], dtype=torch.float16)
    norms = column_norms(torch.tensor([[2.0, 3, 1, 1]], dtype=torch.float16))
    assert norms.dtype == torch.float32
    assert kept(x, norms, 0.75).tolist() == [[False, True, False, False]]


def test_products_that_round_alike_in_half_precision_are_told_apart():
    x = torch.tensor([[1.0, 1, 1, 1]], dtype=torch.bfloat16)
    norms = column_norms(torch.tensor([[1, 1, 0, 0], [0.05, 0, 0.5, 0.5]]).bfloat16())
    # Length 1.001 and 1, of which bfloat16 has nothing between 1 and 1.0078.
    assert kept(x, norms, 0.75).tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("layer", [0, 1])
def test_a_block_as_plain_python_has_it(sparsifier, passed, plain, layer):
    made, share = sparsifier("wina", "gated-silu"), 0.45
    with made.attached(share):
        seen = passed(made.evidence.model, layer)
    own = plain(made.evidence.model, layer)

    def read_of(x, weight):
        left = x.copy()
        for row in left:
            products = [abs(v) * np.sqrt((weight[:, i] ** 2).sum()) for i, v in enumerate(row)]
            order = sorted(range(len(row)), key=products.__getitem__)
            row[order[: round(share * len(row))]] = 0
        return left

    gate, up = (read_of(seen.x, w) @ w.T for w in (own.gate, own.up))
    output = read_of(own.act(gate) * up, own.down) @ own.down.T
    np.testing.assert_allclose(seen.output, output, rtol=1e-4, atol=1e-5)
    query = read_of(seen.normed, own.query) @ own.query.T
    np.testing.assert_allclose(seen.query, query, rtol=1e-4, atol=1e-5)


def test_as_many_channels_are_read_at_every_token_of_a_model(sparsifier, logits):
    made = sparsifier("wina", "gpt2")
    with made.attached(0.3) as forward:
        logits(made.evidence.model)
    assert len(forward.kept) == 2 * 3
    for mask in forward.kept.values():
        assert mask.sum(-1).unique().tolist() == [16 - 5]
    for told in forward.skipped.values():
        assert told.hidden.sum(-1).unique().tolist() == [7]
