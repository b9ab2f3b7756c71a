"""Evaluate the unpruned model, once for all studies with the same tasks."""

from pathlib import Path

from pipeline.artifacts import Manifest
from pipeline.config.evaluation import Evaluation
from pipeline.config.models import Model
from pipeline.entry import job
from pipeline.evaluation.evaluate import evaluate
from pipeline.models.loading import load
from pipeline.tables.model import MODEL
from pipeline.tables.samples import SAMPLES, SPARSITY


def main(
    *,
    record: Path,
    model: Model,
    evaluation: Evaluation,
    samples: Path,
    sparsity: Path,
    manifest: Manifest,
) -> None:
    """Write samples.parquet and sparsity.parquet."""
    loaded, tokenizer = load(model, MODEL.read(record))
    rows, achieved = evaluate(loaded, tokenizer, evaluation)
    SAMPLES.write(samples, rows, manifest)
    SPARSITY.write(sparsity, achieved, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
