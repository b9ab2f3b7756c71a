"""Fit one method at one level and seed into a plan; needs no model and no torch."""

from pathlib import Path
from typing import Any

from pipeline.artifacts import Manifest
from pipeline.entry import job
from pipeline.methods.inputs import neurons_of
from pipeline.methods.static import fit
from pipeline.registry import SPARSIFIERS
from pipeline.tables.classes import CLASSES
from pipeline.tables.neurons import NEURONS


def main(
    *,
    neurons: Path,
    classes: Path,
    config: dict[str, Any],
    seed: int,
    plan: Path,
    arrays: Path,
    manifest: Manifest,
) -> None:
    """Write plan.json and plan.safetensors."""
    inputs = neurons_of(NEURONS.read(neurons), CLASSES.read(classes))
    name, scope = config["sparsifier"], config["scope"]
    fitted = fit(name, SPARSIFIERS.load(name)(), inputs, config["level"], seed, scope)
    fitted.write(plan, arrays, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
