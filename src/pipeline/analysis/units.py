"""Which parts of a model were removed alone, a decile or a layer's cold neurons, and their cost."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from pipeline.analysis.arms import Arm
from pipeline.analysis.base import StudyAnalysis
from pipeline.analysis.losses import Losses
from pipeline.analysis.material import Material
from pipeline.numerics.concentration import gini
from pipeline.numerics.ranking import deciles
from pipeline.tables.correlations import UNITS
from pipeline.tables.curves import REASONING

Row = dict[str, Any]

#: Facts of units in UNITS.
_FACTS = ("activity", "natural_sparsity", "gini", "hot_share", "depth")


def units(study: Material) -> list[Row]:
    """Rows of UNITS of the methods that remove one part at a time."""
    rows: list[Row] = []
    for method, part in dict.fromkeys((p.method, p.part) for p in study.parted):
        level, facts_of = FACTS_OF_PARTS[part]
        profiles = [p for p in study.parted if p.method == method]
        facts = {p.model: facts_of(p.joined(), p.by_layer) for p in profiles}
        removed = [arm for arm in study.arms if arm.method == method]
        rows += units_of(level, facts, removed, study.losses)
    return rows


def decile_facts(profile: pl.DataFrame, by_layer: bool) -> list[Row]:
    """Mean activation frequency of every decile of a profile's neurons, coldest first; deciles are
    those of each layer, or of the model."""
    frequency = _frequency(profile)
    layers, neurons = profile["layer"].to_numpy(), profile["neuron"].to_numpy()
    part = np.zeros(len(frequency), dtype=int)
    for group in [layers == layer for layer in np.unique(layers)] if by_layer else [layers >= 0]:
        part[group] = deciles(frequency[group], layers[group], neurons[group])
    return [
        {"unit": number, "activity": float(frequency[part == number].mean())}
        for number in range(1, 11)
        if (part == number).any()
    ]


def layer_facts(profile: pl.DataFrame, _by_layer: bool) -> list[Row]:
    """Natural sparsity, Gini, share of hot neurons and depth of every layer of a profile."""
    last = max(1, int(profile["layer"].max()))
    facts = []
    for (layer,), rows in profile.group_by("layer", maintain_order=True):
        frequency = _frequency(rows)
        facts.append(
            {
                "unit": layer,
                "natural_sparsity": float(1 - frequency.mean()),
                "gini": gini(frequency),
                "hot_share": float(rows["hot"].mean()),
                "depth": layer / last,
            }
        )
    return facts


def _frequency(profile: pl.DataFrame) -> np.ndarray:
    return (profile["active"] / profile["tokens"].clip(1)).to_numpy()


#: Part that a method removes -> level in tables.correlations, and a function that gives the facts
#: of such parts.
FACTS_OF_PARTS = {"decile": ("neuron", decile_facts), "layer": ("layer", layer_facts)}


def units_of(
    level: str,
    facts: Mapping[str, Sequence[Row]],
    arms: Iterable[Arm],
    losses: Mapping[str, Losses],
) -> list[Row]:
    """Rows of UNITS for the arms that remove one unit each; `facts` are those of the units by
    model."""
    known = {(model, row["unit"]): row for model, rows in facts.items() for row in rows}
    rows = []
    for arm in arms:
        of_model = losses[arm.model]
        fact = known.get((arm.model, int(arm.level)))
        if fact is None or not of_model.members(REASONING, arm):
            continue
        row = of_model.row(arm, REASONING)
        columns = ("neuron_sparsity_imposed", "n", "loss", "loss_low", "loss_high")
        values = {name: row[name] for name in columns}
        head = {"level": level, "model": arm.model, "method": arm.method}
        rows.append(head | dict.fromkeys(_FACTS) | fact | values)
    return rows


ANALYSIS = StudyAnalysis(UNITS, units)
