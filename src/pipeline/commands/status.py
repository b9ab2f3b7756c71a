"""How far a study is: what is done, running, failed, and how long the rest will take."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.commands.plan import past_jobs
from pipeline.errors import UserError
from pipeline.planning import cost
from pipeline.planning.jobs import Job, read_jobs
from pipeline.planning.outdated import Outdated, sentences
from pipeline.planning.stages import STAGES
from pipeline.running import slurm
from pipeline.running.events import Run, Running, events_file, last_run
from pipeline.running.lock import holder, jobs_run
from pipeline.tables.jobs import jobs_file

_LOG_LINES = 5


@dataclass(frozen=True)
class Status:
    """`state` is running, finished, failed, outdated or stopped; seconds are of wall time, and
    `seconds_left` is None when nothing runs. On a cluster a submitted job counts as running;
    `pending` is how many submissions, of one job or several, wait in its queue. `orphans` is true
    while jobs of a stopped run are still at work, `changed` is how many jobs differ between the
    configuration now and when the study was started, `outdated` says in sentences which results a
    run would make again, and `unread` is how many lines of the last run's events cannot be read."""

    study: str
    state: str
    stages: dict[str, dict[str, int]]
    running: list[dict[str, Any]]
    failed: list[dict[str, Any]]
    seconds_left: float | None
    pending: int = 0
    orphans: bool = False
    changed: int = 0
    outdated: list[str] = field(default_factory=list)
    unread: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dict(vars(self))


def status(
    study: str,
    directory: Path,
    now: float,
    configured: Mapping[str, str] | None = None,
    outdated: Sequence[Outdated] = (),
) -> Status:
    """The state of a study as it was last started in `directory`; `now` in seconds since the epoch,
    `configured` the identities that its folders would have now, `outdated` what is there and would
    be made again, which does not count as done.

    Raises UserError when it has not been started.
    """
    path = jobs_file(directory, study)
    if not path.is_file():
        raise UserError(
            f"no study {study!r} has been started in {directory}; `run` with the same options "
            "starts it; --directory says where the results of another run are"
        )
    jobs = read_jobs(path)
    run = last_run(events_file(directory, study)) or Run()
    at_work = holder(directory / "results")
    alive = at_work is not None and at_work.study == study
    queue = slurm.queued(directory, or_none=True) if alive else []
    running = run.running if alive else {}
    again = {one.folder for one in outdated}
    made = {job.folder for job in jobs if job.folder not in again and _made(job, directory)}
    counts = _counts(jobs, running, run, made)
    left = {rule: each["jobs"] - each["done"] for rule, each in counts.items()}
    return Status(
        study,
        _state(alive, run, not any(left.values()), bool(outdated)),
        counts,
        [_told(job, directory) | {"seconds": now - job.time} for job in running.values()],
        [
            _told(job, directory) | {"last_lines": _last_lines(directory / job.log)}
            for job in run.failed.values()
        ],
        _left(jobs, left, running, run, directory, now) if alive else None,
        sum(job.pending for job in queue),
        # Another study's launcher has jobs of its own.
        at_work is None and jobs_run(directory / "results"),
        _changed(jobs, configured) if configured is not None else 0,
        sentences(outdated),
        run.unread,
    )


def _changed(jobs: Sequence[Job], configured: Mapping[str, str]) -> int:
    started = {job.folder: job.identity for job in jobs}
    folders = started.keys() | configured.keys()
    return sum(started.get(folder) != configured.get(folder) for folder in folders)


def _state(alive: bool, run: Run, complete: bool, outdated: bool) -> str:
    if alive:
        return "running"
    if complete:
        return "finished"
    if run.failed:
        return "failed"
    return "outdated" if outdated else "stopped"


def _made(job: Job, directory: Path) -> bool:
    return all((directory / file).is_file() for file in job.files)


def _counts(
    jobs: Sequence[Job], running: Mapping[int, Running], run: Run, made: Collection[str]
) -> dict[str, dict[str, int]]:
    """Rule -> jobs, done, running and failed ones.

    Done are jobs whose folders are `made`, except those that the last run found outdated and has
    not made again. Shards that have been removed count as done once the result that they were for
    is there.
    """
    whole = {job.rule for job in jobs} - {job.rule for job in jobs if job.folder not in made}
    found: dict[str, Counter[str]] = {}
    for job in jobs:
        found.setdefault(job.rule, Counter(jobs=0, done=0, running=0, failed=0)).update(
            jobs=1,
            done=int(job.folder in made or STAGES[job.rule].serves in whole),
            failed=int(job.folder in run.failed),
        )
    finished = Counter(job.rule for job, _ in run.finished)
    for rule, counts in found.items():
        outdated = run.planned.get(rule, 0) - finished[rule]
        counts["done"] = max(0, min(counts["done"], counts["jobs"] - outdated))
    for active in running.values():
        if active.rule in found:
            found[active.rule]["running"] += 1
    return {rule: dict(counts) for rule, counts in found.items()}


def _left(
    jobs: Sequence[Job],
    left: Mapping[str, int],
    running: Mapping[int, Running],
    run: Run,
    directory: Path,
    now: float,
) -> float:
    """Seconds until all is done, with as many jobs at once as this run has had; all jobs of a rule
    are taken to last equally long."""
    past = {one.job.folder: one for runs in past_jobs(directory).values() for one in runs}
    scale = cost.Scale(past.values(), cost.speed())
    total = 0.0
    for rule, number in left.items():
        seconds = [scale.seconds(job) for job in jobs if job.rule == rule]
        each = sum(seconds) / len(seconds)
        begun = sum(min(each, now - job.time) for job in running.values() if job.rule == rule)
        total += max(0.0, number * each - begun)
    return total / run.most_at_once


def _told(job: Running, directory: Path) -> dict[str, Any]:
    return {"rule": job.rule, "folder": job.folder, "log": str(directory / job.log)}


def _last_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-_LOG_LINES:]
