"""How activations are spread, and which hot sets are shared, by hand."""

import numpy as np
import polars as pl
import pytest

from pipeline.classification.power_law import curves, overlaps, spread
from pipeline.tables.power_law import HOT_OVERLAPS, POWER_LAW, RANKED


def profile(active, tokens=100):
    active = np.array(active)
    layer, neuron = np.indices(active.shape)
    return pl.DataFrame(
        {
            "layer": layer.ravel(),
            "neuron": neuron.ravel(),
            "active": active.ravel(),
            "tokens": np.full(active.size, tokens),
            "nonfinite": np.zeros(active.size, dtype=int),
        }
    )


ONE = profile([[50, 1, 30, 0, 0], [10, 4, 2, 3, 0]])


def test_spread_by_hand():
    table = POWER_LAW.frame(spread("text", ONE))
    assert table["layer"].to_list() == [None, 0, 1]
    # 80 of 100 by two of ten; 50 + 30 of 81; 10 + 4 + 3 of 19.
    assert table["hot"].to_list() == [2, 2, 3]
    assert table["hot_share"].to_list() == [0.2, 0.4, 0.6]
    assert table["top_carries"].to_list() == pytest.approx([0.8, 50 / 81, 10 / 19])
    assert table["never_active"].to_list() == [3, 2, 1]
    assert table["neurons"].to_list() == [10, 5, 5]


def test_a_neuron_that_is_never_finite_is_not_called_inactive():
    broken = ONE.with_columns(nonfinite=pl.when(pl.col("active") == 0).then(100).otherwise(0))
    assert [row["never_active"] for row in spread("text", broken)] == [0, 0, 0]


def test_ranked_by_hand():
    table = RANKED.frame(curves("text", ONE))
    assert table.height == 3 * 101
    whole = table.filter(pl.col("layer").is_null())
    tenths = whole[::10]
    # The seventh neuron of ten stands at 60 to 69 %; 0.29 * 100 is below 29 in floats.
    assert whole["frequency"].to_list()[60:70] == [0.01] * 10
    assert tenths["share_of_activations"].to_list() == pytest.approx(
        [0, 0.5, 0.8, 0.9, 0.94, 0.97, 0.99, 1, 1, 1, 1]
    )
    assert tenths["frequency"].to_list() == [0.5, 0.3, 0.1, 0.04, 0.03, 0.02, 0.01, 0, 0, 0, 0]


def test_overlaps_by_hand():
    # On the other text neuron (0, 1) takes the place of (0, 2).
    other = profile([[50, 30, 1, 0, 0], [10, 4, 2, 3, 0]])
    table = HOT_OVERLAPS.frame(overlaps({"text": ONE, "other": other}))
    assert set(zip(table["corpus"], table["other"], strict=True)) == {("text", "other")}
    by_coverage = table.filter(basis="coverage80")
    assert by_coverage["both"].to_list() == [1, 1, 3]
    assert by_coverage["share"].to_list() == [0.5, 0.5, 1.0]
    assert by_coverage["jaccard"].to_list() == pytest.approx([1 / 3, 1 / 3, 1.0])
    assert by_coverage["by_chance"].to_list() == [0.2, 0.4, 0.6]
    top = table.filter(basis="top20")
    assert top["size"].to_list() == top["other_size"].to_list() == [2, 1, 1]
    assert top["share"].to_list() == [0.5, 1.0, 1.0]


def test_the_order_of_rows_does_not_matter_and_one_corpus_has_no_overlap():
    mixed = ONE.sample(fraction=1, shuffle=True, seed=2)
    assert overlaps({"a": ONE, "b": mixed}) == [
        {**row, "both": row["size"], "share": 1.0, "jaccard": 1.0}
        for row in overlaps({"a": ONE, "b": ONE})
    ]
    assert spread("a", mixed) == spread("a", ONE)
    assert HOT_OVERLAPS.frame(overlaps({"a": ONE})).is_empty()


def test_a_model_that_is_never_active_has_no_hot_set():
    silent = profile([[0, 0], [0, 0]], tokens=0)
    assert [row["hot"] for row in spread("a", silent)] == [0, 0, 0]
    rows = overlaps({"a": silent, "b": silent})
    assert {row["share"] for row in rows if row["basis"] == "coverage80"} == {None}
    assert {row["share_of_activations"] for row in curves("a", silent)} == {0.0}
