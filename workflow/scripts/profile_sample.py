"""Measure a sample of the calibration sequences token by token, and fit the CETT thresholds."""

from pathlib import Path

from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.models.loading import load
from pipeline.profiling.sample import profile_sample
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables import sampled
from pipeline.tables.model import MODEL
from pipeline.tables.sequences import SEQUENCES


def main(
    *,
    record: Path,
    sequences: Path,
    model: Model,
    config: Profile,
    thresholds: Path,
    norms: Path,
    tokens: Path,
    cett_curve: Path,
    always_active: Path,
    prompt_overlaps: Path,
    manifest: Manifest,
) -> None:
    """Write the six tables of tables.sampled."""
    loaded, tokenizer = load(model, MODEL.read(record), whole=False)
    rows = SEQUENCES.read(sequences)["tokens"].to_list()
    found = profile_sample(loaded, rows, tokenizer.all_special_ids, config)
    sampled.THRESHOLDS.write(thresholds, found["thresholds"], manifest)
    sampled.NORMS.write(norms, found["norms"], manifest)
    sampled.TOKENS.write(tokens, found["tokens"], manifest)
    sampled.CETT_CURVE.write(cett_curve, found["cett_curve"], manifest)
    sampled.ALWAYS_ACTIVE.write(always_active, found["always_active"], manifest)
    sampled.PROMPT_OVERLAPS.write(prompt_overlaps, found["prompt_overlaps"], manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
