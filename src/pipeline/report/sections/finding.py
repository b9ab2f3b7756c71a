"""The finding in sentences, what makes the difference, and what the whole sets cost."""

from collections.abc import Sequence
from typing import Any

from pipeline.config.level import COLD, HOT
from pipeline.report.results import Results, Rows
from pipeline.report.section import Section
from pipeline.tables.curves import REASONING


def values(results: Results) -> dict[str, Any]:
    """Sentences, and the tables below them where they have rows."""
    return {
        "sentences": results.sentences,
        "text_parts": text_parts(results),
        "parts": split(results.finding["decomposition"], results.model_names),
        "answers": whole_sets(results.tables["curves"], results.model_names),
    }


def whole_sets(curves: Rows, models: Sequence[str]) -> list[dict[str, Any]]:
    """What removing the whole cold and the whole hot set costs, with a row for each model and
    method that removes one."""
    order = {model: place for place, model in enumerate(models)}
    rows = [
        {**row, "sets": row["level"]}
        for row in curves
        if row["task"] == REASONING and row["level"] in (COLD.text, HOT.text)
    ]
    return sorted(rows, key=lambda row: (order.get(row["model"], 0), row["sets"], row["method"]))


#: Scopes and parts of the finding's decomposition in words, in the order in which they add up.
_SPLIT = {
    ("layer", "not hot"): "not being hot: random neurons of every layer less random cold ones",
    ("layer", "order of coldness"): "the order of coldness: random cold neurons of every layer "
    "less the coldest",
    ("model", "layers"): "the layers that are cut: random neurons of every layer less as many of "
    "each layer as the coldest of the model",
    ("model", "not hot"): "not being hot: these random neurons less random cold ones of each layer",
    ("model", "order of coldness"): "the order of coldness: these random cold neurons less the "
    "coldest of the model",
}


def split(decomposition: Rows, models: Sequence[str]) -> list[dict[str, Any]]:
    """What makes the difference between random neurons and the coldest: a row for each scope and
    part, with a cell for each model; None where the study lacks one side of the difference."""
    known = {(row["scope"], row["part"], row["model"]): row for row in decomposition}
    rows = []
    for (scope, part), words in _SPLIT.items():
        cells = [known.get((scope, part, model)) for model in models]
        if any(cells):
            rows.append({"scope": scope, "words": words, "cells": cells})
    return rows


def text_parts(results: Results) -> list[dict[str, Any]]:
    """The same in nats a token for the models that are not clear of chance: for each task that
    scores texts its name, the models, and rows with a cell for each of them."""
    by_task: dict[str, list[Any]] = {}
    for row in results.finding["text_decomposition"]:
        by_task.setdefault(row["task"], []).append(row)
    tables = [
        {"task": task, "models": results.at_chance, "rows": split(rows, results.at_chance)}
        for task, rows in by_task.items()
    ]
    return [table for table in tables if table["rows"]]


SECTION = Section(values=values)
