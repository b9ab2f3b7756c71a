"""What pruning costs on texts, in nats a token."""

from typing import Any

from pipeline.report.results import Results
from pipeline.report.section import Section
from pipeline.tables.curves import DENSE


def values(results: Results) -> dict[str, Any] | None:
    """The pruned conditions; None where no task scores texts."""
    rows = results.tables["perplexity"]
    if not rows:
        return None
    return {"perplexity": [row for row in rows if row["method"] != DENSE]}


SECTION = Section(values=values)
