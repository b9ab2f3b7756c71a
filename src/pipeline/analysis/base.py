"""What an analysis of a study is, and how all that are registered are made from one material."""

from collections.abc import Callable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from pipeline.analysis.material import Material
from pipeline.registry import ANALYSES
from pipeline.tables.base import Document, Table


@dataclass(frozen=True)
class StudyAnalysis:
    """One analysis: the table or document that it writes, and the function that fills it.

    `rows` is called with the study's Material and, as keywords by table name, with the results of
    the analyses that it `reads`. It returns rows for a Table and a body for a Document.
    """

    table: Table | Document
    rows: Callable[..., Any]
    reads: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of the file that it writes, and under which it is registered."""
        return f"{self.table.name}.{'parquet' if isinstance(self.table, Table) else 'json'}"


def registered() -> dict[str, StudyAnalysis]:
    """All analyses by the name of their table, in the order of the registry."""
    made: list[StudyAnalysis] = [ANALYSES.load(file) for file in ANALYSES]
    return {one.table.name: one for one in made}


def analysed(material: Material) -> dict[str, Any]:
    """The result of every analysis of the material, by the name of its table.

    Raises graphlib.CycleError where analyses read each other in a circle.
    """
    analyses = registered()
    results: dict[str, Any] = {}
    for name in TopologicalSorter({n: a.reads for n, a in analyses.items()}).static_order():
        earlier = {other: results[other] for other in analyses[name].reads}
        results[name] = analyses[name].rows(material, **earlier)
    return {name: results[name] for name in analyses}
