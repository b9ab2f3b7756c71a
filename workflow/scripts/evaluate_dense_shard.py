"""Evaluate the unpruned model on one shard of the items."""

from pathlib import Path

from pipeline.config.evaluation import Evaluation
from pipeline.config.models import Model
from pipeline.evaluation.evaluate import evaluate
from pipeline.models.loading import load
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.model import MODEL
from pipeline.tables.samples import COUNTS, SAMPLES


def main(
    *,
    record: Path,
    model: Model,
    evaluation: Evaluation,
    shard: int,
    shards: int,
    samples: Path,
    counts: Path,
    manifest: Manifest,
) -> None:
    """Write samples.parquet and counts.parquet."""
    loaded, tokenizer = load(model, MODEL.read(record))
    rows, counted = evaluate(loaded, tokenizer, evaluation, shard=shard, shards=shards)
    SAMPLES.write(samples, rows, manifest)
    COUNTS.write(counts, counted, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
