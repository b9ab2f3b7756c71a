"""Pair every condition with its dense run: curves, refused conditions, the finding."""

from pathlib import Path

from pipeline.analysis.arms import Evaluated
from pipeline.analysis.study import analysed
from pipeline.artifacts import Manifest
from pipeline.config.analysis import Analysis
from pipeline.entry import job
from pipeline.tables.classes import CLASSIFICATION
from pipeline.tables.curves import CURVES, REFUSED
from pipeline.tables.finding import FINDING
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import LAYERS
from pipeline.tables.samples import SAMPLES, SPARSITY
from pipeline.tasks import find


def main(
    *,
    conditions: list[dict],
    samples: list[Path],
    sparsity: list[Path],
    models: list[Path],
    layers: list[Path],
    classifications: list[Path],
    tasks: list[str],
    sparsifiers: dict[str, str],
    analysis: Analysis,
    seed: int,
    curves: Path,
    refused: Path,
    finding: Path,
    manifest: Manifest,
) -> None:
    """Write curves.parquet, refused.parquet and finding.json."""
    evaluated = [
        Evaluated(**facts, samples=SAMPLES.read(rows), sparsity=SPARSITY.read(achieved))
        for facts, rows, achieved in zip(conditions, samples, sparsity, strict=True)
    ]
    backbones = [
        (MODEL.read(model), LAYERS.read(layer), CLASSIFICATION.read(classes))
        for model, layer, classes in zip(models, layers, classifications, strict=True)
    ]
    targets = [row for task in map(find, tasks) for row in task.targets()]
    result = analysed(evaluated, backbones, targets, sparsifiers, analysis, seed)
    CURVES.write(curves, result.curves, manifest)
    REFUSED.write(refused, result.refused, manifest)
    FINDING.write(finding, result.finding, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
