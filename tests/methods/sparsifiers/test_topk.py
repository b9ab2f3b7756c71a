"""Top-k: which neurons are kept by hand, and an FFN against plain Python."""

import numpy as np
import pytest
import torch

from pipeline.methods.masks import Seen

H = torch.tensor([[[1.0, 9, -0.5, 4], [0, 0, 0, 1], [2, 1, 1, 1], [-4, 3, 2, 1]]])


def test_neurons_by_hand(rules):
    # Contributions, with output vectors of 5, 0, 13 and 1.41: 5 0 6.5 5.7; 0 0 0 1.4; 10 0 13 1.4;
    # 20 0 26 1.4.
    told = rules("topk", {"kept": 2}).skip(Seen(H))
    rows = told.hidden[0].int().tolist()
    assert [rows[n] for n in (0, 2, 3)] == [[1, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 1]]
    assert not told.hidden[0, 1, 3] and told.hidden.sum(-1).tolist() == [[2, 2, 2, 2]]
    assert told.before is None and told.gate is None
    told = rules("topk", {"kept": 2}, by="magnitude").skip(Seen(H))
    assert told.hidden[0].int().tolist()[::3] == [[1, 0, 1, 0], [0, 0, 1, 1]]


def test_as_many_as_the_share_leaves_are_kept(sparsifier):
    made = sparsifier("topk", "gated-silu")
    # Of 24 neurons: 0.1 are 2.4, 0.5 are 12, 0.99 are 23.76.
    assert [int(made.at(s)["kept"]) for s in (0.0, 0.1, 0.5, 0.99, 1.0)] == [24, 22, 12, 0, 0]


@pytest.mark.parametrize("by", ["magnitude", "contribution"])
@pytest.mark.parametrize("layer", [0, 1])
def test_an_ffn_as_plain_python_has_it(sparsifier, passed, plain, by, layer):
    made = sparsifier("topk", "gated-silu", by=by)
    with made.attached(0.7):
        seen = passed(made.evidence.model, layer)
    own = plain(made.evidence.model, layer)
    h = own.hidden(seen.x)
    for row in h:
        sizes = [abs(v) * (np.linalg.norm(own.down[:, i]) if by == "contribution" else 1)
                 for i, v in enumerate(row)]  # fmt: skip
        row[sorted(range(24), key=sizes.__getitem__)[:17]] = 0
    np.testing.assert_allclose(seen.output, h @ own.down.T, rtol=1e-4, atol=1e-5)


def test_as_many_are_kept_at_every_token_of_a_model(sparsifier, logits):
    made = sparsifier("topk", "neox")
    with made.attached(0.7) as forward:
        logits(made.evidence.model)
    for told in forward.skipped.values():
        assert told.hidden.sum(-1).unique().tolist() == [17]
