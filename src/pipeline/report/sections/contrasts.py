"""Methods against one another: paired differences, and what they say."""

from typing import Any

from pipeline.report.results import Results, Row
from pipeline.report.section import Section


def values(results: Results) -> dict[str, Any]:
    """The contrasts with their reading in words."""
    accuracies, texts = (
        [{**row, "reading": reading(row)} for row in results.finding[name]]
        for name in ("contrasts", "text_contrasts")
    )
    return {"contrasts": accuracies, "text_contrasts": texts}


def reading(contrast: Row) -> str:
    """What a contrast says, in words; clear only if its interval excludes zero."""
    if contrast["low"] > 0:
        return "the first costs more"
    if contrast["high"] < 0:
        return "the first costs less"
    return "no clear difference"


SECTION = Section(values=values)
