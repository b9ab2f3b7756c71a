"""Collect samples of the residual stream, with the neurons that they make active."""

from pathlib import Path

from pipeline.artifacts import Manifest, write_safetensors
from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.entry import job
from pipeline.models.loading import load
from pipeline.profiling.collect import residual_sample
from pipeline.profiling.shard import magnitudes
from pipeline.tables.model import MODEL
from pipeline.tables.sampled import NORMS, RESIDUALS_SCHEMA, THRESHOLDS
from pipeline.tables.sequences import SEQUENCES


def main(
    *,
    record: Path,
    sequences: Path,
    thresholds: Path,
    norms: Path,
    model: Model,
    config: Profile,
    residuals: Path,
    manifest: Manifest,
) -> None:
    """Write residuals.safetensors."""
    loaded, tokenizer = load(model, MODEL.read(record), whole=False)
    rows = SEQUENCES.read(sequences)["tokens"].to_list()
    above = magnitudes(THRESHOLDS.read(thresholds), NORMS.read(norms))
    found = residual_sample(loaded, rows, tokenizer.all_special_ids, above, config)
    write_safetensors(residuals, *RESIDUALS_SCHEMA, found, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
