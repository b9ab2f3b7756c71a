"""Conditions that make no sense, with the reason."""

from typing import Any

from pipeline.analysis.base import StudyAnalysis
from pipeline.analysis.material import Material
from pipeline.tables.curves import REFUSED


def refused(study: Material) -> list[dict[str, Any]]:
    """Rows of REFUSED, in the order of the configuration."""
    return study.refused


ANALYSIS = StudyAnalysis(REFUSED, refused)
