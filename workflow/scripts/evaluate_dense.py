"""Evaluate the unpruned model, once for all studies with the same tasks."""

from pathlib import Path

from pipeline.config.evaluation import Evaluation
from pipeline.config.models import Model
from pipeline.errors import putting_together
from pipeline.evaluation.evaluate import evaluate, rows_of, summed
from pipeline.models.loading import load
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.model import MODEL
from pipeline.tables.samples import COUNTS, SAMPLES, SPARSITY


def main(
    *,
    record: Path,
    sample_shards: list[Path],
    count_shards: list[Path],
    model: Model,
    evaluation: Evaluation,
    samples: Path,
    sparsity: Path,
    manifest: Manifest,
) -> None:
    """Write samples.parquet and sparsity.parquet, from shards where the work was divided."""
    if sample_shards:
        rows = rows_of(map(SAMPLES.read, sample_shards))
        counts = rows_of(map(COUNTS.read, count_shards))
    else:
        loaded, tokenizer = load(model, MODEL.read(record))
        rows, counts = evaluate(loaded, tokenizer, evaluation)
    with putting_together(sample_shards):
        rows, achieved = summed(rows, counts, evaluation)
    SAMPLES.write(samples, rows, manifest)
    SPARSITY.write(sparsity, achieved, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
