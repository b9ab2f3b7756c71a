"""A study's jobs with the work of each, and jobs.json, which lists them."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import UserError
from pipeline.models import headers
from pipeline.models import size as sizes
from pipeline.models.size import Size
from pipeline.planning.folder import Folder
from pipeline.planning.stages import ORDER, STAGES
from pipeline.planning.study import Study
from pipeline.planning.work import Work
from pipeline.store.artifacts import Manifest
from pipeline.tables.jobs import JOBS
from pipeline.tables.model import MODEL

#: What stands in for a model of unknown size: one of eight billion parameters.
UNKNOWN = Size(8_000_000_000, 32, 14_336, 128_256, d_model=4096, cache=2048)


@dataclass(frozen=True)
class Job(Work):
    """One job: its rule, the folder that it writes, and its work. `identity` is that of its
    `Study.folders`; `inputs` holds, for each of the rule's inputs, the identities that its files
    must have, in their order."""

    rule: str
    folder: str
    identity: str = ""
    inputs: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that stand for its artifacts."""
        return tuple(f"{self.folder}/{name}" for name in STAGES[self.rule].files)

    @property
    def timing(self) -> Path:
        """Path of its timing, from the folder that holds `results`."""
        return Path(f"results/timing/{STAGES[self.rule].log_place(self.folder)}.tsv")

    @property
    def log(self) -> Path:
        """Path of its log file, from the folder that holds `results`."""
        return Path(f"results/logs/{STAGES[self.rule].log_place(self.folder)}.log")


def size_of(study: Study, model: str, directory: Path, ask: bool = False) -> Size | None:
    """The size of a model by its name in the study; None when it cannot be found out here.

    A Hub model's size is in model.json once it is resolved; before that the Hub is asked if `ask`
    is true. That of a model in a package is known once the package has been fetched.
    """
    section = study.config.models[model]
    if section.kind not in ("hub", "package"):
        return headers.of_local(section)
    record = directory / study.place("resolve_model", model_key=study.model_key(model))
    try:
        return sizes.of_record(MODEL.read(record / STAGES["resolve_model"].outputs["model"].file))
    except UserError:
        if section.kind == "package":
            return headers.of_local(section)
        return headers.of_hub(section) if ask else None


def jobs_of(study: Study, known: Mapping[str, Size | None]) -> list[Job]:
    """All jobs of the study, stage by stage; `known` are the models' sizes by name, of which an
    unknown one counts as UNKNOWN."""
    folders = study.folders
    jobs = [
        _job(study, path, folder, known, {
            name: [folders[file.rpartition("/")[0]].identity for file in files]
            for name, files in folder.reads.items()
        })
        for path, folder in folders.items()
    ]  # fmt: skip
    return sorted(jobs, key=lambda job: ORDER[job.rule])


def job_like(
    study: Study,
    rule: str,
    model: str,
    corpus: str | None,
    known: Mapping[str, Size | None],
    method: str | None = None,
) -> Job:
    """The first job of a rule on a model and, if they are given, a corpus and a method; it stands
    for the others, whose work is the same."""
    path, folder = next(
        (path, folder)
        for path, folder in study.folders.items()
        if folder.rule == rule
        and folder.model == model
        and corpus in (None, folder.corpus)
        and method in (None, folder.method)
    )
    return _job(study, path, folder, known)


def _job(
    study: Study,
    path: str,
    folder: Folder,
    known: Mapping[str, Size | None],
    inputs: Mapping[str, list[str]] | None = None,
) -> Job:
    size = known.get(folder.model) or UNKNOWN
    work = STAGES[folder.rule].work(study, folder, size)
    return Job(
        **vars(work), rule=folder.rule, folder=path, identity=folder.identity, inputs=inputs or {}
    )


def write_jobs(path: Path, study: str, jobs: Iterable[Job]) -> None:
    """Write jobs.json. A file with the same content is left as it is, so that a resumed run needs
    no room for it on a disk that is nearly full."""
    facts = {}
    for job in jobs:
        values = dict(vars(job))
        facts[values.pop("folder")] = values
    body = json.loads(json.dumps({"study": study, "jobs": facts}))
    with contextlib.suppress(UserError):
        if JOBS.read(path) == body:
            return
    JOBS.write(path, body, Manifest(rule="all", source=""))


def read_jobs(path: Path) -> list[Job]:
    """The jobs of a study as it was last started, stage by stage; UserError when the file cannot be
    read, or names a rule that does not exist."""
    jobs = [Job(folder=folder, **facts) for folder, facts in JOBS.read(path)["jobs"].items()]
    if unknown := sorted({job.rule for job in jobs} - STAGES.keys()):
        raise UserError(
            f"{path}: made by another version, which had the rules {', '.join(unknown)}; run the "
            "study again, or remove its folder"
        )
    return sorted(jobs, key=lambda job: ORDER[job.rule])
