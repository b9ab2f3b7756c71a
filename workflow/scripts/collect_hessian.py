"""Collect the second moments of all linear inputs."""

from pathlib import Path

from pipeline.artifacts import Manifest
from pipeline.config.models import Model
from pipeline.entry import job
from pipeline.models.loading import load
from pipeline.profiling.collect import second_moments
from pipeline.tables.model import MODEL
from pipeline.tables.sampled import HESSIAN
from pipeline.tables.sequences import SEQUENCES


def main(
    *, record: Path, sequences: Path, model: Model, batch_size: int, hessian: Path,
    manifest: Manifest,
) -> None:  # fmt: skip
    """Write hessian.safetensors."""
    loaded, tokenizer = load(model, MODEL.read(record), whole=False)
    rows = SEQUENCES.read(sequences)["tokens"].to_list()
    found = second_moments(loaded, rows, tokenizer.all_special_ids, batch_size)
    HESSIAN.write(hessian, found, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
