"""All conditions by task, and those that were refused."""

from pipeline.report.sections.conditions import by_task
from tests.report.reading import section_of, table_rows, words

NAME = "conditions"


def test_a_condition_shows_its_figures(parts, make_curve):
    parts["curves"] = [make_curve(level="cold")]
    (row,) = table_rows(section_of(NAME, parts), "ref-reglu", "drop_cold", "cold set")
    assert row[3:] == [
        *("62.0%", "62.0%", "37.2%"),
        *("12.4", "[9.4, 16.4]"),
        *("75.1%", "87.5%", "25.0%"),
        *("19.8", "[15.0, 26.2]"),
        *("81.0%", "81.0%", "48.6%"),
        *("15.5%", "12.4%"),
        *("1", "400", "15.5%", "0"),
    ]


def test_a_null_corrected_loss_is_a_dash(parts, make_curve):
    nulls = dict.fromkeys(("corrected_loss", "corrected_low", "corrected_high"))
    parts.update(curves=[make_curve(**nulls)], removals=[])
    (row,) = table_rows(section_of(NAME, parts), "ref-reglu", "drop_cold", "10%")
    assert row[11:13] == ["–", "–"]
    assert "None" not in words(section_of(NAME, parts))


def test_refused_conditions_are_told_with_their_reason(parts):
    (row,) = table_rows(section_of(NAME, parts), "ref-swiglu", "keep_cold", "50%", "0")
    assert row[4] == parts["refused"][0]["reason"]


def test_tasks_stand_mean_first_and_controls_last(curves):
    titles = [task["title"] for task in by_task(curves, ["ref-swiglu", "ref-reglu"])]
    assert titles == ["mean of the reasoning tasks", "addition", "multihop", "copying (control)"]


def test_rows_of_a_task_stand_by_model_dense_first_then_by_sparsity(curves):
    mean = by_task(list(reversed(curves)), ["ref-swiglu", "ref-reglu"])[0]["rows"]
    found = [(row["model"], row["method"], row["level"]) for row in mean]
    assert found[:5] == [
        ("ref-swiglu", "dense", "0"),
        ("ref-swiglu", "drop_cold", "0.1"),
        ("ref-swiglu", "drop_cold", "0.5"),
        ("ref-swiglu", "drop_cold", "cold"),
        ("ref-swiglu", "drop_random", "0.1"),
    ]
    assert {model for model, _, _ in found[7:]} == {"ref-reglu"}


def test_the_dense_row_comes_first_whatever_the_methods_are_called(make_curve):
    rows = [make_curve(method="arm", level="0.1"), make_curve(method="dense", level="0")]
    (mean,) = by_task(rows, [])
    assert [row["method"] for row in mean["rows"]] == ["dense", "arm"]
