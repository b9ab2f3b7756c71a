"""Fit a method at one level and seed into a plan, with the model at hand."""

from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.evidence import EvidenceFiles
from pipeline.methods.fitting import fit
from pipeline.methods.plan import Asked
from pipeline.methods.removed import with_activity
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import NEURONS
from pipeline.tables.plan import PREPARED, TRAINING
from pipeline.tables.sequences import SEQUENCES


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
    activity: list[Path],
    text: list[Path],
    prepared: list[Path],
    model: Model,
    config: dict[str, Any],
    profile: Profile,
    seed: int,
    plan: Path,
    arrays: Path,
    training: Path,
    manifest: Manifest,
) -> None:
    """Write plan.json, plan.safetensors and training.parquet."""
    files = EvidenceFiles(
        record, sequences, neurons, histograms, thresholds, norms, classes, distractor, model,
        profile,
    )  # fmt: skip
    asked = Asked.of(**config, seed=seed)
    own = {name: values for path in prepared for name, values in PREPARED.read(path).items()}
    others = [SEQUENCES.read(path)["tokens"].to_list() for path in text]
    with files.checkpoint(arrays) as checkpoint:
        evidence = files.evidence(asked, checkpoint, manifest.source)
        fitted, curve = fit(asked, evidence, own, lambda: files.load()[0], *others)
    if activity:
        fitted = with_activity(fitted, NEURONS.read(activity[0]))
    fitted.write(plan, arrays, manifest, MODEL.read(record))
    TRAINING.write(training, curve, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
