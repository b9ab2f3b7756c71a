"""Divide a profiled model's neurons into hot and cold under one policy."""

from pathlib import Path

from pipeline.classification.base import PolicyEvidence
from pipeline.classification.classify import classify
from pipeline.config.classification import Classification
from pipeline.config.models import Model
from pipeline.registry import POLICIES
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.classes import CLASSES, CLASSIFICATION
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import NEURONS
from pipeline.tables.sequences import SEQUENCES


def main(
    *,
    record: Path,
    neurons: Path,
    other_neurons: list[Path],
    other_sequences: list[Path],
    config: Classification,
    model: Model | None,
    classes: Path,
    summary: Path,
    manifest: Manifest,
) -> None:
    """Write classes.parquet and classification.json."""
    facts = MODEL.read(record)
    evidence = PolicyEvidence(NEURONS.read(neurons))
    for path in other_neurons:
        evidence = evidence.beside(NEURONS.read(path))
    for path in other_sequences:
        rows = SEQUENCES.read(path)["tokens"].to_list()
        evidence = evidence.costing(POLICIES.load(config.policy).costs(model, facts, rows))
    columns, figures = classify(evidence, config, facts["exact_zeros"])
    CLASSES.write(classes, columns, manifest)
    CLASSIFICATION.write(summary, figures, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
