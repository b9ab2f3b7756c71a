"""Collect samples of the residual stream, with the neurons that they make active."""

from pathlib import Path

from pipeline.artifacts import Manifest
from pipeline.config.models import Model
from pipeline.entry import job
from pipeline.models.loading import load
from pipeline.profiling.collect import residual_sample
from pipeline.profiling.shard import magnitudes
from pipeline.tables.model import MODEL
from pipeline.tables.sampled import NORMS, RESIDUALS, THRESHOLDS
from pipeline.tables.sequences import SEQUENCES


def main(
    *,
    record: Path,
    sequences: Path,
    thresholds: Path,
    norms: Path,
    model: Model,
    tokens: int,
    batch_size: int,
    residuals: Path,
    manifest: Manifest,
) -> None:
    """Write residuals.safetensors."""
    loaded, tokenizer = load(model, MODEL.read(record), whole=False)
    rows = SEQUENCES.read(sequences)["tokens"].to_list()
    above = magnitudes(THRESHOLDS.read(thresholds), NORMS.read(norms))
    special = tokenizer.all_special_ids
    found = residual_sample(loaded, rows, special, above, tokens, batch_size)
    RESIDUALS.write(residuals, found, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
