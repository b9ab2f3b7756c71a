"""What each removal of neurons took of the model."""

from collections.abc import Sequence
from typing import Any

from pipeline.report.results import Results, Row, Rows
from pipeline.report.section import Section


def values(results: Results) -> dict[str, Any] | None:
    """A row a condition; None where none removes neurons for good."""
    rows = removed(results.tables["removals"], results.model_names)
    return {"removed": rows} if rows else None


def removed(removals: Rows, models: Sequence[str]) -> list[dict[str, Any]]:
    """What conditions that remove neurons for good took of the model, a row a model, method and
    level: shares are means over draws, those of a layer the smallest and largest of any draw."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in removals:
        groups.setdefault((row["model"], row["method"], row["level"]), []).append(row)
    taken = []
    for (model, method, text), rows in groups.items():
        shared = [row["shared_with_coldest"] for row in rows]
        taken.append(
            {
                "model": model,
                "method": method,
                "level": text,
                "draws": len(rows),
                "share": rows[0]["removed"] / rows[0]["neurons"],
                "least": min(row["least_of_a_layer"] for row in rows),
                "most": max(row["most_of_a_layer"] for row in rows),
                "activity": sum(row["activity_removed"] for row in rows) / len(rows),
                "contribution": sum(row["contribution_removed"] for row in rows) / len(rows),
                "shared": None if None in shared else sum(shared) / len(rows),
            }
        )
    place = {name: index for index, name in enumerate(models)}
    return sorted(taken, key=lambda row: place.get(row["model"], len(place)))


SECTION = Section(values=values)
