"""All conditions, one table a task, and those that were refused."""

from collections.abc import Sequence
from typing import Any

from pipeline.report.results import Results, Row, Rows
from pipeline.report.section import Section
from pipeline.tables.curves import DENSE, REASONING


def values(results: Results) -> dict[str, Any]:
    """Rows grouped by task, and refusals with their reasons."""
    tables = results.tables
    return {
        "tasks": by_task(tables["curves"], results.model_names),
        "refused": tables["refused"],
    }


def by_task(curves: Rows, models: Sequence[str]) -> list[dict[str, Any]]:
    """Curves grouped for the page: the mean first, then reasoning tasks, then controls.

    Rows of a task stand by model in the given order, dense first, then by method and sparsity.
    """
    place = {name: index for index, name in enumerate(models)}

    def rank(row: Row) -> tuple[Any, ...]:
        model = (place.get(row["model"], len(place)), row["model"])
        method = (row["method"] != DENSE, row["method"])
        return (*model, *method, row["neuron_sparsity_imposed"], row["level"])

    tasks = {row["task"]: row["reasoning"] for row in curves}
    order = sorted(tasks, key=lambda task: (task != REASONING, not tasks[task], task))
    return [
        {
            "title": task_title(task, tasks[task]),
            "rows": sorted((row for row in curves if row["task"] == task), key=rank),
        }
        for task in order
    ]


def task_title(task: str, reasoning: bool) -> str:
    """A task as the page names it."""
    if task == REASONING:
        return "mean of the reasoning tasks"
    return task if reasoning else f"{task} (control)"


SECTION = Section(values=values)
