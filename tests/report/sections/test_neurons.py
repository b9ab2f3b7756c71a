"""Figures of what profiles say, and published shares beside the models' own."""

import dataclasses
import re

import pytest

from pipeline.report.render import spec_text, svg
from pipeline.report.sections import neurons
from tests.report.reading import FIGURES as PICTURES
from tests.report.reading import section_of, table_rows

FIGURES = ("sparsity", "lorenz", "frequency", "overlap")
SOURCES = {
    "sparsity": "layers", "lorenz": "ranked", "frequency": "ranked", "overlap": "overlaps",
}  # fmt: skip


def spec_of(profiles, name):
    """The spec of a figure."""
    draw = getattr(neurons, f"{name}_figure")
    return draw(getattr(profiles, SOURCES[name]), profiles.models)


def drawn(spec):
    return [row for rows in spec["datasets"].values() for row in rows]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_renders_with_both_models_and_is_the_same_each_time(profiles, name):
    spec = spec_of(profiles, name)
    text = svg(spec)
    assert ">ref-reglu<" in text and ">ref-swiglu<" in text
    assert spec_text(spec_of(profiles, name)) == spec_text(spec)


def test_every_layer_of_every_corpus_is_drawn(profiles):
    rows = drawn(spec_of(profiles, "sparsity"))
    assert len(rows) == 2 * 2 * 3
    assert {round(row["sparsity"]) for row in rows if row["layer"] == 1} == {85, 86}


def test_the_lorenz_curve_of_the_whole_model_stands_out_of_its_layers(profiles):
    rows = drawn(spec_of(profiles, "lorenz"))
    curves = [row for row in rows if "line" in row]
    assert len({(row["model"], row["line"]) for row in curves}) == 2 * 2 * 4
    assert sum(row["whole"] for row in curves) == 2 * 2 * 101


def test_the_heat_map_is_of_the_first_corpus_and_of_layers_alone(profiles):
    rows = drawn(spec_of(profiles, "frequency"))
    assert len(rows) == 2 * 3 * 51
    assert {row["layer"] for row in rows} == {0, 1, 2}


def test_hot_sets_that_are_empty_are_left_out(profiles):
    rows = drawn(spec_of(profiles, "overlap"))
    assert {row["layer"] for row in rows} == {"all", "0", "1"}
    alone = dataclasses.replace(profiles, overlaps=[])
    assert "profiled on two corpora" in svg(spec_of(alone, "overlap"))


def test_published_shares_stand_beside_the_models_own(parts):
    assert table_rows(section_of("neurons", parts), "ref-reglu", "reasoning")[0][2:4] == [
        "32.0%",
        "30.0%",
    ]
    (published,) = table_rows(section_of("neurons", parts), "OPT-30B, ReLU (arXiv 2312.12456)")
    assert published[1:4] == ["Wikipedia", "26%", "17%"]


def labels(text):
    """Numbers from 0 to 79 that a figure shows."""
    found = re.findall(r'opacity="1">(\d\d?)</text>', text)
    return [int(number) for number in found if int(number) < 80]


def test_labels_of_dozens_of_layers_do_not_overlap(profiles):
    few = [row for row in profiles.layers if row["model"] == "ref-reglu"]
    many = [few[0] | {"layer": layer, "natural_sparsity": 0.99} for layer in range(80)]
    (short, long) = (svg(neurons.sparsity_figure(rows, ["ref-reglu"])) for rows in (few, many))
    assert {0, 1, 2} <= set(labels(short))
    # 560 pixels have room for some 25 numbers of two digits.
    assert {0, 20, 40} <= set(labels(long)) and len(labels(long)) < 40


def test_hot_sets_are_compared_only_between_two_corpora(parts):
    assert PICTURES["hot-sets-shared"] in section_of("neurons", parts)
    parts["profiles"] = dataclasses.replace(parts["profiles"], overlaps=[])
    assert PICTURES["hot-sets-shared"] not in section_of("neurons", parts)
