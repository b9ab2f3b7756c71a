"""Divide a profiled model's neurons into hot and cold under one policy."""

from pathlib import Path

from pipeline.artifacts import Manifest
from pipeline.classification.classify import classify
from pipeline.config.classification import Classification
from pipeline.entry import job
from pipeline.tables.classes import CLASSES, CLASSIFICATION
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import NEURONS


def main(
    *,
    record: Path,
    neurons: Path,
    config: Classification,
    classes: Path,
    summary: Path,
    manifest: Manifest,
) -> None:
    """Write classes.parquet and classification.json."""
    exact_zeros = MODEL.read(record)["exact_zeros"]
    columns, facts = classify(NEURONS.read(neurons), config, exact_zeros)
    CLASSES.write(classes, columns, manifest)
    CLASSIFICATION.write(summary, facts, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
