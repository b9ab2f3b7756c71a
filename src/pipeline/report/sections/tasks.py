"""Accuracy lost task by task."""

from pipeline.report.curves import (
    NO_CONDITION,
    NO_CURVE,
    Rows,
    on_curves,
    pruned,
    task_panels,
)
from pipeline.report.results import Results
from pipeline.report.section import Figure, Section
from pipeline.report.style import Spec, finished, nothing
from pipeline.tables.curves import REASONING


def task_figure(rows: Rows, models: Rows, methods: Rows) -> Spec:
    """Accuracy lost on each task, a row a task and a column a model; controls are named so."""
    shown = [row for row in on_curves(rows) if row["task"] != REASONING]
    if not shown:
        return nothing(NO_CURVE if pruned(rows) else NO_CONDITION)
    return finished(
        task_panels(shown, models, methods),
        "Points of accuracy lost on each task against the share of FFN neurons removed, by method.",
    )


def draw(results: Results) -> Spec:
    """The figure of a study."""
    return task_figure(results.tables["curves"], results.finding["models"], results.methods)


SECTION = Section((Figure("accuracy-lost-by-task", draw),))
