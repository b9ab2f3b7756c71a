"""Resolve a configured model: digests, architecture and shapes, into model.json."""

from pathlib import Path

from pipeline.config.models import Model
from pipeline.models.resolve import resolve
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.converted import CONVERTED
from pipeline.tables.model import MODEL


def main(
    *, name: str, converted: list[Path], config: Model, model: Path, manifest: Manifest
) -> None:
    """Write model.json; `converted` is the record of a conversion, or nothing."""
    made = CONVERTED.read(converted[0]) if converted else None
    MODEL.write(model, resolve(name, config, made), manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
