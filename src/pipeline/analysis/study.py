"""A whole study analysed: from evaluated conditions to curves and finding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.analysis import correlations, steps
from pipeline.analysis.arms import DENSE, Arm, Evaluated, arms
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.chance import chance
from pipeline.analysis.curves import Losses, curves
from pipeline.analysis.finding import finding
from pipeline.analysis.perplexity import perplexities
from pipeline.config.analysis import Analysis

Rows = list[dict[str, Any]]
Backbone = tuple[Mapping[str, Any], pl.DataFrame, Mapping[str, Any]]
_TARGETS = {"task": pl.String, "steps": pl.Int64, "target": pl.String}


@dataclass(frozen=True)
class Parted:
    """A model's profile and classification behind a method that removes one `part` at a time, a
    decile or a layer; frames as tables.neurons.NEURONS and tables.classes.CLASSES."""

    model: str
    method: str
    part: str
    neurons: pl.DataFrame
    classes: pl.DataFrame


@dataclass(frozen=True)
class Analysed:
    """Rows of tables.curves.CURVES, PERPLEXITY and REFUSED and of tables.correlations.CORRELATIONS
    and UNITS, and the body of tables.finding.FINDING."""

    curves: Rows
    perplexity: Rows
    correlations: Rows
    units: Rows
    refused: Rows
    finding: dict[str, Any]


def analysed(
    evaluated: Sequence[Evaluated],
    backbones: Sequence[Backbone],
    parted: Sequence[Parted],
    targets: Sequence[Mapping[str, Any]],
    sparsifiers: Mapping[str, str],
    analysis: Analysis,
    seed: int,
) -> Analysed:
    """The analysis of all conditions, dense runs among them.

    `backbones` holds, a model, its model.json, its profile's layers and its classification;
    `targets` the rows of tasks.Task.targets of all tasks.
    """
    paired, refused = arms(evaluated)
    resamples = Resamples(seed, analysis.bootstrap, analysis.confidence)
    items = pl.DataFrame(targets, schema=_TARGETS)
    dense = {arm.model: arm for arm in paired if arm.method == DENSE}
    answers = {
        run.model: run.samples.filter(pl.col("correct").is_not_null()).sort("task", "item")
        for run in evaluated
        if run.method == DENSE
    }
    losses = {
        model: Losses(
            dense[model],
            dict(rows.select("task", "reasoning").unique().iter_rows()),
            dict(chance(items, rows).iter_rows()),
            resamples,
            analysis.confidence,
        )
        for model, rows in answers.items()
    }
    rows = curves(paired, losses)
    units, related = _of_parts(paired, losses, parted, resamples)
    whole = [name for name in sparsifiers if name not in {part.method for part in parted}]
    related += correlations.of_conditions(rows, whole)
    for model, asked in answers.items():
        by_steps = chance(items, asked, ("task", "steps"))
        levels = {(task, steps): level for task, steps, level in by_steps.iter_rows()}
        own = [arm for arm in paired if arm.model == model and arm.method != DENSE]
        related += steps.rows_of_items(own, asked, levels, resamples)
    facts = [backbone_facts(*backbone) for backbone in backbones]
    answer = finding(paired, losses, rows, facts, evaluated, items, sparsifiers, related, analysis)
    texts = perplexities(paired, dense, resamples)
    return Analysed(rows, texts, related, units, refused, answer)


def _of_parts(
    paired: Sequence[Arm],
    losses: Mapping[str, Losses],
    parted: Sequence[Parted],
    resamples: Resamples,
) -> tuple[Rows, Rows]:
    """(rows of UNITS, rows of CORRELATIONS) of the methods that remove one part at a time."""
    units: Rows = []
    related: Rows = []
    for method, part in dict.fromkeys((p.method, p.part) for p in parted):
        level, facts_of = correlations.PARTS[part]
        own = [p for p in parted if p.method == method]
        facts = {p.model: facts_of(p.neurons, p.classes) for p in own}
        removed = [arm for arm in paired if arm.method == method]
        found = correlations.units(level, facts, removed, losses)
        units += [row for row, _ in found]
        related += correlations.of_units(level, found, resamples)
    return units, related


def backbone_facts(
    model: Mapping[str, Any], layers: pl.DataFrame, classification: Mapping[str, Any]
) -> dict[str, Any]:
    """A row of the finding's `models`; layers hold equally many neurons, so their mean is the
    model's natural sparsity."""
    return {
        "model": model["name"],
        "activation": model["activation"],
        "parameters": model["parameters"],
        "neurons": classification["neurons"],
        "natural_sparsity": float(layers["natural_sparsity"].mean()),
        "active_rule": classification["active_rule"],
        "policy": classification["policy"],
        "share": classification["share"],
        "hot": classification["hot"],
        "carried": classification["carried"],
    }
