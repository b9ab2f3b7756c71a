"""The events of runs, as Snakemake reported them: one JSON object per line, in the order of
time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


def events_file(directory: Path, study: str) -> Path:
    """Where the events of a study's runs go."""
    return directory / "results" / "logs" / study / "events.jsonl"


@dataclass
class Running:
    """A job that has begun; `time` in seconds since the epoch."""

    rule: str
    folder: str
    log: str
    time: float
    reason: str


@dataclass
class Run:
    """What one run has done so far. `planned` are jobs by rule; `failed` holds each failed job's
    last try, but no jobs that ended because the user interrupted the run; `unread` counts the lines
    that are not events."""

    begun: float = 0.0
    last: float = 0.0
    planned: dict[str, int] = field(default_factory=dict)
    running: dict[int, Running] = field(default_factory=dict)
    finished: list[tuple[Running, float]] = field(default_factory=list)
    failed: dict[str, Running] = field(default_factory=dict)
    most_at_once: int = 1
    interrupted: bool = False
    failed_at: dict[str, float] = field(default_factory=dict)
    unread: int = 0


def last_run(path: Path) -> Run | None:
    """The last run in a file of events; None when there is none.

    Lines that are not events are skipped and counted.
    """
    run, unread = None, 0
    for line in _lines(path):
        try:
            event = json.loads(line)
            if event["event"] == "workflow_started":
                run, unread = Run(begun=float(event["time"])), 0
            if run is not None:
                _add(run, event)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            unread += 1
    if run is None and not unread:
        return None
    return replace(run or Run(), unread=unread)


def _add(run: Run, event: dict[str, Any]) -> None:
    run.last = float(event["time"])
    kind = event["event"]
    if kind == "run_info":
        run.planned = {rule: int(n) for rule, n in event["jobs"].items() if rule not in _NOT_JOBS}
    elif kind == "job_info" and event["rule"] not in _NOT_JOBS:
        log = event["log"][0] if event["log"] else ""
        rule, folder = str(event["rule"]), str(event["folder"])
        job = Running(rule, folder, str(log), run.last, str(event["reason"]))
        run.running[int(event["job"])] = job
        run.failed.pop(job.folder, None)
        run.most_at_once = max(run.most_at_once, len(run.running))
    elif kind in ("job_finished", "job_error") and event["job"] in run.running:
        job = run.running.pop(event["job"])
        if kind == "job_finished":
            run.finished.append((job, run.last - job.time))
        elif not run.interrupted:
            run.failed[job.folder] = job
            run.failed_at[job.folder] = run.last
    elif kind == "interrupted":
        run.interrupted = True
        # An interrupt reaches the jobs as soon as it reaches Snakemake.
        just_now = [f for f, time in run.failed_at.items() if time > run.last - _AT_ONCE]
        for folder in just_now:
            run.failed.pop(folder, None)


_NOT_JOBS = ("all", "total")
#: Seconds within which an interrupt and the failures that it causes are reported.
_AT_ONCE = 5.0


def _lines(path: Path) -> Iterator[str]:
    """The complete lines; one without an end, for instance because a kill cut it off, is left
    out."""
    if not path.is_file():
        return
    with open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.endswith("\n") and line.strip():
                yield line
