"""A warning of calibration data that overlaps with the evaluation."""

from typing import Any

from pipeline.report.results import Results
from pipeline.report.section import Section


def values(results: Results) -> dict[str, Any]:
    """The corpora; only one whose overlap is allowed is warned of."""
    return {"corpora": results.corpora}


SECTION = Section(values=values)
