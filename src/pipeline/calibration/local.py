"""Documents from files: the corpora that ship with the project, or a file of your own."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.calibration.base import CorpusKind, no_commit, read_beginning
from pipeline.config.calibration import Corpus
from pipeline.errors import UserError, at, unknown_name
from pipeline.store import characters, jsonl
from pipeline.store.digest import SOURCE_ROOT, identity_of_file

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
    if not os.access(path, os.R_OK):
        raise UserError(f"calibration file {where} cannot be read; change its permissions")
    return path


def documents(where: str, corpus: Corpus) -> Iterator[str]:
    """Texts of a .jsonl or .parquet file's `field`, or the lines of a .txt file.

    Rows whose field is null are left out, as empty lines are. UserError, with the line or the row,
    for a text that holds what `characters` refuses, and for a file that is damaged or of another
    kind.
    """
    yield from texts(file_of(corpus.source), corpus.field)


def texts(path: Path, field: str) -> Iterator[str]:
    """Texts of one file; the UserErrors of `documents`."""
    if path.suffix == ".jsonl":
        yield from _jsonl_texts(path, field)
    elif path.suffix == ".parquet":
        yield from _parquet_texts(path, field)
    elif path.suffix == ".txt":
        yield from _lines(path)
    else:
        raise UserError(
            f"calibration file {path.name}: give .jsonl, .parquet or .txt, unpacked; write a "
            ".json list as .jsonl, one object a line"
        )


def _jsonl_texts(path: Path, field: str) -> Iterator[str]:
    for number, row in jsonl.rows(path, [field]):
        if field not in row:
            raise _no_field(f"{path.name}, line {number}", field, row)
        if row[field] is not None:
            yield str(row[field])


def _parquet_texts(path: Path, field: str) -> Iterator[str]:
    import pyarrow.parquet as pq

    number = 0
    with _parquet_errors(path):
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
    if field not in names:
        raise _no_field(path.name, field, names)
    batches = file.iter_batches(columns=[field])
    while True:
        with _parquet_errors(path):
            batch = next(batches, None)
            values = batch.column(field).to_pylist() if batch is not None else None
        if values is None:
            return
        for value in values:
            number += 1
            if value is not None:
                with at(f"{path.name}, row {number}"):
                    characters.check(str(value))
                yield str(value)


@contextlib.contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises for a damaged file into a UserError."""
    import pyarrow as pa

    try:
        yield
    # A damaged name of a column is a UnicodeDecodeError, which is a ValueError.
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"{path.name} is not a readable Parquet file ({said}); write it anew"
        ) from error


def _lines(path: Path) -> Iterator[str]:
    # Bytes that are not UTF-8 are read as surrogates, which are not characters either, so one check
    # finds both.
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                with at(f"{path.name}, line {number}"):
                    characters.check(line)
                yield line.rstrip("\n")


def _no_field(where: str, field: str, names: Iterable[str]) -> UserError:
    return UserError(f"{where}: no field {field!r}; it has {', '.join(sorted(names))}")


def identity(where: str, corpus: Corpus) -> str:
    """Digest of the file; for a large file, of facts that change whenever it does."""
    return identity_of_file(file_of(corpus.source))


def check(where: str, corpus: Corpus) -> None:
    """UserError where the file's first texts cannot be read."""
    read_beginning(documents(where, corpus), corpus)


FILES = CorpusKind(documents, identity, no_commit, check)
