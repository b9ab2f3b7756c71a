"""Methods side by side at equal achieved sparsity."""

import pytest

from pipeline.report.compared import MEASURE_NAMES, cell_text, compared, markdown, panels
from pipeline.report.render import spec_text, svg
from pipeline.report.sections.accuracy_lost import main_figure
from pipeline.report.sections.compared import compared_figure

MODELS = ["ref-reglu", "ref-swiglu"]


@pytest.fixture
def rows(make_curve):
    """A function: (model, method, level, loss), ... -> rows of one measure, with a control each."""

    def make(*conditions, measure="model_weight_sparsity"):
        return [
            make_curve(
                model, method, level, task, measure=measure, loss=loss, loss_low=loss - 0.01,
                loss_high=loss + 0.01, model_weight_sparsity_total=float(level) + 0.003,
            )
            for model, method, level, loss in conditions
            for task in ("reasoning", "copying")
        ]  # fmt: skip

    return make


@pytest.fixture
def texts(perplexity):
    """A function: model, method, level, losses of its texts -> rows of PERPLEXITY."""

    def make(model, method, level, *losses):
        facts = {"model": model, "method": method, "level": level}
        facts |= {"measure": "model_weight_sparsity", "model_weight_sparsity_total": float(level)}
        return [
            {**perplexity[0], **facts, "task": f"text {n}", "loss": loss}
            for n, loss in enumerate(losses)
        ]

    return make


def test_a_table_a_measure_and_level_with_methods_by_their_mean_loss(rows, texts):
    curves = rows(
        ("ref-reglu", "worse", "0.5", 0.3),
        ("ref-swiglu", "worse", "0.5", 0.1),
        ("ref-reglu", "better", "0.5", 0.2),
        ("ref-swiglu", "better", "0.5", 0.1),
        ("ref-swiglu", "rare", "0.5", 0.0),
        ("ref-swiglu", "better", "0.25", 0.05),
    )
    tables = compared(curves, texts("ref-reglu", "better", "0.5", 0.1, 0.3), MODELS)
    assert [(t["measure"], t["level"]) for t in tables] == [
        (MEASURE_NAMES["model_weight_sparsity"], "0.25"),
        (MEASURE_NAMES["model_weight_sparsity"], "0.5"),
    ]
    half = tables[1]["rows"]
    assert [row["method"] for row in half] == ["better", "worse", "rare"]
    assert half[0]["cells"]["ref-reglu"] == {
        "loss": 0.2, "low": pytest.approx(0.19), "high": pytest.approx(0.21), "achieved": 0.503,
        "nats": pytest.approx(0.2),
    }  # fmt: skip
    assert half[0]["cells"]["ref-swiglu"]["nats"] is None
    assert half[2]["cells"]["ref-reglu"] is None


def test_what_achieved_another_sparsity_than_its_level_is_left_out(rows):
    near, far = rows(("ref-reglu", "teal", "0.5", 0.1), ("ref-reglu", "wanda", "0.5", 0.1))[::2]
    far["model_weight_sparsity_total"] = 0.77
    (table,) = compared([near, far], [], MODELS)
    assert [row["method"] for row in table["rows"]] == ["teal"]


def test_nats_of_texts_where_another_sparsity_was_achieved_are_left_out(rows, texts):
    """A predictor fitted on other text skips half as much there: its loss is of another level."""
    near = rows(("ref-reglu", "predicted", "0.5", 0.1))
    there = texts("ref-reglu", "predicted", "0.5", 0.2)
    for achieved, nats in ((0.5, 0.2), (0.23, None)):
        there[0]["model_weight_sparsity_total"] = achieved
        (table,) = compared(near, there, MODELS)
        assert table["rows"][0]["cells"]["ref-reglu"]["nats"] == nats


def test_nats_are_of_texts_that_hold_reasoning_where_there_are_such(rows, texts):
    near = rows(("ref-reglu", "teal", "0.5", 0.1))
    there = texts("ref-reglu", "teal", "0.5", 0.2, 0.6)
    for reasoning, nats in ((False, 0.4), (True, 0.6)):
        there[1]["reasoning"] = reasoning
        (table,) = compared(near, there, MODELS)
        assert table["rows"][0]["cells"]["ref-reglu"]["nats"] == pytest.approx(nats)


def test_what_is_removed_for_good_or_asked_in_other_units_is_not_compared(rows, make_curve):
    others = rows(("ref-reglu", "own", "0.5", 0.1), measure=None)
    assert compared([*others, make_curve(level="0.5")], [], MODELS) == []


def test_a_cell_in_words():
    cell = {"loss": 0.2, "low": 0.19, "high": 0.213, "achieved": 0.5, "nats": 0.126}
    assert cell_text(cell) == "20.0 [19.0, 21.3]; 0.13"
    assert cell_text({**cell, "nats": None}) == "20.0 [19.0, 21.3]"
    assert cell_text(None) == "–"


def test_the_readmes_tables_hold_the_levels_that_are_asked_for(rows):
    curves = rows(*(("ref-reglu", "teal", level, 0.1) for level in ("0.25", "0.5", "0.75")))
    tables = compared(curves, [], MODELS)
    text = markdown(tables, MODELS, "model_weight_sparsity", ["0.25", "0.75"])
    assert text.splitlines() == [
        "| 25% of the weights of the blocks' linear layers not read | `ref-reglu` | `ref-swiglu` |",
        "| --- | --- | --- |",
        "| `teal` | 10.0 [9.0, 11.0] | – |",
        "",
        "| 75% of the weights of the blocks' linear layers not read | `ref-reglu` | `ref-swiglu` |",
        "| --- | --- | --- |",
        "| `teal` | 10.0 [9.0, 11.0] | – |",
    ]


def test_the_figure_draws_each_measure_against_what_was_achieved(rows, finding):
    curves = rows(("ref-reglu", "teal", "0.5", 0.1), ("ref-swiglu", "wina", "0.5", 0.2))
    curves += rows(("ref-reglu", "cats", "0.5", 0.1), measure="neuron_sparsity")
    spec = compared_figure(curves, finding["models"], [])
    drawn = {
        row["method"]: row["sparsity"]
        for data in spec["datasets"].values()
        for row in data
        if row["part"] == "curve"
    }
    wanted = {row["method"]: 100 * row[f"{row['measure']}_total"] for row in curves}
    assert drawn == {method: pytest.approx(value) for method, value in wanted.items()}
    text = svg(spec)
    assert "FFN neurons skipped, %" in text and "linear layers not read, %" in text
    assert spec_text(compared_figure(curves[::-1], finding["models"], [])) == spec_text(spec)


def test_methods_at_a_measure_are_not_on_the_curve_of_removed_neurons(rows, finding):
    curves = rows(("ref-reglu", "teal", "0.5", 0.1))
    assert "there is nothing to draw" in svg(main_figure([], [], finding["models"], []))
    assert "teal" not in spec_text(main_figure(curves, [], finding["models"], []))
    assert "nothing to compare" in svg(compared_figure([], finding["models"], []))


def test_nats_without_a_number_are_not_told(rows, texts):
    curves = rows(("ref-reglu", "overflowing", "0.5", 0.3))
    (table,) = compared(curves, texts("ref-reglu", "overflowing", "0.5", None, 0.1), MODELS)
    assert table["rows"][0]["cells"]["ref-reglu"]["nats"] is None


def own(make_curve, method, neurons, weights, **changes):
    """A row of a method with levels of its own, by what it imposes."""
    shares = {"neuron": neurons, "ffn_weight": weights, "model_weight": weights / 2}
    imposed = {f"{name}_sparsity_imposed": share for name, share in shares.items()}
    total = {f"{name}_sparsity_total": share + 0.1 for name, share in shares.items()}
    return make_curve(method=method, measure=None, level="0.7", **imposed, **total, **changes)


def placed(rows):
    return {measure: [row["method"] for row in of] for measure, of in panels(rows).items()}


def test_methods_with_levels_of_their_own_stand_at_the_measure_that_they_change(make_curve, rows):
    cats, teal = own(make_curve, "cats", 0.5, 0.4), own(make_curve, "teal", 0.0, 0.3)
    assert placed([cats]) == {"neuron_sparsity": ["cats"]}
    assert placed([teal]) == {"model_weight_sparsity": ["teal"]}
    both = {"neuron_sparsity": ["cats"], "model_weight_sparsity": ["cats", "teal"]}
    assert placed([cats, teal]) == both
    # Beside methods that were asked for a measure, too.
    asked = rows(("ref-reglu", "wina", "0.5", 0.1))[:1]
    assert placed([*asked, cats]) == {
        "neuron_sparsity": ["cats"], "model_weight_sparsity": ["wina", "cats"]
    }  # fmt: skip


def test_what_skips_nothing_has_no_place(make_curve):
    assert placed([own(make_curve, "int4", 0.0, 0.0), own(make_curve, "dense", 0.5, 0.5)]) == {}


def test_a_method_with_levels_of_its_own_is_drawn_at_its_total(make_curve, finding):
    rows = [own(make_curve, "cats", 0.5, 0.4), own(make_curve, "teal", 0.0, 0.3, task="copying")]
    spec = compared_figure(rows, finding["models"], [])
    (point,) = (r for data in spec["datasets"].values() for r in data if r["part"] == "curve")
    assert (point["method"], point["sparsity"]) == ("cats", pytest.approx(60.0))
