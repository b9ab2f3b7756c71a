"""Prepare what all levels of a method share: pruned weights, trained predictors, greedy paths."""

from pathlib import Path
from typing import Any

from pipeline.config.level import WHOLE
from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.evidence import EvidenceFiles
from pipeline.methods.fitting import prepare
from pipeline.methods.plan import Asked
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.plan import PREPARED, TRAINING


def main(
    *,
    record: Path,
    sequences: Path,
    neurons: Path,
    histograms: Path,
    thresholds: Path,
    norms: Path,
    classes: list[Path],
    distractor: list[Path],
    model: Model,
    config: dict[str, Any],
    profile: Profile,
    prepared: Path,
    training: Path,
    manifest: Manifest,
) -> None:
    """Write prepared.safetensors and training.parquet."""
    files = EvidenceFiles(
        record, sequences, neurons, histograms, thresholds, norms, classes, distractor, model,
        profile,
    )  # fmt: skip
    asked = Asked(**config, level=WHOLE)
    with files.checkpoint(prepared) as checkpoint:
        found, curve = prepare(asked, files.evidence(asked, checkpoint, manifest.source))
    PREPARED.write(prepared, found, manifest)
    TRAINING.write(training, curve, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
