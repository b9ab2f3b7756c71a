"""Figures and figures in words of what profiles say."""

import dataclasses
import json

import pytest

from pipeline.report.neurons import Profiles
from pipeline.report.render import spec_text, svg
from pipeline.tables.neurons import LAYERS
from pipeline.tables.power_law import HOT_OVERLAPS, POWER_LAW, RANKED

FIGURES = ("sparsity_figure", "lorenz_figure", "frequency_figure", "overlap_figure")


def drawn(spec):
    return [row for rows in spec["datasets"].values() for row in rows]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_renders_with_both_models_and_is_the_same_each_time(profiles, name):
    spec = profiles.figures()[name]
    text = svg(spec)
    assert ">ref-reglu<" in text and ">ref-swiglu<" in text
    assert spec_text(profiles.figures()[name]) == spec_text(spec)


def test_every_layer_of_every_corpus_is_drawn(profiles):
    rows = drawn(profiles.figures()["sparsity_figure"])
    assert len(rows) == 2 * 2 * 3
    assert {round(row["sparsity"]) for row in rows if row["layer"] == 1} == {85, 86}


def test_the_lorenz_curve_of_the_whole_model_stands_out_of_its_layers(profiles):
    rows = drawn(profiles.figures()["lorenz_figure"])
    curves = [row for row in rows if "line" in row]
    assert len({(row["model"], row["line"]) for row in curves}) == 2 * 2 * 4
    assert sum(row["whole"] for row in curves) == 2 * 2 * 101


def test_the_heat_map_is_of_the_first_corpus_and_of_layers_alone(profiles):
    rows = drawn(profiles.figures()["frequency_figure"])
    assert len(rows) == 2 * 3 * 51
    assert {row["layer"] for row in rows} == {0, 1, 2}


def test_hot_sets_that_are_empty_are_left_out(profiles):
    rows = drawn(profiles.figures()["overlap_figure"])
    assert {row["layer"] for row in rows} == {"all", "0", "1"}
    alone = dataclasses.replace(profiles, overlaps=[])
    assert "profiled on two corpora" in svg(alone.figures()["overlap_figure"])


def test_shares_of_a_layer_are_means_over_layers(profiles):
    rows = profiles.spreads()
    assert [(row["model"], row["corpus"]) for row in rows] == [
        (model, corpus) for model in profiles.models for corpus in ("reasoning", "prose")
    ]
    assert rows[0]["hot_share"] == pytest.approx(0.3)
    assert rows[0]["block_share"] == pytest.approx(0.32)


def test_profiles_are_read_in_the_order_of_models_and_corpora(profiles, tmp_path, manifest):
    pairs = [(m, c) for m in profiles.models for c in ("reasoning", "prose")]

    def write(table, rows, name):
        own = [{key: row[key] for key in table.columns} for row in rows]
        table.write(tmp_path / name, own, manifest)
        return tmp_path / name

    def of(rows, **key):
        return [row for row in rows if key.items() <= row.items()]

    layers = [write(LAYERS, of(profiles.layers, model=m, corpus=c), f"l-{m}-{c}") for m, c in pairs]
    by_model = [
        [write(table, of(rows, model=m), f"{table.name}-{m}") for m in profiles.models]
        for table, rows in (
            (POWER_LAW, profiles.power_law), (RANKED, profiles.ranked),
            (HOT_OVERLAPS, profiles.overlaps),
        )
    ]  # fmt: skip
    read = Profiles.read(pairs, layers, *by_model)
    assert json.dumps(read.figures()) == json.dumps(profiles.figures())
    assert read.spreads() == profiles.spreads()
