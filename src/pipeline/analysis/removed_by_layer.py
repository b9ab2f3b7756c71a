"""How many neurons of each layer every removal for good took."""

from pipeline.analysis.base import StudyAnalysis
from pipeline.analysis.material import Material, Rows
from pipeline.analysis.removals import condition, removes
from pipeline.tables.removals import REMOVED_BY_LAYER


def removed_by_layer(study: Material) -> Rows:
    """Rows of REMOVED_BY_LAYER of all arms that remove neurons for good."""
    rows: Rows = []
    for arm in study.arms:
        for plan in filter(removes, arm.plans):
            removed = plan["dropped_by_layer"]
            width = plan["neurons"] // len(removed)
            rows += [
                condition(arm, plan) | {"layer": layer, "removed": int(number), "neurons": width}
                for layer, number in enumerate(removed)
            ]
    return rows


ANALYSIS = StudyAnalysis(REMOVED_BY_LAYER, removed_by_layer)
