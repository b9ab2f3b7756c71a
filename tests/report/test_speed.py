"""Where conditions lie between measured speeds, and the page that shows it."""

import pytest

from pipeline.models.skips import FORMS
from pipeline.registry import SPARSIFIERS
from pipeline.report.render import svg
from pipeline.report.speed import NATURAL, figure, page, placed, time_at
from pipeline.tables.curves import DENSE, REASONING


def speed(form, share, ratio, low=None, high=None):
    return {
        "form": form, "share": share, "ideal": 1 / (1 - share), "ratio": ratio,
        "low": low or ratio, "high": high or ratio,
    }  # fmt: skip


#: Time falls from 1 to 0.5 to 0.25 of dense.
SPEEDS = [speed(form, *row) for form in FORMS for row in ((0.0, 1.0), (0.5, 2.0), (0.9, 4.0))]


def curve(method, neurons=0.0, weights=None, total=0.0, of_all=0.0, task=REASONING, model="m"):
    return {
        "model": model, "method": method, "level": "0.5", "task": task, "loss": 0.1,
        "loss_low": 0.05, "loss_high": 0.15, "neuron_sparsity_imposed": neurons,
        "neuron_sparsity_total": total,
        "ffn_weight_sparsity_imposed": neurons if weights is None else weights,
        "model_weight_sparsity_imposed": of_all,
    }  # fmt: skip


def model(part, gated=True):
    """A model whose FFNs hold that part of the blocks' linear weights."""
    return {"gated": gated, "ffn_weights": part * 1000, "linear_weights": 1000}


def test_times_lie_on_lines_between_measurements():
    assert time_at(SPEEDS, "active", 0.0) == 1
    assert time_at(SPEEDS, "active", 0.25) == pytest.approx(0.75)
    assert time_at(SPEEDS, "active", 0.5) == 0.5
    assert time_at(SPEEDS, "active", 0.7) == pytest.approx(0.375)
    # Not guessed at beyond what was measured.
    assert time_at(SPEEDS, "active", 0.99) == time_at(SPEEDS, "active", 0.9) == 0.25


def test_the_speed_up_is_that_of_all_linear_layers():
    forms = {"drop": "sliced", "gate": "threshold", "teal": "channels", "none": None}
    rows = placed(
        [
            curve("drop", neurons=0.5),
            curve("gate", neurons=0.1, total=0.5),
            curve("teal", of_all=0.5),
            curve("none", neurons=0.5),
            curve("drop", neurons=0.9, task="addition"),
        ],
        {name: form for name, form in forms.items() if form},
        SPEEDS,
        {"m": model(0.8)},
    )
    # The FFN, 0.8 of the weights, takes half of its time: 0.6 in all.
    assert {row["method"]: row["speed_up"] for row in rows} == pytest.approx(
        {"drop": 1 / 0.6, "gate": 1 / 0.6, "teal": 2.0}
    )
    assert [row["method"] for row in rows][0] == "teal"


def test_a_predictors_weights_take_time():
    """It spares half of the neurons, but reads a tenth of the FFN's weights for that."""
    (row,) = placed(
        [curve("predicted", neurons=0.5, weights=0.4)],
        {"predicted": "active"},
        SPEEDS,
        {"m": model(1.0)},
    )
    assert row["speed_up"] == pytest.approx(1 / 0.6)


def test_what_a_model_skips_by_itself_costs_nothing():
    rows = placed(
        [curve(DENSE, total=0.5), curve(DENSE, model="n")],
        {},
        SPEEDS,
        {"m": model(1.0), "n": model(1.0)},
    )
    assert [(row["model"], row["method"], row["form"]) for row in rows] == [
        ("m", NATURAL, "threshold")
    ]
    assert rows[0]["speed_up"] == 2


def test_an_ungated_ffn_is_placed_by_what_was_measured_of_one():
    speeds = [speed("threshold", 0.9, 2.5), speed("threshold without a gate", 0.9, 1.8)]
    for gated, wanted in ((True, 2.5), (False, 1.8)):
        (row,) = placed([curve(DENSE, total=0.9)], {}, speeds, {"m": model(1.0, gated)})
        assert row["speed_up"] == pytest.approx(wanted)


def test_intervals_come_from_the_measurements():
    speeds = [speed("sliced", 0.0, 1.0), speed("sliced", 0.5, 2.0, low=1.6, high=2.5)]
    (row,) = placed([curve("drop", neurons=0.5)], {"drop": "sliced"}, speeds, {"m": model(1.0)})
    assert (row["low"], row["speed_up"], row["high"]) == pytest.approx((1.6, 2.0, 2.5))


@pytest.mark.parametrize("name", SPARSIFIERS)
def test_a_sparsifier_that_decodes_through_the_kernels_has_a_form(name):
    """And none that does not; tests of decoding tell which these are."""
    from pipeline.methods.sparsifiers.base import Sparsifier

    entry = SPARSIFIERS.load(name)
    has = entry.for_kernels is not Sparsifier.for_kernels
    assert (entry.kernel_form in FORMS) is has


def test_the_page():
    rows = placed(
        [curve("drop <&>", neurons=0.5)], {"drop <&>": "sliced"}, SPEEDS, {"m": model(0.8)}
    )
    setting = {
        "d": 4096, "d_ff": 11008, "dtype": "bfloat16", "threads": 1, "machine": "a processor",
        "backend": "cpu (avx2)",
    }  # fmt: skip
    drawn = figure(rows, [])
    text = page("mine", rows, SPEEDS, setting, svg(drawn))
    assert "drop &lt;&amp;&gt;" in text and "drop <&>" not in text.replace(svg(drawn), "")
    assert "<td>1.67</td>" in text and "1 thread, a processor" in text
    assert "<script" not in text and "http://" not in text.replace("http://www.w3.org", "")


def test_a_study_without_a_form_says_so():
    assert "No condition" in svg(figure([], []))
