"""How far a study is: what is done, running, failed, and how long the rest will take."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.runs import cost
from pipeline.runs.events import Run, Running, events_file, last_run
from pipeline.runs.jobs import Job, read_jobs
from pipeline.runs.plan import past_jobs
from pipeline.runs.unused import jobs_file

_LOG_LINES = 5


@dataclass(frozen=True)
class Status:
    """`state` is running, waiting, finished, failed or stopped; seconds are of wall time, and
    `seconds_left` is None when nothing runs."""

    study: str
    state: str
    stages: dict[str, dict[str, int]]
    running: list[dict[str, Any]]
    failed: list[dict[str, Any]]
    seconds_left: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dict(vars(self))


def status(study: str, directory: Path, now: float) -> Status:
    """The state of a study that has been started in `directory`; `now` in seconds since the epoch.

    Raises UserError when it has not.
    """
    try:
        jobs = read_jobs(jobs_file(directory, study))
    except UserError as error:
        raise UserError(f"no study {study!r} has been started in {directory}: {error}") from None
    run = last_run(events_file(directory, study)) or Run()
    holder = lock_holder(directory)
    alive = holder == study
    done = {job.folder for job in jobs if _made(job, directory)}
    running = run.running if alive else {}
    done -= {job.folder for job in running.values()}
    state = _state(alive, holder, run, len(done) == len(jobs))
    return Status(
        study,
        state,
        _stages(jobs, done, running, run),
        [_told(job, directory) | {"seconds": now - job.time} for job in running.values()],
        [
            _told(job, directory) | {"last_lines": _last_lines(directory / job.log)}
            for job in run.failed.values()
            if job.folder not in done
        ],
        _left(jobs, done, running, run, directory, now) if alive else None,
    )


def lock_holder(directory: Path) -> str | None:
    """The study whose launcher is at work in the results folder; None when there is none."""
    path = directory / "results" / ".lock"
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["study"])
        except (ValueError, KeyError):
            return ""
    finally:
        os.close(descriptor)
    return None


def _state(alive: bool, holder: str | None, run: Run, complete: bool) -> str:
    if alive:
        return "running"
    if complete:
        return "finished"
    return "failed" if run.failed else "stopped"


def _made(job: Job, directory: Path) -> bool:
    return all((directory / file).is_file() for file in job.files)


def _stages(
    jobs: list[Job], done: set[str], running: Mapping[int, Running], run: Run
) -> dict[str, dict[str, int]]:
    """Rule -> jobs, done, running and failed ones. A shard counts as done with what it was for."""
    found: dict[str, Counter[str]] = {}
    for job in jobs:
        found.setdefault(job.rule, Counter(jobs=0, done=0, running=0, failed=0)).update(
            jobs=1,
            done=int(job.folder in done),
            failed=int(job.folder in run.failed and job.folder not in done),
        )
    for active in running.values():
        if active.rule in found:
            found[active.rule]["running"] += 1
    return {rule: dict(counts) for rule, counts in found.items()}


def _left(
    jobs: list[Job], done: set[str], running: Mapping[int, Running], run: Run, directory: Path,
    now: float,
) -> float:  # fmt: skip
    """Seconds until all is done, at as many jobs at once as this run has had."""
    past = [job for runs in past_jobs(directory).values() for job in runs]
    scale = cost.Scale(past, cost.speed())
    begun = {job.folder: job.time for job in running.values()}
    total = 0.0
    for job in jobs:
        if job.folder not in done:
            needed = scale.seconds(job)
            total += max(0.0, needed - (now - begun[job.folder] if job.folder in begun else 0.0))
    return total / run.most_at_once


def _told(job: Running, directory: Path) -> dict[str, Any]:
    return {"rule": job.rule, "folder": job.folder, "log": str(directory / job.log)}


def _last_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-_LOG_LINES:]
