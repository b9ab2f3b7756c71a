"""A whole study analysed: from evaluated conditions to curves and finding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.analysis.arms import DENSE, Evaluated, arms
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.chance import chance
from pipeline.analysis.curves import Losses, curves
from pipeline.analysis.finding import finding
from pipeline.config.analysis import Analysis

Backbone = tuple[Mapping[str, Any], pl.DataFrame, Mapping[str, Any]]


@dataclass(frozen=True)
class Analysed:
    """Rows of tables.curves.CURVES and REFUSED, and the body of tables.finding.FINDING."""

    curves: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    finding: dict[str, Any]


def analysed(
    evaluated: Sequence[Evaluated],
    backbones: Sequence[Backbone],
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
    items = pl.DataFrame(targets)
    losses = {}
    for run in evaluated:
        if run.method == DENSE:
            dense = next(a for a in paired if (a.model, a.method) == (run.model, DENSE))
            reasoning = dict(run.samples.select("task", "reasoning").unique().iter_rows())
            levels = dict(chance(items, run.samples).iter_rows())
            losses[run.model] = Losses(dense, reasoning, levels, resamples, analysis.confidence)
    rows = curves(paired, losses)
    facts = [backbone_facts(*backbone) for backbone in backbones]
    answer = finding(paired, losses, rows, facts, evaluated, items, sparsifiers, analysis)
    return Analysed(rows, refused, answer)


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
