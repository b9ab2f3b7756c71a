"""Evaluate a model that a plan is applied to, on one shard of the items."""

from contextlib import ExitStack
from pathlib import Path

from pipeline.config.evaluation import Evaluation
from pipeline.config.models import Model
from pipeline.evaluation.evaluate import evaluate
from pipeline.methods.apply import apply
from pipeline.methods.plan import Plan
from pipeline.models.loading import load
from pipeline.models.views import view
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.model import MODEL
from pipeline.tables.samples import COUNTS, SAMPLES


def main(
    *,
    record: Path,
    plan: Path,
    arrays: Path,
    model: Model,
    evaluation: Evaluation,
    shard: int,
    shards: int,
    samples: Path,
    counts: Path,
    manifest: Manifest,
) -> None:
    """Write samples.parquet and counts.parquet; without rows where the plan was refused."""
    fitted = Plan.read(plan, arrays)
    rows, counted = [], []
    if not fitted.refused:
        loaded, tokenizer = load(model, MODEL.read(record))
        with ExitStack() as ends:
            forward = apply(fitted, view(loaded), ends)
            rows, counted = evaluate(loaded, tokenizer, evaluation, forward, shard, shards)
    SAMPLES.write(samples, rows, manifest)
    COUNTS.write(counts, counted, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
