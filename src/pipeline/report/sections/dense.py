"""The dense models beside chance."""

from typing import Any

from pipeline.report.results import Results
from pipeline.report.section import Section


def values(results: Results) -> dict[str, Any]:
    """Rows of whole tasks, and of each number of steps of tasks that have several."""
    rows = results.finding["dense"]
    counts: dict[str, set[int | None]] = {}
    for row in rows:
        counts.setdefault(row["task"], set()).add(row["steps"])
    several = {task for task, steps in counts.items() if len(steps - {None}) > 1}
    return {
        "dense": [row for row in rows if row["steps"] is None],
        "by_steps": [row for row in rows if row["steps"] is not None and row["task"] in several],
    }


SECTION = Section(values=values)
