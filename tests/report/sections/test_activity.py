"""Whether activity predicts the loss: its table and its two figures."""

import pytest

from pipeline.report.render import spec_text, svg
from pipeline.report.sections.activity import part_figure, steps_figure
from tests.report.reading import FIGURES, section_of, table_rows, words

NAME = "activity"


def test_what_predicts_the_loss_is_told_by_level_pooled_rows_first(parts):
    rows = table_rows(section_of(NAME, parts), "neuron")
    assert [row[1] for row in rows] == ["all, pooled", "ref-reglu"]
    assert rows[0][2:] == ["one_part", "activity of the decile", "0.83", "&lt; 0.001", "20", "–"]
    assert rows[1][5] == "0.012"
    assert table_rows(section_of(NAME, parts), "layer")[0][4:] == ["–", "–", "20", "–"]
    assert table_rows(section_of(NAME, parts), "condition")[0][4:] == ["0.83", "–", "20", "–"]
    parts["correlations"] = []
    assert "Does activity predict the loss?" not in words(section_of(NAME, parts))


def test_removals_tell_a_p_only_within_equal_numbers(parts):
    rows = [row[2:] for row in table_rows(section_of(NAME, parts), "removal", "ref-reglu")]
    assert rows == [
        ["all removals", "activity removed, all removals (descriptive)", "0.91", "–", "20", "–"],
        ["all removals", "neurons removed, all removals (descriptive)", "0.95", "–", "20", "–"],
        ["all removals", "activity removed given the number, all removals (descriptive)", "–", "–",
         "20", "–"],
        ["all removals", "activity removed, within removals of equally many neurons", "0.12",
         "0.400", "20", "4"],
    ]  # fmt: skip


def test_the_part_figure_draws_every_unit_of_every_model(units, finding):
    spec = part_figure(units, finding["models"])
    drawn = [row for rows in spec["datasets"].values() for row in rows]
    assert len(drawn) == len(units)
    assert {(row["level"], row["unit"], row["loss"]) for row in drawn} == {
        ("neuron", 1, 1.0), ("neuron", 10, 10.0), ("layer", 0, 0.0), ("layer", 3, 3.0)
    }  # fmt: skip
    assert spec_text(part_figure(units[::-1], finding["models"])) == spec_text(spec)
    text = svg(spec)
    assert "decile of the neurons, 1 the coldest" in text and ">ref-swiglu<" in text


def test_the_part_figure_of_one_level_or_none(units, finding):
    deciles = [row for row in units if row["level"] == "neuron"]
    assert "layer whose" not in svg(part_figure(deciles, finding["models"]))
    assert "No part of a model was removed alone" in svg(part_figure([], finding["models"]))


def test_the_steps_figure_draws_what_stays_beside_what_equal_steps_leave(steps, finding):
    methods = ["drop_cold", "drop_random"]
    spec = steps_figure(steps, methods, "0.1", finding["models"])
    (drawn,) = spec["datasets"].values()
    # Two methods, models and tasks, three step counts: the level asked for alone.
    assert len(drawn) == 2 * 2 * 2 * 3
    assert {row["method"] for row in drawn} == set(methods)
    row = next(row for row in drawn if row["steps"] == 3)
    shares = [row[name] for name in ("stayed", "low", "high", "expected")]
    assert shares == pytest.approx([72.9, 70.9, 74.9, 75.3571])
    assert spec["facet"]["row"]["sort"] == methods
    assert spec["facet"]["column"]["sort"] == ["ref-reglu", "ref-swiglu"]
    dashed, solid, *_ = spec["spec"]["layer"]
    assert dashed["encoding"]["y"]["field"] == "expected" and dashed["mark"]["strokeDash"]
    assert solid["encoding"]["y"]["field"] == "stayed" and "strokeDash" not in solid["mark"]
    assert spec_text(steps_figure(steps[::-1], methods, "0.1", finding["models"])) == spec_text(
        spec
    )
    text = svg(spec)
    # No half steps.
    assert solid["encoding"]["x"]["axis"]["values"] == [2, 3, 4] and ">2.5<" not in text
    assert ">addition<" in text and ">drop_random<" in text and ">ref-swiglu<" in text


def test_without_steps_the_figure_is_a_sentence(steps, finding):
    words = "No task has questions of several numbers of steps"
    for own, methods, level in (([], ["drop_cold"], "0.1"), (steps, [], "0.1"),
                                (steps, ["drop_cold"], "0.3")):  # fmt: skip
        assert words in svg(steps_figure(own, methods, level, finding["models"]))


def test_a_figure_without_anything_to_draw_is_left_out(parts):
    for name, table in (("accuracy-lost-by-part", "units"), ("right-by-steps", "steps")):
        assert FIGURES[name] in section_of(NAME, parts)
        parts[table] = []
        assert FIGURES[name] not in section_of(NAME, parts)
