"""Methods at equal achieved sparsity: rows of the analysis put side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.numerics.measures import FFN_WEIGHTS, MODEL_WEIGHTS, NEURONS
from pipeline.report.numbers import NOTHING, number, percent, points, span
from pipeline.tables.curves import DENSE, REASONING

Row = Mapping[str, Any]
Rows = Sequence[Row]

#: How far the achieved sparsity may be from the level at which methods are compared.
BOUND = 0.03
#: Achieved measures as people read them.
MEASURE_NAMES: Mapping[str, str] = {
    NEURONS: "FFN neurons skipped",
    FFN_WEIGHTS: "FFN weights not read",
    MODEL_WEIGHTS: "weights of the blocks' linear layers not read",
}


def at_measure(rows: Rows) -> list[Row]:
    """Rows of pruned conditions whose levels are shares of an achieved measure."""
    return [row for row in rows if row["measure"] in MEASURE_NAMES and row["method"] != DENSE]


def at_own_levels(rows: Rows) -> list[Row]:
    """Rows of pruned conditions whose levels are in the method's own unit, and that skip or prune
    something: they can only be shown at what they achieved."""
    return [
        row
        for row in rows
        if row["measure"] is None
        and row["method"] != DENSE
        and any(row[f"{measure}_imposed"] for measure in MEASURE_NAMES)
    ]


def panels(rows: Rows) -> dict[str, list[Row]]:
    """Rows to draw against each achieved measure, by its name.

    A method that was asked for a measure stands at it alone. One with levels of its own stands
    wherever others do and it skips something; besides, at the share of neurons if it skips whole
    neurons, and else at that of the model's weights.
    """
    asked, own = at_measure(rows), at_own_levels(rows)
    drawn = {row["measure"] for row in asked}
    drawn |= {NEURONS if row[f"{NEURONS}_imposed"] else MODEL_WEIGHTS for row in own}
    return {
        measure: [row for row in asked if row["measure"] == measure]
        + [row for row in own if row[f"{measure}_imposed"]]
        for measure in MEASURE_NAMES
        if measure in drawn
    }


def compared(curves: Rows, perplexity: Rows, models: Sequence[str]) -> list[dict[str, Any]]:
    """A table for every measure and level: `measure` in words, `level`, and `rows`, one for each
    method.

    Each row holds the method and, by model, what it lost on the mean of the reasoning tasks, in
    points with its interval, and on the texts that are `of_reasoning`, in nats a token, with what
    was achieved on the reasoning tasks; null where there is no such condition, or it is not near
    the level on those tasks or, for nats, on the texts. Methods are sorted by their mean loss over
    the models; those that some model lacks come last.
    """
    lost = _nats([row for row in of_reasoning(at_measure(perplexity)) if near(row)])
    tables: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in at_measure(curves):
        if row["task"] == REASONING and near(row):
            cell = {
                "loss": row["loss"],
                "low": row["loss_low"],
                "high": row["loss_high"],
                "achieved": row[f"{row['measure']}_total"],
                "nats": lost.get(_key(row)),
            }
            methods = tables.setdefault((row["measure"], row["level"]), {})
            methods.setdefault(row["method"], {})[row["model"]] = cell
    order = list(MEASURE_NAMES)
    return [
        {
            "measure": MEASURE_NAMES[measure],
            "level": level,
            "rows": _ranked(tables[measure, level], models),
        }
        for measure, level in sorted(tables, key=lambda k: (-order.index(k[0]), float(k[1])))
    ]


def of_reasoning(perplexity: Rows) -> list[Row]:
    """Rows of the texts that hold reasoning, or of all texts in a study that scores none such.

    A mean over both would mix what a method was fitted on with what it was not.
    """
    return [row for row in perplexity if row["reasoning"]] or list(perplexity)


def near(row: Row) -> bool:
    """True where a condition achieved what its level says, on the tokens at hand."""
    achieved: float = row[f"{row['measure']}_total"]
    return abs(achieved - float(row["level"])) <= BOUND


def cell_text(cell: Row | None) -> str:
    """A cell in words: points with their interval, then nats."""
    if cell is None:
        return NOTHING
    text = f"{points(cell['loss'])} {span(cell['low'], cell['high'])}"
    return text if cell["nats"] is None else f"{text}; {number(cell['nats'])}"


def markdown(tables: Rows, models: Sequence[str], measure: str, levels: Sequence[str]) -> str:
    """Tables of one measure at some levels, for the README, with a row for each method and a column
    for each model."""
    parts = []
    for table in tables:
        if table["measure"] != MEASURE_NAMES[measure] or table["level"] not in levels:
            continue
        head = f"{percent(float(table['level']), 0)} of the {table['measure']}"
        lines = [[head, *(f"`{model}`" for model in models)], ["---"] * (len(models) + 1)]
        lines += [
            [f"`{row['method']}`", *(cell_text(row["cells"].get(model)) for model in models)]
            for row in table["rows"]
        ]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)


def _nats(perplexity: Rows) -> dict[tuple[str, ...], float]:
    """Nats a token lost, as the mean over the tasks that score texts; None where one of them has no
    number."""
    found: dict[tuple[str, ...], list[float]] = {}
    untold = {_key(row) for row in perplexity if row["loss"] is None}
    for row in perplexity:
        if _key(row) not in untold:
            found.setdefault(_key(row), []).append(row["loss"])
    return {key: sum(losses) / len(losses) for key, losses in found.items()}


def _key(row: Row) -> tuple[str, ...]:
    return row["model"], row["method"], row["level"]


def _ranked(
    methods: Mapping[str, Mapping[str, Any]], models: Sequence[str]
) -> list[dict[str, Any]]:
    def rank(method: str) -> tuple[int, float, str]:
        cells = methods[method]
        return -len(cells), sum(c["loss"] for c in cells.values()) / len(cells), method

    return [
        {"method": method, "cells": {m: methods[method].get(m) for m in models}}
        for method in sorted(methods, key=rank)
    ]
