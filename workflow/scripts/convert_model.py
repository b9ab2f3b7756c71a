"""Convert a model in a GGUF file into a safetensors folder, which all jobs load."""

from pathlib import Path

from pipeline.config.models import Model
from pipeline.models.conversion import convert
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.converted import CONVERTED


def main(*, name: str, config: Model, converted: Path, manifest: Manifest) -> None:
    """Write the model's files, and converted.json last."""
    CONVERTED.write(converted, convert(name, config, converted.parent), manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
