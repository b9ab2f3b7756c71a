"""A warning about calibration data that overlaps with the evaluation."""

from typing import Any

from pipeline.report.results import Results
from pipeline.report.section import Section


def values(results: Results) -> dict[str, Any]:
    """The corpora; the warning is shown only for those whose overlap is allowed."""
    return {"corpora": results.corpora}


SECTION = Section(values=values)
