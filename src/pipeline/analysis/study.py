"""A whole study analysed: from evaluated conditions to curves and finding."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.analysis import correlations, steps
from pipeline.analysis.arms import Arm, Evaluated, arms
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.chance import chance
from pipeline.analysis.curves import Losses, curves
from pipeline.analysis.finding import finding
from pipeline.analysis.perplexity import perplexities
from pipeline.config.analysis import Analysis
from pipeline.tables.curves import DENSE, REASONING

Rows = list[dict[str, Any]]
Backbone = tuple[Mapping[str, Any], pl.DataFrame, Mapping[str, Any]]
_TARGETS = {"task": pl.String, "steps": pl.Int64, "target": pl.String}


@dataclass(frozen=True)
class PartProfile:
    """What a method that removes one `part` at a time, a decile or a layer, goes by in a model;
    frames as tables.neurons.NEURONS and tables.classes.CLASSES."""

    model: str
    method: str
    part: str
    neurons: pl.DataFrame
    classes: pl.DataFrame

    def joined(self) -> pl.DataFrame:
        """Profile and classification, a row a neuron."""
        keys = ["layer", "neuron"]
        return self.neurons.join(self.classes, on=keys, validate="1:1").sort(keys)


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
    parted: Sequence[PartProfile],
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
    able = {
        row["model"]
        for row in rows
        if (row["method"], row["task"]) == (DENSE, REASONING) and row["corrected_loss"] is not None
    }
    units, related = _of_parts(paired, losses, parted, able, resamples)
    whole = [name for name in sparsifiers if name not in {part.method for part in parted}]
    related += correlations.of_conditions(rows, whole)
    for model, asked in answers.items():
        by_steps = chance(items, asked, ("task", "steps"))
        levels = {(task, steps): level for task, steps, level in by_steps.iter_rows()}
        own = [arm for arm in paired if arm.model == model and arm.method != DENSE]
        rows_of_items = (steps.of_items(arm, asked, levels, resamples) for arm in own)
        related += [row for row in rows_of_items if row]
    texts = perplexities(paired, dense, resamples)
    facts = [backbone_facts(*backbone) for backbone in backbones]
    answer = finding(
        paired, losses, rows, facts, evaluated, items, sparsifiers, related, texts, analysis
    )
    return Analysed(rows, texts, related, units, refused, answer)


def _of_parts(
    paired: Sequence[Arm],
    losses: Mapping[str, Losses],
    parted: Sequence[PartProfile],
    able: Collection[str],
    resamples: Resamples,
) -> tuple[Rows, Rows]:
    """(rows of UNITS, rows of CORRELATIONS) of the methods that remove one part at a time; a model
    that is not `able` has nothing to lose, and no correlation."""
    units: Rows = []
    related: Rows = []
    for method, part in dict.fromkeys((p.method, p.part) for p in parted):
        level, facts_of = correlations.PARTS[part]
        own = [p for p in parted if p.method == method]
        facts = {p.model: facts_of(p.joined()) for p in own}
        removed = [arm for arm in paired if arm.method == method]
        found = correlations.units(level, facts, removed, losses)
        units += [row for row, _ in found]
        told = [(row, draws) for row, draws in found if row["model"] in able]
        related += correlations.of_units(level, told, resamples)
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
