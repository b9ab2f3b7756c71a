"""What is measured is what is told; how long it takes is left to benchmarks."""

import pytest
import torch

from pipeline.decoding.timing import SHARES, compared, median, random_trial, speeds
from pipeline.models.skips import FORMS

#: Of a form's matrices, those that are read whole, and all.
READ = {
    "sliced": (0, 3), "active": (0, 3), "threshold": (1, 3), "threshold without a gate": (1, 2),
    "channels": (0, 1),
}  # fmt: skip


def test_rows_of_every_form_and_share():
    rows = speeds(64, 96, torch.float32, 1, others={"other": lambda trial: trial.mask.sum()})
    assert [(row["form"], row["share"]) for row in rows] == [
        (form, share) for share in SHARES for form in FORMS
    ]
    for row in rows:
        whole, every = READ[row["form"]]
        left = whole + (every - whole) * (1 - row["share"])
        assert row["ideal"] == pytest.approx(every / left)
        assert row["ratio"] > 0 and row["low"] <= row["ratio"] <= row["high"]
        assert row["bytes_a_second"] * row["seconds"] == pytest.approx(left * 64 * 96 * 4)
        assert list(row["others"]) == (["other"] if row["form"] == "active" else [])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9, 0.95])
def test_a_round_leaves_out_as_many_as_its_share(share):
    trial = random_trial(100, 500, torch.float32)
    trial.share = share
    trial.renew()
    kept = 500 - round(500 * share)
    assert int(trial.mask.sum()) == len(trial.kept) == kept == len(trial.cut[0])
    gates = torch.nn.functional.silu(trial.x @ trial.gate.T).abs()
    ups = torch.nn.functional.silu(trial.x @ trial.up.T).abs()
    for sizes, threshold in ((gates, trial.gates), (ups, trial.ups), (trial.x.abs(), trial.inputs)):
        assert int((sizes <= threshold).sum()) == pytest.approx(share * sizes.numel(), abs=1)
    before = trial.x, trial.mask
    trial.renew()
    assert not torch.equal(trial.x, before[0])
    assert share == 0 or not torch.equal(trial.mask, before[1])


def test_contenders_of_a_round_compute_the_same():
    """Matrices that were cut, and the dense product of the neurons that are left."""
    trial = random_trial(32, 48, torch.float32)
    trial.share = 0.5
    trial.renew()
    cut = trial.sliced()
    trial.down = trial.down * trial.mask
    torch.testing.assert_close(cut, trial.dense(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(trial.down_rows.T, trial.down)


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
    assert median([2.0, 2.0, 2.0]) == {"ratio": 2.0, "low": 2.0, "high": 2.0}
    found = median([1.0, 2.0, 9.0])
    assert found["ratio"] == 2.0 and found["low"] == 1.0 and found["high"] == 9.0
