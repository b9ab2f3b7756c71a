"""TEAL: thresholds by hand and against exact quantiles, and a block against plain numpy."""

import math

import numpy as np
import polars as pl
import pytest
import torch

from pipeline.methods.sparsifiers.thresholds import above, limit
from pipeline.numerics.histograms import RELATIVE_ERROR, Magnitudes
from tests.methods.evidence import SPECIAL_IDS

NAN, INFINITE = float("nan"), float("inf")


def test_channels_above_a_threshold_by_hand():
    x = torch.tensor([[0.5, -0.6, 0.1, 0], [-0.5, 0.51, 2, -3], [0, 0, 0, 0], [9, 1, -0.49, 0.4]])
    assert above(x, 0.5).int().tolist() == [[0, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]]
    assert above(x, 0.0).int().tolist() == (x != 0).int().tolist()
    assert not above(x, math.inf).any()


def test_what_is_no_number_is_never_left_out():
    """A model that breaks must be seen to break."""
    x = torch.tensor([NAN, INFINITE, -INFINITE, 1.0])
    assert above(x, 2.0).tolist() == [True, True, True, False]
    assert above(x, math.inf).tolist() == [True, False, False, False]


def test_thresholds_by_hand():
    # Magnitudes 0, 0, 1 and 2, of which 1 is there with a minus.
    rows = pl.DataFrame(
        {
            "sign": [-1, 0, 1],
            "low": [1.0, 0.0, 2.0],
            "high": [1 + 1 / 64, 0.0, 2 + 1 / 32],
            "count": [1, 2, 1],
        }
    )
    found = Magnitudes(rows)
    assert [limit(found, share) for share in (0.0, 0.25, 0.5)] == [0, 0, 0]
    # As far into a bin as into its values.
    assert [limit(found, share) for share in (0.51, 0.75)] == pytest.approx(
        [1 + 0.04 / 64, 1 + 1 / 64]
    )
    assert limit(found, 0.875) == 2 + 1 / 64
    assert limit(found, 1.0) == math.inf


def test_the_smallest_share_has_a_threshold_and_0_has_none():
    rows = pl.DataFrame({"sign": [1], "low": [4.0], "high": [4 + 1 / 16], "count": [3]})
    assert limit(Magnitudes(rows), 0.0) == 0.0
    assert limit(Magnitudes(rows), 1e-9) == pytest.approx(4)


@pytest.fixture(scope="module")
def read(evidence_of, reads):
    """A function: one of the kinds -> |x| of all tokens that are not special, by layer and name."""

    def of(kind):
        evidence = evidence_of(kind)
        found = {}
        for row in evidence.sequences:
            tokens = torch.tensor([row])
            counted = ~torch.isin(tokens[0], torch.tensor(SPECIAL_IDS))
            with torch.inference_mode():
                one = reads(evidence.layout, lambda given=tokens: evidence.model(given))
            for place, x in one.items():
                found.setdefault(place, []).append(x[counted].abs().numpy())
        return {place: np.concatenate(parts) for place, parts in found.items()}

    return of


@pytest.mark.parametrize("kind", ["gated-silu", "gated-relu", "opt", "gpt2"])
def test_thresholds_are_quantiles_of_all_that_was_read(sparsifier, read, kind):
    made, exact = sparsifier("teal", kind), read(kind)
    layers = {layer for layer, _ in exact}
    names = [name for layer, name in exact if layer == 0]
    for share in (0.05, 0.3, 0.5, 0.77, 0.95):
        arrays = made.at(share)
        assert arrays["settings"].shape == arrays["shares"].shape == (len(layers), len(names))
        assert (arrays["shares"] == share).all()
        for (layer, name), x in exact.items():
            found = arrays["settings"][layer, names.index(name)]
            wanted = np.sort(x, axis=None)[math.ceil(round(share * x.size, 6)) - 1]
            # Sums of one sequence alone may differ in their last bits.
            assert found == pytest.approx(wanted, rel=RELATIVE_ERROR + 1e-5, abs=1e-30)
            if wanted:
                assert (x <= found).mean() == pytest.approx(share, abs=0.015)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_block_as_plain_numpy_has_it(sparsifier, passed, plain, layer):
    made = sparsifier("teal", "gated-silu")
    arrays = made.at(0.4)
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    t = dict(zip(names, arrays["settings"][layer], strict=True))
    with made.attached(0.4):
        seen = passed(made.evidence.model, layer)
    own = plain(made.evidence.model, layer)

    def read_of(x, name):
        return np.where(np.abs(x) > t[name], x, 0)

    gate, up = (read_of(seen.x, f"{n}_proj") @ getattr(own, n).T for n in ("gate", "up"))
    output = read_of(own.act(gate) * up, "down_proj") @ own.down.T
    np.testing.assert_allclose(seen.output, output, rtol=1e-4, atol=1e-5)
    query = read_of(seen.normed, "q_proj") @ own.query.T
    np.testing.assert_allclose(seen.query, query, rtol=1e-4, atol=1e-5)
    assert 0.2 < (read_of(seen.normed, "q_proj") == 0).mean() < 0.6
