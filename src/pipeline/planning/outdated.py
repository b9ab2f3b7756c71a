"""Which results are not what a study asks for now, by their own manifests.

What a result was made from stands in its own manifest, so results that were moved or copied are
judged as well as those made here. Snakemake's notes in `.snakemake` stay behind when results move,
and are never taken as proof that a result is current.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.planning.folder import Folder
from pipeline.planning.stage import Stage
from pipeline.planning.stages import STAGES
from pipeline.planning.study import Study
from pipeline.store import digest
from pipeline.store.artifacts import manifest_of
from pipeline.tables.base import Document

#: Why a file is outdated.
CONFIGURATION = "made for another configuration or other data"
SOURCE = "made by other code or other versions of libraries"
DAMAGED = "damaged, or without what it was made from"


@dataclass(frozen=True)
class Outdated:
    """A file, by its path from the folder that holds `results`, that is not what its job would make
    now."""

    file: str
    why: str

    @property
    def folder(self) -> str:
        """The folder of its job."""
        return self.file.rpartition("/")[0]


def outdated(study: Study, directory: Path) -> list[Outdated]:
    """The study's files in `directory` that a run makes again, in the order of its jobs; files that
    are not there are left out.

    Parquet and safetensors files are not read whole, so a damage to their values alone is found
    only when they are read.
    """
    return [
        Outdated(f"{path}/{name}", why)
        for path, folder in study.folders.items()
        for name, why in _differing(str(directory / path), folder, study)
    ]


def sentences(found: Sequence[Outdated]) -> list[str]:
    """One sentence for each reason: how many files, and the first of them."""
    said = []
    for why in (CONFIGURATION, SOURCE, DAMAGED):
        files = [one.file for one in found if one.why == why]
        if files:
            if len(files) == 1:
                said.append(f"{files[0]} is {why}; a run makes it again")
            else:
                first = f"{files[0]} for instance"
                said.append(f"{len(files)} files are {why}, {first}; a run makes them again")
    return said


def _differing(place: str, folder: Folder, study: Study) -> Iterator[tuple[str, str]]:
    """(name, why) of the files in a job's folder that are not what it would make."""
    stage = STAGES[folder.rule]
    standing = [name for name in stage.files if os.path.exists(f"{place}/{name}")]
    told: Mapping[str, str] | None = None
    if standing and stage.told_by:
        told = _digests(Path(place), stage)
    for name in standing:
        path = Path(place, name)
        if told is not None and name != stage.told_by:
            why = None if told.get(name, "") == _digest(path) else DAMAGED
        else:
            why = _why(path, folder.identity, study.source_behind(folder))
        if why:
            yield name, why


def _digest(path: Path) -> str | None:
    """Digest of a file's bytes, or of a large file its size; None when it cannot be read, or has
    gone since it was seen."""
    try:
        return digest.quick_of_file(path)
    except OSError:
        return None


def _digests(place: Path, stage: Stage) -> Mapping[str, str]:
    """Name -> digest of the files in a job's folder as they were written, by the one that tells of
    the others; empty where that cannot be told."""
    (table,) = (each.table for each in stage.outputs.values() if each.file == stage.told_by)
    if not isinstance(table, Document):
        raise ValueError(f"{stage.told_by} should be a document")
    try:
        found: Mapping[str, str] = table.read(place / stage.told_by)["files"]
    except UserError:
        return {}
    return found


def _why(path: Path, identity: str, source: str) -> str | None:
    try:
        manifest = manifest_of(path)
    except UserError:
        return DAMAGED
    if manifest.get("identity") != identity:
        return CONFIGURATION
    return SOURCE if manifest.get("source") != source else None
