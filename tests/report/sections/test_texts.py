"""What pruning costs on texts."""

import pytest

from pipeline.report.render import spec_text, svg
from pipeline.report.sections.texts import achieved_figure, removed_figure
from tests.report.conftest import METHODS, MODELS
from tests.report.reading import FIGURES, section_of, table_rows, words

NAME = "texts"


def test_nats_that_cannot_be_told_are_dashes_beside_the_count_of_such_texts(parts):
    nothing = dict.fromkeys(("log_perplexity", "loss", "loss_low", "loss_high"))
    parts["perplexity"] = [{**row, **nothing, "nonfinite": 3} for row in parts["perplexity"]]
    (row,) = table_rows(section_of(NAME, parts), "prose", "ref-reglu")
    assert row[7:] == ["–", "–", "–", "1.30", "1", "500", "3"]


def test_texts_are_told_in_nats_without_the_dense_run(parts):
    (row,) = table_rows(section_of(NAME, parts), "prose", "ref-reglu")
    assert row[2:] == [
        "drop_cold", "10%", "10.0%", "10.0%", "10.0%", "0.37", "[0.35, 0.40]", "1.67", "1.30", "1",
        "500", "0",
    ]  # fmt: skip
    parts["perplexity"] = []
    assert "Text that needs no reasoning" not in words(section_of(NAME, parts))


def points(spec):
    """The points of a figure's curves."""
    return [row for rows in spec["datasets"].values() for row in rows if row["part"] == "curve"]


def own_levels(perplexity, **changes):
    """Rows of a method whose level is in its own unit: it skips 30 % of the neurons, 20 % of the
    weights."""
    facts = {"method": "cats", "level": "0.5", "measure": None, "neuron_sparsity_imposed": 0.25}
    achieved = {"neuron_sparsity_total": 0.3, "model_weight_sparsity_total": 0.2}
    return [row | facts | achieved | changes for row in perplexity if row["method"] != "dense"]


def test_nats_stand_over_the_neurons_removed_in_nats_and_not_in_points(perplexity, finding):
    spec = removed_figure(perplexity, finding["models"], METHODS)
    drawn = points(spec)
    assert [(row["model"], row["method"]) for row in drawn] == [(m, "drop_cold") for m in MODELS]
    ends = [drawn[0][key] for key in ("sparsity", "loss", "low", "high")]
    assert ends == pytest.approx([10.0, 0.37, 0.35, 0.40])
    text = svg(spec)
    assert "Nats a token lost" in text and "FFN neurons removed, %" in text
    turned = removed_figure(perplexity[::-1], finding["models"], METHODS)
    assert spec_text(turned) == spec_text(spec)


def test_methods_with_levels_of_their_own_stand_at_what_they_achieved(perplexity, finding):
    spec = achieved_figure([*perplexity, *own_levels(perplexity)], finding["models"], METHODS)
    assert {(row["method"], row["sparsity"]) for row in points(spec)} == {("cats", 30.0)}
    assert "FFN neurons skipped, %" in svg(spec)


def test_texts_without_a_number_have_no_point_and_a_single_text_no_bar(perplexity, finding):
    none = [row | {"loss": None, "loss_low": None, "loss_high": None} for row in perplexity]
    assert "so there is no curve" in svg(removed_figure(none, finding["models"], METHODS))
    single = [row | {"loss_low": None, "loss_high": None} for row in perplexity]
    (point, _) = points(removed_figure(single, finding["models"], METHODS))
    assert point["low"] == point["loss"] == point["high"]


def test_a_figure_without_a_point_is_left_out(parts, perplexity):
    assert FIGURES["nats-lost"] in section_of(NAME, parts)
    assert FIGURES["nats-lost-by-measure"] not in section_of(NAME, parts)
    parts["perplexity"] = own_levels(perplexity)
    assert FIGURES["nats-lost"] not in section_of(NAME, parts)
    assert FIGURES["nats-lost-by-measure"] in section_of(NAME, parts)
