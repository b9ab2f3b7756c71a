"""Many files of one kind, each read together with what its folder is about.

A list of files says only by its order what each file belongs to. So a rule says what every folder
is about and which identity the study gives it, and the manifest of a file there has to name the
same identity.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.store.artifacts import check_identity
from pipeline.tables.base import Document, Table

#: Key of the identity among the facts of a folder.
IDENTITY = "identity"
Folders = Mapping[str, Mapping[str, Any]]


def read_each(
    kind: Table | Document, paths: Sequence[Path], folders: Folders
) -> Iterator[tuple[dict[str, Any], Any]]:
    """(what its folder is about, what it holds) of every file, a frame or a body.

    Raises UserError for a file that by its manifest belongs to something else, and KeyError for one
    in a folder that `folders` does not name.
    """
    for path in paths:
        facts = dict(folders[str(path.parent)])
        check_identity(path, facts.pop(IDENTITY))
        yield facts, kind.read(path)


def read_by(
    kind: Table | Document, paths: Sequence[Path], folders: Folders, *names: str
) -> dict[tuple[Any, ...], Any]:
    """What the files hold, by the values of the named facts of their folders; raises as
    `read_each`."""
    return {
        tuple(facts[name] for name in names): held
        for facts, held in read_each(kind, paths, folders)
    }


def rows_of(tables: Iterable[tuple[Mapping[str, Any], Any]]) -> list[dict[str, Any]]:
    """The rows of tables as `read_each` gives them, each with what its table is about."""
    return [{**facts, **row} for facts, table in tables for row in table.to_dicts()]


def by_file_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Paths by the names of their files."""
    return {path.name: path for path in paths}
