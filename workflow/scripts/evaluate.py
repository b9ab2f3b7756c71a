"""Evaluate a model that a plan is applied to, and measure the sparsity it achieves."""

from contextlib import ExitStack
from pathlib import Path

from pipeline.config.evaluation import Evaluation
from pipeline.config.models import Model
from pipeline.errors import putting_together
from pipeline.evaluation.evaluate import evaluate, refused, rows_of, summed
from pipeline.methods.apply import apply
from pipeline.methods.plan import Plan
from pipeline.models.loading import load
from pipeline.models.views import view
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
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
        rows, achieved = refused(fitted.refused, evaluation, fitted.sparse_from)
    else:
        if sample_shards:
            rows = rows_of(map(SAMPLES.read, sample_shards))
            counts = rows_of(map(COUNTS.read, count_shards))
        else:
            loaded, tokenizer = load(model, MODEL.read(record))
            with ExitStack() as ends:
                forward = apply(fitted, view(loaded), ends)
                rows, counts = evaluate(loaded, tokenizer, evaluation, forward)
        with putting_together(sample_shards):
            rows, achieved = summed(rows, counts, evaluation, fitted.sparse_from)
    SAMPLES.write(samples, rows, manifest)
    SPARSITY.write(sparsity, achieved, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
