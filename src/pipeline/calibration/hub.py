"""Documents of a Hub dataset, streamed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.calibration.base import CorpusKind
from pipeline.config.calibration import Corpus
from pipeline.errors import UserError, at
from pipeline.store import characters


def documents(where: str, corpus: Corpus) -> Iterator[str]:
    """Texts of `field` in one split of `DATASET` or `DATASET/CONFIGURATION` (after the second `/`).

    Rows whose field is null are left out. Raises UserError when the dataset, its split or its field
    is not available, and for a text that holds what `characters` refuses.
    """
    for number, row in enumerate(_rows(where, corpus), 1):
        if corpus.field not in row:
            raise UserError(f"dataset {where!r}: no field {corpus.field!r}; it has {sorted(row)}")
        if row[corpus.field] is not None:
            with at(f"dataset {where!r}, row {number}"):
                characters.check(str(row[corpus.field]))
            yield str(row[corpus.field])


def commit(where: str, corpus: Corpus) -> str:
    """The commit that the dataset's revision, or else its main branch, stands for on the Hub now.

    Raises UserError when the Hub does not say, or when a folder would be read instead.
    """
    from huggingface_hub import HfApi

    name, _ = _names(where)
    if Path(name).exists():
        raise UserError(
            f"dataset {name!r}: there is a file or folder of that name here, which the datasets "
            "library would read instead of the Hub; move it, or give its text as path:FILE"
        )
    with _told(where, corpus):
        return str(HfApi().dataset_info(name, revision=corpus.revision).sha)


def identity(where: str, corpus: Corpus) -> str:
    """Name and revision; the commit behind them needs a network, so corpus.json records it."""
    return f"{where}@{corpus.revision or ''}"


def _rows(where: str, corpus: Corpus) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset

    name, configuration = _names(where)
    # Streaming reads most of what can fail only when rows are asked for.
    with _told(where, corpus):
        yield from load_dataset(
            name, configuration, split=corpus.split, revision=corpus.revision, streaming=True
        )


def _names(where: str) -> tuple[str, str | None]:
    """(dataset, configuration or None)."""
    owner, _, rest = where.partition("/")
    name, _, configuration = rest.partition("/")
    return f"{owner}/{name}" if name else owner, configuration or None


@contextlib.contextmanager
def _told(where: str, corpus: Corpus) -> Iterator[None]:
    """Turn whatever the Hub's libraries raise in the block into one UserError with what to do."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub import errors as hub

    at = f" at {corpus.revision!r}" if corpus.revision else ""
    asked = f"dataset {where!r}{at}, split {corpus.split!r},"
    try:
        yield
    except hub.GatedRepoError as error:
        raise UserError(
            f"{asked} is gated: accept its terms on the Hub and set HF_TOKEN"
        ) from error
    except hub.RevisionNotFoundError as error:
        raise UserError(
            f"{asked} cannot be read: the Hub has the dataset but not this revision"
        ) from error
    except hub.RepositoryNotFoundError as error:
        raise UserError(
            f"{asked} does not exist on the Hub, or is private: check the name, or set HF_TOKEN; a "
            "local file is given as path:FILE"
        ) from error
    # hub.HTTPError is that of the HTTP library, which differs by the version of huggingface_hub.
    except (OSError, ValueError, RuntimeError, hub.HTTPError, DatasetsError) as error:
        raise UserError(
            f"{asked} cannot be read ({' '.join(str(error).split())}): check the names, set "
            "HF_TOKEN if it is gated or private, connect to the network, or give a local file as "
            "path:FILE"
        ) from error


HUB = CorpusKind(documents, identity, commit)
