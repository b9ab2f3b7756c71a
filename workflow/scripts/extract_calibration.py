"""Cut a corpus into token windows, and refuse one that shares text with the evaluation tasks."""

from pathlib import Path

from pipeline.artifacts import Manifest
from pipeline.calibration.extraction import extract
from pipeline.config.calibration import Corpus
from pipeline.config.models import Model
from pipeline.entry import job
from pipeline.errors import putting_together
from pipeline.models.lengths import refuse_windows
from pipeline.models.loading import load_tokenizer
from pipeline.tables.model import MODEL
from pipeline.tables.sequences import CORPUS, DOCUMENTS, SEQUENCES


def main(
    *,
    record: Path,
    document_shards: list[Path],
    model: Model,
    config: Corpus,
    tasks: list[str],
    sequences: Path,
    corpus: Path,
    manifest: Manifest,
) -> None:
    """Write sequences.parquet and corpus.json."""
    resolved = MODEL.read(record)
    refuse_windows(config.source, config.sequence_length, resolved["positions"])
    tokenizer = load_tokenizer(model, resolved)
    rows = [row for path in document_shards for row in DOCUMENTS.read(path).to_dicts()]
    with putting_together(document_shards):
        columns, facts = extract(config, tokenizer, tasks, rows)
    SEQUENCES.write(sequences, columns, manifest)
    CORPUS.write(corpus, facts, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
