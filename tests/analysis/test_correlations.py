"""Correlations of the parts of a model with what removing them costs, by hand and on known data."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.correlations import (
    decile_facts,
    layer_facts,
    of_conditions,
    of_units,
    slope,
    spearman,
)
from pipeline.analysis.study import PartProfile, analysed
from pipeline.config.analysis import Analysis
from pipeline.tables.correlations import CORRELATIONS, UNITS

LAYERS, WIDTH = 3, 20
BACKBONE = (
    {"name": "m", "activation": "relu", "parameters": 10},
    pl.DataFrame({"natural_sparsity": [0.8]}),
    {"neurons": 60, "hot": 30, "carried": 0.8, "active_rule": "nonzero", "policy": "coverage",
     "share": 0.8},
)  # fmt: skip


def profile(frequency):
    """NEURONS and CLASSES of neurons with these activation frequencies, (layers, width)."""
    layer, neuron = np.indices(frequency.shape)
    keys = {"layer": layer.ravel(), "neuron": neuron.ravel()}
    active = np.rint(1000 * frequency).astype(int).ravel()
    neurons = pl.DataFrame({**keys, "active": active, "tokens": np.full(active.size, 1000)})
    return neurons, pl.DataFrame({**keys, "hot": active > 500})


FREQUENCY = np.linspace(0.0, 1.0, LAYERS * WIDTH).reshape(LAYERS, WIDTH)


def test_facts_of_deciles_and_layers_by_hand():
    neurons, classes = profile(FREQUENCY)
    joined = PartProfile("m", "one", "layer", neurons[::-1], classes).joined()
    deciles = decile_facts(joined)
    assert [row["unit"] for row in deciles] == list(range(1, 11))
    ordered = np.sort(np.rint(1000 * FREQUENCY).ravel() / 1000).reshape(10, 6)
    assert [row["activity"] for row in deciles] == pytest.approx(ordered.mean(axis=1).tolist())
    layers = layer_facts(joined)
    assert [row["unit"] for row in layers] == [0, 1, 2]
    assert [row["depth"] for row in layers] == [0, 0.5, 1]
    assert [row["hot_share"] for row in layers] == [0, 0.5, 1]
    means = np.rint(1000 * FREQUENCY).mean(axis=1) / 1000
    assert [row["natural_sparsity"] for row in layers] == pytest.approx((1 - means).tolist())


def test_spearman_is_scipys_with_ties_and_nan_without_variation():
    generator = np.random.default_rng(0)
    x, rows = generator.integers(0, 5, 12), generator.integers(0, 4, (6, 12))
    wanted = [stats.spearmanr(x, row).statistic for row in rows]
    assert spearman(x, rows) == pytest.approx(wanted)
    assert np.isnan(spearman(x, np.ones((1, 12)))[0])


def found(losses, noise=0.0, draws=200, models="mn"):
    """What `units` gives for deciles with these losses in every model."""
    generator = np.random.default_rng(3)
    return [
        (
            {"model": model, "method": "parts", "activity": place / 10, "loss": loss},
            loss + noise * generator.standard_normal(draws),
        )
        for model in models
        for place, loss in enumerate(losses)
    ]


def test_slope_is_that_of_least_squares_per_standard_deviation():
    generator = np.random.default_rng(0)
    x, rows = generator.random(9), generator.random((4, 9))
    wanted = [np.polyfit(x, row, 1)[0] * x.std() for row in rows]
    assert slope(x, rows) == pytest.approx(wanted)


def test_a_perfect_order_is_pooled_over_backbones():
    rows = of_units("neuron", found(np.arange(10) / 20), Resamples(0, 200, 0.95))
    assert [row["model"] for row in rows] == ["m", "n", None]
    assert {row["spearman"] for row in rows} == {1.0}
    assert [row["estimate"] for row in rows] == pytest.approx([np.arange(10).std() / 20] * 3)
    assert [row["units"] for row in rows] == [10, 10, 20]
    assert rows[-1]["p"] <= rows[0]["p"] < 0.001


def test_p_is_that_of_all_permutations_when_they_are_few():
    """Of the 24 orders of four units, the ascending and the descending one are as extreme."""
    (row,) = of_units("neuron", found([0.1, 0.2, 0.3, 0.4], models="m"), Resamples(0, 200, 0.95))
    assert row["p"] == pytest.approx(2 / 24, abs=0.01)


@pytest.mark.parametrize("models", ["m", "mnopq"])
def test_the_slopes_interval_covers_the_true_slope(models):
    """200 studies of ten deciles whose losses are measured on 150 items."""
    true = np.linspace(0.02, 0.15, 10)
    wanted = slope(np.arange(10) / 10, true[None])[0]
    covered = 0
    for study in range(200):
        generator = np.random.default_rng(study)
        error = np.sqrt(true * (1 - true) / 150)
        pairs = []
        for model in models:
            for place, loss in enumerate(true + error * generator.standard_normal(10)):
                row = {"model": model, "method": "parts", "activity": place / 10, "loss": loss}
                pairs.append((row, loss + error[place] * generator.standard_normal(300)))
        row = of_units("neuron", pairs, Resamples(study, 300, 0.95))[-1]
        covered += row["low"] <= wanted <= row["high"]
    assert covered >= 180


def test_units_that_do_not_vary_or_are_too_few_say_nothing():
    flat = of_units("neuron", found([0.2] * 4), Resamples(0, 200, 0.95))
    assert {row["spearman"] for row in flat} == {None}
    assert {row["model"] for row in flat} == {"m", "n"}
    assert of_units("neuron", found([0.1, 0.2]), Resamples(0, 200, 0.95)) == []


def test_backbones_without_variation_are_left_out_of_the_pool():
    steep = found([0.1, 0.2, 0.3, 0.4], models="mn")
    rows = of_units("neuron", steep + found([0.2] * 4, models="o"), Resamples(0, 200, 0.95))
    (pooled,) = (row for row in rows if row["model"] is None)
    assert pooled["units"] == 8 and pooled["spearman"] == 1.0


def test_chance_alone_is_seldom_significant():
    """200 studies in which activity and loss have nothing to do with each other."""
    generator = np.random.default_rng(1)
    small = 0
    for study in range(200):
        losses = generator.permutation(10) / 20
        rows = of_units("neuron", found(losses, models="m", draws=100), Resamples(study, 100, 0.95))
        small += rows[0]["p"] <= 0.05
    assert small <= 20


def test_conditions_are_described_and_no_more():
    rows = [
        {"model": "m", "method": "a", "task": "reasoning", "neuron_sparsity_imposed": x, "loss": y}
        for x, y in ((0.1, 0.0), (0.2, 0.3), (0.3, 0.2))
    ]
    (row,) = of_conditions(rows, ["a", "b"])
    assert row["spearman"] == pytest.approx(0.5)
    assert row["estimate"] is row["low"] is row["high"] is row["p"] is None
    assert of_conditions(rows[:2], ["a"]) == []


def test_a_study_with_parts_gives_rows_of_both_tables(condition, targets):
    right = {"sum": [1] * 6, "logic": [1, 1, 1, 1, 1, 0], "copying": [1] * 6}
    worse = {number: {**right, "sum": [0] * min(6, number) + [1] * (6 - min(6, number))}
             for number in range(1, 11)}  # fmt: skip
    evaluated = [condition("one", str(n), worse[n], 0.1) for n in worse]
    evaluated.append(condition("dense", "0", right))
    neurons, classes = profile(FREQUENCY)
    result = analysed(
        evaluated, [BACKBONE], [PartProfile("m", "one", "decile", neurons, classes)],
        targets.to_dicts(),
        {"one": "drop_decile"}, Analysis(bootstrap=200, confidence=0.9, reference_level=0.25), 0,
    )  # fmt: skip
    assert UNITS.frame(result.units).height == 10
    frame = CORRELATIONS.frame(result.correlations)
    (row,) = frame.filter(pl.col("level") == "neuron").to_dicts()
    assert row["spearman"] > 0.9 and row["p"] < 0.01
    assert 0 < row["low"] <= row["estimate"] <= row["high"]
    assert frame.filter(pl.col("level") == "condition").is_empty()
    assert any("the loss rises with how active the tenth is" in s
               for s in result.finding["sentences"])  # fmt: skip
