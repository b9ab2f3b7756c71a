"""Evaluate a model pruned by a plan, and measure the sparsity it achieves."""

from pathlib import Path

from pipeline.artifacts import Manifest
from pipeline.config.evaluation import Evaluation
from pipeline.config.models import Model
from pipeline.entry import job
from pipeline.errors import putting_together
from pipeline.evaluation.evaluate import evaluate, refused, rows_of, summed
from pipeline.methods.plan import Plan
from pipeline.methods.static import apply
from pipeline.models.loading import load
from pipeline.models.views import view
from pipeline.tables.model import MODEL
from pipeline.tables.samples import COUNTS, SAMPLES, SPARSITY


def main(
    *,
    record: Path,
    plan: Path,
    arrays: Path,
    sample_shards: list[Path],
    count_shards: list[Path],
    model: Model,
    evaluation: Evaluation,
    samples: Path,
    sparsity: Path,
    manifest: Manifest,
) -> None:
    """Write samples.parquet and sparsity.parquet, from shards where the work was divided."""
    fitted = Plan.read(plan, arrays)
    if fitted.refused:
        rows, achieved = refused(fitted.refused, evaluation)
    else:
        if sample_shards:
            rows = rows_of(map(SAMPLES.read, sample_shards))
            counts = rows_of(map(COUNTS.read, count_shards))
        else:
            loaded, tokenizer = load(model, MODEL.read(record))
            apply(fitted, view(loaded))
            rows, counts = evaluate(loaded, tokenizer, evaluation, fitted.dropped)
        with putting_together(sample_shards):
            rows, achieved = summed(rows, counts, evaluation)
    SAMPLES.write(samples, rows, manifest)
    SPARSITY.write(sparsity, achieved, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
