"""What is measured is what is told; how long it takes is left to benchmarks."""

import pytest
import torch

from pipeline.kernels.rules import FORMS
from pipeline.kernels.speed import (
    SHARES,
    compared,
    interval,
    random_weights,
    speeds,
)


def test_rows_of_every_form_and_share():
    rows = speeds(64, 96, torch.float32, 1, others={"other": lambda weights: weights.mask.sum()})
    assert [(row["form"], row["share"]) for row in rows] == [
        (form, share) for share in SHARES for form in FORMS
    ]
    for row in rows:
        share = row["share"]
        wanted = 3 / (3 - 2 * share) if row["form"] == "threshold" else 1 / (1 - share)
        assert row["ideal"] == pytest.approx(wanted)
        assert row["ratio"] > 0 and row["low"] <= row["ratio"] <= row["high"]
        whole = 64 * 96 * 4 * (1 if row["form"] == "channels" else 3)
        read = row["bytes_a_second"] * row["seconds"]
        assert read == pytest.approx(whole / row["ideal"])
        assert ("others" in row) is (row["form"] == "active")


def test_contenders_of_a_round_compute_the_same():
    """Matrices that were cut, a mask, and the dense product of the neurons that are left."""
    weights, draw = random_weights(32, 48, torch.float32)
    weights.renew(0.5, draw)
    assert 5 < int(weights.mask.sum()) < 43
    cut = weights.sliced()
    weights.down = weights.down * weights.mask
    torch.testing.assert_close(cut, weights.dense(), rtol=1e-4, atol=1e-5)
    before = weights.mask
    weights.renew(0.5, draw)
    assert not torch.equal(before, weights.mask)


def test_every_contender_runs_as_often():
    calls = {"dense": 0, "one": 0, "two": 0}
    renewed = []

    def contender(name):
        def run():
            calls[name] += 1

        return run

    found = compared({name: contender(name) for name in calls}, 3, lambda: renewed.append(1))
    assert len(renewed) == 3 and set(found) == set(calls)
    # dense runs twice more, to tell how long it takes.
    assert calls["dense"] - 2 == calls["one"] == calls["two"]
    assert found["dense"]["ratio"] == 1


def test_the_interval_is_that_of_the_median():
    assert interval([2.0, 2.0, 2.0]) == {"ratio": 2.0, "low": 2.0, "high": 2.0}
    found = interval([1.0, 2.0, 9.0])
    assert found["ratio"] == 2.0 and found["low"] == 1.0 and found["high"] == 9.0
