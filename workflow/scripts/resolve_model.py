"""Resolve a configured model: digests, architecture and shapes, into model.json."""

from pathlib import Path

from pipeline.config.models import Model
from pipeline.models.resolve import resolve
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.model import MODEL


def main(*, name: str, config: Model, model: Path, manifest: Manifest) -> None:
    """Write model.json."""
    MODEL.write(model, resolve(name, config), manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
