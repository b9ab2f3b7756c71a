"""The models and their hot sets, by every policy."""

from typing import Any

from pipeline.report.results import Results, Rows
from pipeline.report.section import Section


def values(results: Results) -> dict[str, Any]:
    """The models with their profiles, and all classifications."""
    return {
        "models": with_profile(results.models, results.finding["models"]),
        "classifications": results.classifications,
    }


def with_profile(models: Rows, profiles: Rows) -> list[dict[str, Any]]:
    """Every resolved model with its row of the finding, or with null for it."""
    known = {row["model"]: row for row in profiles}
    return [{**model, "profile": known.get(model["name"])} for model in models]


SECTION = Section(values=values)
