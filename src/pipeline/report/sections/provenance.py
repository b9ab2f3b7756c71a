"""What the page was made from."""

from typing import Any

from pipeline.report.results import Results
from pipeline.report.section import Section


def values(results: Results) -> dict[str, Any]:
    """Seed, source, versions and weights."""
    return {
        "manifest": results.manifest,
        "libraries": results.libraries,
        "models": results.models,
    }


SECTION = Section(values=values)
