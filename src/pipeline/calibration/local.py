"""Documents from files: the corpora that ship with the project, or a file of your own."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline import jsonl
from pipeline.calibration.base import CorpusKind
from pipeline.config.calibration import Corpus
from pipeline.digest import SOURCE_ROOT, identity_of_file
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
        yield from _texts((row for _, row in jsonl.rows(path)), corpus.field, path)
    elif path.suffix == ".parquet":
        yield from _texts(_parquet_rows(path), corpus.field, path)
    elif path.suffix == ".txt":
        with open(path, encoding="utf-8") as stream:
            yield from (line.rstrip("\n") for line in stream if line.strip())
    else:
        raise UserError(f"calibration file {path.name}: give .jsonl, .parquet or .txt")


def _texts(rows: Iterable[dict], field: str, path: Path) -> Iterator[str]:
    """The field of every row; rows whose field is null are left out, as empty lines are."""
    for row in rows:
        if field not in row:
            raise UserError(f"{path.name}: no field {field!r}; it has {', '.join(sorted(row))}")
        if row[field] is not None:
            yield str(row[field])


def _parquet_rows(path: Path) -> Iterator[dict]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path.name} is no readable Parquet file ({error})") from error


def identity(where: str, corpus: Corpus) -> str:
    """Digest of the file, or for a large one what changes with it."""
    return identity_of_file(file_of(corpus.source))


FILES = CorpusKind(documents, identity)
