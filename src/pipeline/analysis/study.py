"""A whole study analysed: from evaluated conditions to curves and finding."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pipeline.analysis import correlations
from pipeline.analysis.arms import Arm, Evaluated, arms
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.chance import chance
from pipeline.analysis.curves import Losses, curves
from pipeline.analysis.finding import finding
from pipeline.analysis.perplexity import perplexities
from pipeline.analysis.removals import START, Order, Orders
from pipeline.analysis.removals import rows_of as removals_of
from pipeline.analysis.steps import of_steps
from pipeline.config.analysis import Analysis
from pipeline.tables.curves import DENSE, REASONING

Rows = list[dict[str, Any]]
Backbone = tuple[Mapping[str, Any], pl.DataFrame, Mapping[str, Any]]
_TARGETS = {"task": pl.String, "steps": pl.Int64, "target": pl.String}


@dataclass(frozen=True)
class PartProfile:
    """What a method that removes one `part` at a time, a decile or a layer, goes by in a model,
    each layer's own or the model's; frames as tables.neurons.NEURONS and tables.classes.CLASSES."""

    model: str
    method: str
    part: str
    by_layer: bool
    neurons: pl.DataFrame
    classes: pl.DataFrame

    def joined(self) -> pl.DataFrame:
        """Profile and classification, a row a neuron."""
        keys = ["layer", "neuron"]
        return self.neurons.join(self.classes, on=keys, validate="1:1").sort(keys)


@dataclass(frozen=True)
class Analysed:
    """Rows of tables.curves.CURVES, PERPLEXITY and REFUSED, of tables.correlations.CORRELATIONS,
    UNITS and STEPS and of tables.removals.REMOVALS and REMOVED_BY_LAYER, and the body of
    tables.finding.FINDING."""

    curves: Rows
    perplexity: Rows
    correlations: Rows
    units: Rows
    steps: Rows
    removals: Rows
    removed_by_layer: Rows
    refused: Rows
    finding: dict[str, Any]


def analysed(
    evaluated: Sequence[Evaluated],
    backbones: Sequence[Backbone],
    parted: Sequence[PartProfile],
    targets: Sequence[Mapping[str, Any]],
    orders: Sequence[Order],
    analysis: Analysis,
    seed: int,
) -> Analysed:
    """The analysis of all conditions, dense runs among them.

    `backbones` holds, a model, its model.json, its profile's layers and its classification;
    `targets` the rows of tasks.Task.targets of all tasks, `orders` how the methods that remove
    neurons for good go.
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
            clusters(rows),
            analysis.confidence,
        )
        for model, rows in answers.items()
    }
    rows = curves(paired, losses)
    removals, by_layer = removals_of(paired, losses)
    able = {
        row["model"]
        for row in rows
        if (row["method"], row["task"]) == (DENSE, REASONING) and row["corrected_loss"] is not None
    }
    units, related = _of_parts(paired, losses, parted, able, seed)
    alone = {part.method for part in parted}
    # What removes neurons and does no more, from the first token on.
    pure = {order.method for order in orders if order.sparse_from == START}
    able_removals = [row for row in removals if row["model"] in able and row["method"] in pure]
    related += correlations.of_removals(able_removals, seed)
    whole = [order.method for order in orders if order.method not in alone]
    related += correlations.of_conditions(rows, whole)
    by_steps = {
        model: {
            (task, steps): level
            for task, steps, level in chance(items, asked, ("task", "steps")).iter_rows()
        }
        for model, asked in answers.items()
    }
    pruned = [arm for arm in paired if arm.method != DENSE]
    kept = of_steps(pruned, answers, by_steps, analysis.confidence)
    texts = perplexities(paired, dense, resamples)
    facts = [backbone_facts(*backbone) for backbone in backbones]
    answer = finding(
        paired, losses, rows, facts, evaluated, items, Orders(orders), related, texts, removals,
        analysis,
    )  # fmt: skip
    return Analysed(rows, texts, related, units, kept, removals, by_layer, refused, answer)


def clusters(samples: pl.DataFrame) -> dict[str, np.ndarray]:
    """Cluster of every item, (items,) of whole numbers from 0, by task; items as in `samples`."""
    return {
        str(task): np.unique(rows["cluster"].to_numpy(), return_inverse=True)[1]
        for (task,), rows in samples.group_by("task", maintain_order=True)
    }


def _of_parts(
    paired: Sequence[Arm],
    losses: Mapping[str, Losses],
    parted: Sequence[PartProfile],
    able: Collection[str],
    seed: int,
) -> tuple[Rows, Rows]:
    """(rows of UNITS, rows of CORRELATIONS) of the methods that remove one part at a time; a model
    that is not `able` has nothing to lose, and no correlation."""
    units: Rows = []
    related: Rows = []
    for method, part in dict.fromkeys((p.method, p.part) for p in parted):
        level, facts_of = correlations.PARTS[part]
        own = [p for p in parted if p.method == method]
        facts = {p.model: facts_of(p.joined(), p.by_layer) for p in own}
        removed = [arm for arm in paired if arm.method == method]
        found = correlations.units(level, facts, removed, losses)
        units += found
        told = [row for row in found if row["model"] in able]
        related += correlations.of_units(level, told, seed)
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
