"""Documents from files: the corpora that ship with the project, or a file of your own."""

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.calibration.base import CorpusKind
from pipeline.config import Corpus
from pipeline.digest import SOURCE_ROOT, of_file
from pipeline.errors import UserError
from pipeline.registry import unknown_name

BUILTIN_CORPORA = SOURCE_ROOT.parent / "resources" / "calibration"


def file_of(source: str) -> Path:
    """The file behind `builtin:NAME` or `path:FILE`; UserError when it is not there."""
    kind, _, where = source.partition(":")
    if kind == "builtin":
        path = BUILTIN_CORPORA / f"{where}.jsonl"
        if not path.is_file():
            known = [p.stem for p in BUILTIN_CORPORA.glob("*.jsonl")]
            raise UserError(unknown_name("built-in corpus", where, known))
        return path
    path = Path(where).expanduser()
    if not path.is_file():
        raise UserError(f"calibration file {where} does not exist")
    return path


def documents(where: str, corpus: Corpus) -> Iterator[str]:
    """Texts of a .jsonl or .parquet file's `field`, or the lines of a .txt file."""
    path = file_of(corpus.source)
    if path.suffix == ".jsonl":
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                if line.strip():
                    yield _field(json.loads(line), corpus.field, path)
    elif path.suffix == ".parquet":
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                yield _field(row, corpus.field, path)
    elif path.suffix == ".txt":
        with open(path, encoding="utf-8") as stream:
            yield from (line.rstrip("\n") for line in stream if line.strip())
    else:
        raise UserError(f"calibration file {path.name}: give .jsonl, .parquet or .txt")


def _field(row: dict, field: str, path: Path) -> str:
    if field not in row:
        raise UserError(f"{path.name}: no field {field!r}; it has {', '.join(sorted(row))}")
    return str(row[field])


def identity(where: str, corpus: Corpus) -> str:
    """Digest of the file."""
    return of_file(file_of(corpus.source))


FILES = CorpusKind(documents, identity)
