"""The finding in two sentences, worded by what the figures say."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.analysis.arms import REASONING

Rows = Sequence[Mapping[str, Any]]


def sentences(
    models: Rows, curves: Rows, contrasts: Rows, correlations: Rows, sparsifiers: Mapping[str, str]
) -> list[str]:
    """Two sentences: what the cold and the hot set cost; whether coldness itself matters.

    Every figure is points of accuracy, mean of the reasoning tasks, with its interval in brackets.
    """
    return [_sets(models, curves, sparsifiers), _coldness(contrasts, correlations, sparsifiers)]


def _sets(models: Rows, curves: Rows, sparsifiers: Mapping[str, str]) -> str:
    by_name = {model["model"]: model for model in models}
    parts = []
    for name, model in by_name.items():
        cold = _at(curves, name, _named(sparsifiers, "drop_cold"), "cold")
        hot = _at(curves, name, _named(sparsifiers, "keep_cold"), "hot")
        costs = []
        if cold:
            share = 1 - model["hot"] / model["neurons"]
            costs.append(f"its cold set ({share:.0%} of the FFN neurons) costs {_loss(cold)}")
        if hot:
            share = model["hot"] / model["neurons"]
            costs.append(f"its hot set ({share:.0%}) costs {_loss(hot)}")
        if costs:
            active = 1 - model["natural_sparsity"]
            parts.append(f"on {name}, {active:.0%} of whose neurons fire at a token, removing "
                         + " and removing ".join(costs))  # fmt: skip
    if not parts:
        return (
            "This study holds no condition that removes a whole cold or hot set (levels `cold` and "
            "`hot`), so it cannot say what either costs."
        )
    return f"Points of reasoning accuracy lost: {'; '.join(parts)}."


def _coldness(contrasts: Rows, correlations: Rows, sparsifiers: Mapping[str, str]) -> str:
    random = _named(sparsifiers, "drop_random")
    parts, level = [], ""
    for row in contrasts:
        if row["second"]["method"] in random and row["first"]["level"] == row["second"]["level"]:
            level = f"{float(row['first']['level']):.0%}"
            parts.append(f"{_difference(row)} on {row['model']}")
    cold = _named(sparsifiers, "drop_cold")
    ranks = [
        f"{row['spearman']:.2f} on {row['model']}"
        for row in correlations
        if row["method"] in cold and row["spearman"] is not None
    ]
    rising = (
        "rank correlation of achieved sparsity with accuracy lost along that arm: "
        f"{' and '.join(ranks)} (descriptive)"
        if ranks
        else "too few levels for a rank correlation"
    )
    if not parts:
        return f"This study compares no level of cold neurons with random ones; {rising}."
    return (
        f"At {level} of the neurons, taking the coldest costs, against as many drawn at random, "
        f"{' and '.join(parts)}; {rising}."
    )


def _difference(row: Mapping[str, Any]) -> str:
    points = f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    if row["low"] > 0:
        return f"{100 * row['estimate']:.1f} points more {points}"
    if row["high"] < 0:
        return f"{-100 * row['estimate']:.1f} points less {points}"
    return f"no clear difference ({100 * row['estimate']:+.1f} {points})"


def _loss(row: Mapping[str, Any]) -> str:
    loss, low, high = (100 * row[key] for key in ("loss", "loss_low", "loss_high"))
    return f"{loss:.1f} [{low:.1f}, {high:.1f}]"


def _at(curves: Rows, model: str, methods: Sequence[str], level: str) -> Mapping[str, Any] | None:
    wanted = (row for row in curves if row["model"] == model and row["task"] == REASONING)
    return next((r for r in wanted if r["method"] in methods and r["level"] == level), None)


def _named(sparsifiers: Mapping[str, str], sparsifier: str) -> list[str]:
    return [name for name, used in sparsifiers.items() if used == sparsifier]
