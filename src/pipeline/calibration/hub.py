"""Documents of a Hub dataset, streamed."""

from collections.abc import Iterator

from pipeline.calibration.base import CorpusKind
from pipeline.config.calibration import Corpus
from pipeline.errors import UserError


def documents(where: str, corpus: Corpus) -> Iterator[str]:
    """Texts of `field` in one split of `DATASET` or `DATASET/CONFIGURATION` (after the second `/`).

    Raises UserError when the dataset, its split or its field is not to be had.
    """
    from datasets import load_dataset

    owner, _, rest = where.partition("/")
    name, _, configuration = rest.partition("/")
    dataset = f"{owner}/{name}" if name else owner
    try:
        rows = load_dataset(dataset, configuration or None, split=corpus.split, streaming=True)
    except (OSError, ValueError) as error:
        raise UserError(
            f"dataset {where!r}, split {corpus.split!r}, cannot be read ({error}): check the "
            "names, connect to the network, or give a local file as path:FILE"
        ) from error
    for row in rows:
        if corpus.field not in row:
            raise UserError(f"dataset {where!r}: no field {corpus.field!r}; it has {sorted(row)}")
        yield str(row[corpus.field])


def identity(where: str, corpus: Corpus) -> str:
    """The dataset's name; a Hub dataset counts by that, since its content needs a network."""
    return where


HUB = CorpusKind(documents, identity)
