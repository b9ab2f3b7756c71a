"""Fit a method that removes neurons for good into a plan; needs no model and no torch."""

from pathlib import Path
from typing import Any

from pipeline.methods.plan import Asked, Plan
from pipeline.methods.removed import with_activity
from pipeline.methods.sparsifiers.neurons import neurons_of
from pipeline.methods.sparsifiers.static import fit
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.classes import CLASSES
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import NEURONS


def main(
    *,
    record: Path,
    neurons: Path,
    classes: Path,
    distractor: list[Path],
    matched: list[Path],
    activity: list[Path],
    config: dict[str, Any],
    seed: int,
    plan: Path,
    arrays: Path,
    manifest: Manifest,
) -> None:
    """Write plan.json and plan.safetensors."""
    others = [NEURONS.read(path) for path in distractor]
    inputs = neurons_of(NEURONS.read(neurons), CLASSES.read(classes), *others)
    other = Plan.read(*matched) if matched else None
    fitted = fit(Asked.of(**config, seed=seed), inputs, other)
    fitted = with_activity(fitted, NEURONS.read(activity[0]))
    fitted.write(plan, arrays, manifest, MODEL.read(record))


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
