"""Cut a corpus into token windows."""

from pathlib import Path

from pipeline.calibration.extraction import extract
from pipeline.config.calibration import Corpus
from pipeline.config.models import Model
from pipeline.errors import putting_together
from pipeline.models.lengths import refuse_windows
from pipeline.models.loading import load_tokenizer
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.model import MODEL
from pipeline.tables.sequences import CORPUS, DOCUMENTS, SEQUENCES, TEXTS


def main(
    *,
    record: Path,
    document_shards: list[Path],
    model: Model,
    config: Corpus,
    sequences: Path,
    texts: Path,
    corpus: Path,
    manifest: Manifest,
) -> None:
    """Write sequences.parquet, texts.parquet and corpus.json."""
    resolved = MODEL.read(record)
    refuse_windows(config.source, config.sequence_length, resolved["positions"])
    tokenizer = load_tokenizer(model, resolved)
    rows = [row for path in document_shards for row in DOCUMENTS.read(path).to_dicts()]
    with putting_together(document_shards):
        columns, facts, read = extract(config, tokenizer, rows)
    SEQUENCES.write(sequences, columns, manifest)
    TEXTS.write(texts, read, manifest)
    CORPUS.write(corpus, facts, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
