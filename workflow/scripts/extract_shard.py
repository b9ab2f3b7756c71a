"""Tokenize one shard of a corpus' documents."""

from pathlib import Path

from pipeline.calibration.extraction import read_shard
from pipeline.config.calibration import Corpus
from pipeline.config.models import Model
from pipeline.models.lengths import refuse_windows
from pipeline.models.loading import load_tokenizer
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.model import MODEL
from pipeline.tables.sequences import DOCUMENTS


def main(
    *,
    record: Path,
    model: Model,
    config: Corpus,
    shard: int,
    shards: int,
    documents: Path,
    manifest: Manifest,
) -> None:
    """Write documents.parquet."""
    resolved = MODEL.read(record)
    refuse_windows(config.source, config.sequence_length, resolved["positions"])
    tokenizer = load_tokenizer(model, resolved)
    DOCUMENTS.write(documents, read_shard(config, tokenizer, shard, shards), manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
