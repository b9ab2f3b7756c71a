"""What a run would do and cost, before it does anything."""

import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.commands.check import look
from pipeline.commands.unused import studies
from pipeline.errors import UserError
from pipeline.planning import cost
from pipeline.planning.jobs import Job, jobs_of, read_jobs, size_of
from pipeline.planning.outdated import outdated
from pipeline.planning.study import Study
from pipeline.running.events import last_run
from pipeline.running.memory import MEGABYTE, Memory
from pipeline.tables.jobs import jobs_file

#: Seconds that Snakemake takes to start a job and to notice its end, which the job's timing leaves
#: out.
_STARTING = 1.0
#: Most past jobs of a rule that are read in each study.
_ENOUGH = 100


@dataclass
class StageForecast:
    """One rule's share of a plan; hours are those of one core or one GPU, memory in megabytes.

    `largest` is the folder of the job with the most memory, and `too_large` the number of jobs
    expected to need more than the machine has."""

    jobs: int = 0
    to_run: int = 0
    why: Counter[str] = field(default_factory=Counter)
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    peak_megabytes: float = 0.0
    disk_megabytes: float = 0.0
    largest: str = ""
    too_large: int = 0


@dataclass(frozen=True)
class Error:
    """How well a study that has run is estimated from the jobs of the others, or, if there are
    none, from its own; hours of one core."""

    study: str
    estimated_hours: float
    actual_hours: float
    from_others: bool


@dataclass(frozen=True)
class Forecast:
    """A plan; `wall_hours` on `cores` cores and `memory_megabytes` of memory, all None where jobs
    would run elsewhere, the last also where it is not known."""

    study: str
    stages: dict[str, StageForecast]
    unknown_models: list[str]
    unmeasured: list[str]
    past_jobs: int
    errors: list[Error]
    cores: int | None
    memory_megabytes: float | None
    wall_hours: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        stages = {
            rule: vars(stage) | {"why": dict(stage.why)} for rule, stage in self.stages.items()
        }
        return vars(self) | {"stages": stages, "errors": [vars(error) for error in self.errors]}


def plan(
    study: Study,
    directory: Path,
    dry_run: Sequence[str],
    cores: int | None,
    memory: Memory | None = None,
) -> Forecast:
    """The plan of a study whose results go to `directory`; `dry_run` is Snakemake's command line
    for it, to which the file of events is added. `cores` and `memory` are None where jobs would run
    elsewhere.

    Raises UserError with Snakemake's words when it refuses.
    """
    for name, model in study.config.models.items():
        if model.kind in ("hub", "package"):
            look(name, model)
    known = {name: size_of(study, name, directory, ask=True) for name in study.config.models}
    jobs = jobs_of(study, known)
    reasons = _reasons(dry_run)
    reasons |= {o.folder: o.why for o in outdated(study, directory) if o.folder in reasons}
    past = past_jobs(directory)
    here = {run.job.folder: run for runs in past.values() for run in runs}
    scale = cost.Scale(here.values(), cost.speed())
    stages: dict[str, StageForecast] = {}
    there = memory.usable / MEGABYTE if memory else None
    serial: list[float] = []
    held = 0.0
    for job in jobs:
        stage = stages.setdefault(job.rule, StageForecast())
        stage.jobs += 1
        if job.folder not in reasons:
            continue
        stage.to_run += 1
        stage.why[reasons[job.folder]] += 1
        hours = scale.seconds(job) / 3600
        on_gpu = job.device.startswith("cuda")
        stage.gpu_hours += hours if on_gpu else 0
        stage.core_hours += 0 if on_gpu else hours
        needed = cost.memory_megabytes(job)
        if needed > stage.peak_megabytes:
            stage.peak_megabytes, stage.largest = needed, job.folder
        stage.too_large += there is not None and needed > there
        stage.disk_megabytes += scale.bytes(job) / 1e6
        serial.append(hours + _STARTING / 3600)
        held += serial[-1] * min(1.0, cost.asked_megabytes(job, 1) / there) if there else 0.0
    kinds = {(job.rule, "cuda" if job.device.startswith("cuda") else "cpu") for job in jobs}
    return Forecast(
        study.config.study,
        stages,
        [name for name, size in known.items() if size is None],
        sorted(f"{rule} on {device}" for rule, device in kinds - set(scale.factors)),
        len(here),
        errors(past),
        cores,
        there,
        # Neither all the cores nor all the memory can be more than full.
        max(sum(serial) / cores, held, max(serial, default=0.0)) if cores else None,
    )


def past_jobs(directory: Path) -> dict[str, list[cost.Past]]:
    """Study -> its jobs that have run here: the first hundred of each rule, which are enough."""
    found = {}
    for name in studies(directory):
        try:
            jobs = read_jobs(jobs_file(directory, name))
        except UserError:
            continue
        of_rules: dict[str, list[Job]] = {}
        for job in jobs:
            of_rules.setdefault(job.rule, []).append(job)
        first = [job for each in of_rules.values() for job in each[:_ENOUGH]]
        runs = [cost.past_job(job, directory) for job in first]
        if here := [run for run in runs if run is not None]:
            found[name] = here
    return found


def errors(past: Mapping[str, Sequence[cost.Past]]) -> list[Error]:
    """The estimate of each past study, from the other studies' jobs alone where there are any."""
    found = []
    for name, runs in past.items():
        mine = {run.job.folder for run in runs}
        others = [
            run for other, theirs in past.items() if other != name for run in theirs
            if run.job.folder not in mine
        ]  # fmt: skip
        scale = cost.Scale(others or runs, cost.speed())
        estimated = sum(scale.seconds(run.job) for run in runs) / 3600
        actual = sum(run.seconds for run in runs) / 3600
        found.append(Error(name, estimated, actual, bool(others)))
    return found


def _reasons(line: Sequence[str]) -> dict[str, str]:
    """Folder of a job that would run -> why, in a few words."""
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        logger = ["--logger", "cold-neurons", "--logger-cold-neurons-path", str(events)]
        done = subprocess.run(
            [*line, "--dry-run", *logger], capture_output=True, text=True, check=False,
            env=os.environ,
        )  # fmt: skip
        if done.returncode:
            raise UserError(f"Snakemake refuses the study:\n{(done.stdout + done.stderr)[-2000:]}")
        run = last_run(events)
    return {job.folder: _why(job.reason) for job in run.running.values()} if run else {}


def _why(reason: str) -> str:
    first = reason.partition(":")[0].partition(";")[0].strip()
    return first[:1].lower() + first[1:]
