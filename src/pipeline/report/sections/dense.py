"""The dense models beside chance."""

from typing import Any

from pipeline.report.results import Results
from pipeline.report.section import Section


def values(results: Results) -> dict[str, Any]:
    """Rows of whole tasks, and of each number of steps."""
    rows = results.finding["dense"]
    return {
        "dense": [row for row in rows if row["steps"] is None],
        "by_steps": [row for row in rows if row["steps"] is not None],
    }


SECTION = Section(values=values)
