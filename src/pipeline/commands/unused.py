"""What no study in a results folder uses any more, and its removal."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.study import NO_STUDIES
from pipeline.errors import UserError
from pipeline.planning.jobs import read_jobs
from pipeline.planning.stages import STAGES
from pipeline.planning.study import Study
from pipeline.tables.jobs import jobs_file


@dataclass(frozen=True)
class Unused:
    """A folder or file below `results`, as a path from the folder that holds `results`, with its
    size in bytes."""

    path: Path
    bytes: int


def studies(directory: Path) -> list[str]:
    """Names of the studies with results in the folder."""
    results = directory / "results"
    found = results.iterdir() if results.is_dir() else ()
    return sorted(p.name for p in found if p.is_dir() and p.name not in NO_STUDIES)


def unused(directory: Path, study: Study | None = None) -> list[Unused]:
    """Folders of artifacts, their logs and timings that belong to no study as it was last started,
    those of studies that are gone, and files that an interrupted job left half-written.

    A `study` that is given counts as it is configured now, not as it was last started. UserError
    when another does not say what it uses, since then nothing can be called unused.
    """
    used = set(study.folders if study else ())
    for name in studies(directory):
        if study and name == study.config.study:
            continue
        try:
            used |= {job.folder for job in read_jobs(jobs_file(directory, name))}
        except UserError as error:
            raise UserError(
                f"results/{name} does not say what it uses ({error}). Run that study once more, "
                f"which writes it, or remove the folder"
            ) from None
    found: list[Path] = []
    for stage in _stages(directory):
        for folder in _folders(directory / stage):
            place = folder.relative_to(directory)
            if str(place) not in used:
                found += _belongings(place)
    scopes = {"shared", *studies(directory)}
    for tree in ("logs", "timing"):
        for path in sorted((directory / "results" / tree).glob("*")):
            if path.is_dir() and path.name not in scopes:
                found.append(path.relative_to(directory))
    gone = set(found)
    for scope in ("shared", *studies(directory)):
        for path in sorted((directory / "results" / scope).rglob(".*.partial")):
            place = path.relative_to(directory)
            found += [place] if gone.isdisjoint(place.parents) else []
    return [Unused(p, _size(directory / p)) for p in found if (directory / p).exists()]


def remove(directory: Path, items: list[Unused]) -> None:
    """Remove them, and the folders that are empty then."""
    for item in items:
        path = directory / item.path
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent.name == "results" or any(parent.iterdir()):
                break
            parent.rmdir()


def _stages(directory: Path) -> Iterator[Path]:
    """Folders of the rules with a folder for each of their jobs, the studies' and shared ones."""
    heads = {stage.folder.split("/")[1] for stage in STAGES.values() if stage.wildcards}
    for scope in ("shared", *studies(directory)):
        for folder in sorted((directory / "results" / scope).glob("*")):
            if folder.is_dir() and folder.name in heads:
                yield folder.relative_to(directory)


def _folders(stage: Path) -> Iterator[Path]:
    """Folders of single jobs below a stage's: those without folders in them."""
    for folder in sorted(stage.rglob("*")):
        if folder.is_dir() and not any(child.is_dir() for child in folder.iterdir()):
            yield folder


def _belongings(folder: Path) -> list[Path]:
    """A job's folder, its log and its timing."""
    place = folder.relative_to("results")
    logs, timing = Path("results/logs") / place, Path("results/timing") / place
    return [folder, logs.with_name(logs.name + ".log"), timing.with_name(timing.name + ".tsv")]


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
