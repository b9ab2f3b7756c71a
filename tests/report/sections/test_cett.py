"""Errors of FFNs by the share of neurons that is left out."""

import dataclasses

import pytest

from pipeline.report.render import svg
from pipeline.report.sections.cett import cett_figure
from tests.report.reading import section_of, words


def drawn(spec):
    return [row for rows in spec["datasets"].values() for row in rows]


def test_a_layer_is_a_line_in_percent_on_the_first_corpus(profiles):
    spec = cett_figure(profiles.cett_curves, profiles.models)
    rows = drawn(spec)
    assert len(rows) == 2 * 3 * 6
    of_one = [r for r in rows if (r["model"], r["layer"]) == ("ref-reglu", 1)]
    assert [row["left_out"] for row in of_one] == pytest.approx([50, 60, 70, 80, 90, 100])
    # The other corpus lies a tenth of a point above.
    assert [row["error"] for row in of_one] == pytest.approx([1, 11, 21, 31, 41, 51])
    text = svg(spec)
    assert ">ref-reglu<" in text and ">ref-swiglu<" in text
    assert "neurons left out at a token, %" in text and "error of the FFN's output, %" in text


def test_the_caption_tells_the_error_at_the_thresholds(parts):
    assert "as a mean over layers, 20.0% (ref-reglu), 20.0% (ref-swiglu)." in words(
        section_of("cett", parts)
    )


def test_without_a_profile_there_is_no_section(parts):
    parts["profiles"] = dataclasses.replace(parts["profiles"], cett_curves=[])
    assert section_of("cett", parts) == ""
    assert "No model was profiled" in svg(cett_figure([], []))


def legend(spec):
    return spec["spec"]["layer"][0]["encoding"]["color"]


def test_dozens_of_layers_are_colours_along_a_bar_and_few_are_named(profiles):
    assert legend(cett_figure(profiles.cett_curves, profiles.models))["type"] == "ordinal"
    many = [row | {"layer": 10 * row["layer"] + 9} for row in profiles.cett_curves]
    spec = cett_figure(many, profiles.models)
    assert legend(spec)["type"] == "quantitative"
    # One line a layer, not one for all.
    assert spec["spec"]["layer"][0]["encoding"]["detail"]["field"] == "layer"
    assert "Gradient" in svg(spec) or "linearGradient" in svg(spec)
