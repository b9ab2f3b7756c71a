"""Parts of a model that are removed alone: facts of deciles and layers by hand."""

import numpy as np
import polars as pl
import pytest

from pipeline.analysis.material import PartProfile
from pipeline.analysis.units import decile_facts, layer_facts
from pipeline.config.orders import Order
from pipeline.tables.correlations import CORRELATIONS, UNITS

LAYERS, WIDTH = 3, 20


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
    joined = PartProfile("m", "one", "layer", False, neurons[::-1], classes).joined()
    deciles = decile_facts(joined, by_layer=False)
    assert [row["unit"] for row in deciles] == list(range(1, 11))
    ordered = np.sort(np.rint(1000 * FREQUENCY).ravel() / 1000).reshape(10, 6)
    assert [row["activity"] for row in deciles] == pytest.approx(ordered.mean(axis=1).tolist())
    layers = layer_facts(joined, True)
    assert [row["unit"] for row in layers] == [0, 1, 2]
    assert [row["depth"] for row in layers] == [0, 0.5, 1]
    assert [row["hot_share"] for row in layers] == [0, 0.5, 1]
    means = np.rint(1000 * FREQUENCY).mean(axis=1) / 1000
    assert [row["natural_sparsity"] for row in layers] == pytest.approx((1 - means).tolist())


def test_deciles_of_every_layer_hold_a_tenth_of_each():
    neurons, classes = profile(FREQUENCY)
    joined = PartProfile("m", "one", "decile", True, neurons, classes).joined()
    found = [row["activity"] for row in decile_facts(joined, by_layer=True)]
    # The first tenth of each layer's twenty neurons are its first two.
    tenths = (np.rint(1000 * FREQUENCY) / 1000).reshape(LAYERS, 10, 2)
    assert found == pytest.approx(tenths.mean(axis=(0, 2)).tolist())


def test_a_study_with_parts_gives_rows_of_both_tables(condition, analyse):
    right = {"sum": [1] * 6, "logic": [1, 1, 1, 1, 1, 0], "copying": [1] * 6}
    worse = {number: {**right, "sum": [0] * min(6, number) + [1] * (6 - min(6, number))}
             for number in range(1, 11)}  # fmt: skip
    evaluated = [condition("one", str(n), worse[n], 0.1) for n in worse]
    evaluated.append(condition("dense", "0", right))
    neurons, classes = profile(FREQUENCY)
    part = PartProfile("m", "one", "decile", False, neurons, classes)
    order = Order("one", None, "model", "reasoning")
    result = analyse(evaluated, [order], [part])
    assert UNITS.frame(result.units).height == 10
    frame = CORRELATIONS.frame(result.correlations)
    (row,) = frame.filter(pl.col("level") == "neuron").to_dicts()
    assert row["spearman"] > 0.9 and row["p"] < 0.01
    assert frame.filter(pl.col("level") == "condition").is_empty()
