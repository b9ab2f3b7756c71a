"""Pair every condition with its dense run: curves, refused conditions, the finding."""

from pathlib import Path

from pipeline.analysis.arms import Evaluated
from pipeline.analysis.removals import Order
from pipeline.analysis.study import PartProfile, analysed
from pipeline.artifacts import Manifest
from pipeline.config.analysis import Analysis
from pipeline.entry import job
from pipeline.tables.classes import CLASSES, CLASSIFICATION
from pipeline.tables.correlations import CORRELATIONS, STEPS, UNITS
from pipeline.tables.curves import CURVES, PERPLEXITY, REFUSED
from pipeline.tables.finding import FINDING
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import LAYERS, NEURONS
from pipeline.tables.plan import PLAN
from pipeline.tables.removals import REMOVALS, REMOVED_BY_LAYER
from pipeline.tables.samples import SAMPLES, SPARSITY
from pipeline.tasks import find

#: In the order of the rule's outputs.
TABLES = (
    CURVES, PERPLEXITY, CORRELATIONS, UNITS, STEPS, REMOVALS, REMOVED_BY_LAYER, REFUSED,
)  # fmt: skip


def main(
    *,
    conditions: list[dict],
    samples: list[Path],
    sparsity: list[Path],
    plans: list[Path],
    models: list[Path],
    layers: list[Path],
    classifications: list[Path],
    parted: list[dict],
    part_neurons: list[Path],
    part_classes: list[Path],
    tasks: list[str],
    orders: list[dict],
    analysis: Analysis,
    seed: int,
    tables: list[Path],
    finding: Path,
    manifest: Manifest,
) -> None:
    """Write the tables of the analysis, named as they are, and finding.json."""
    # Dense evaluations come last, and have no plan.
    fitted = [*map(PLAN.read, plans), *[None] * (len(conditions) - len(plans))]
    evaluated = [
        Evaluated(**facts, samples=SAMPLES.read(rows), sparsity=SPARSITY.read(achieved), plan=plan)
        for facts, rows, achieved, plan in zip(conditions, samples, sparsity, fitted, strict=True)
    ]
    backbones = [
        (MODEL.read(model), LAYERS.read(layer), CLASSIFICATION.read(classes))
        for model, layer, classes in zip(models, layers, classifications, strict=True)
    ]
    parts = [
        PartProfile(**facts, neurons=NEURONS.read(neurons), classes=CLASSES.read(classes))
        for facts, neurons, classes in zip(parted, part_neurons, part_classes, strict=True)
    ]
    targets = [row for task in map(find, tasks) for row in task.targets()]
    removals = [Order(**order) for order in orders]
    result = analysed(evaluated, backbones, parts, targets, removals, analysis, seed)
    for table, path in zip(TABLES, tables, strict=True):
        table.write(path, getattr(result, table.name), manifest)
    FINDING.write(finding, result.finding, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
