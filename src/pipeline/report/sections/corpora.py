"""The calibration data, and how far it overlaps with the evaluation."""

from typing import Any

from pipeline.report.results import Results
from pipeline.report.section import Section


def values(results: Results) -> dict[str, Any]:
    """The corpora by name."""
    return {"corpora": results.corpora}


SECTION = Section(values=values)
