"""Accuracy lost against achieved sparsity, by condition and task."""

from typing import Any

from pipeline.analysis.base import StudyAnalysis
from pipeline.analysis.material import Material
from pipeline.tables.curves import CURVES


def curves(study: Material) -> list[dict[str, Any]]:
    """Rows of CURVES for every arm and task. An arm that touches no reasoning task gets no row for
    their mean."""
    return [
        study.losses[arm.model].row(arm, task)
        for arm in study.arms
        for task in study.losses[arm.model].tasks
        if study.losses[arm.model].members(task, arm)
    ]


ANALYSIS = StudyAnalysis(CURVES, curves)
