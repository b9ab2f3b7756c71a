"""Runs a script for a Snakemake job: forked or not, logged, timed, with its errors reported.

This module changes no result: `store.arguments` decides what the script is given.
"""

import contextlib
import io
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, unwritable
from pipeline.running import forkserver
from pipeline.store.arguments import arguments
from pipeline.store.artifacts import check_identity, write_text
from pipeline.tables.jobs import JOBS, jobs_file

_BEGUN = time.monotonic()


def job(main: Callable[..., None], snakemake: Any) -> None:
    """Call `main` with the job's named inputs, outputs, params and wildcards, cast by annotation.

    Output of the job goes to the rule's log file, and what it took to results/timing. A UserError
    ends the job with its one message instead of a traceback. Raises TypeError for a
    keyword that the rule does not name.
    """
    log = snakemake.log[0] if snakemake.log else None
    try:
        ended = _forked(main, snakemake)
        if ended is None:
            _work(main, snakemake, log)
            ended = forkserver.Ended(0, forkserver.usage()[0], 0.0)
    except KeyboardInterrupt:
        # Snakemake already says it once for all jobs.
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    if ended.code == forkserver.KILLED:
        _tell_killed(snakemake.rule, log)
    if ended.code:
        sys.exit(ended.code)
    if log and not forkserver.is_fork():
        _write_timing(Path(log), ended)


def _tell_killed(rule: str, log: str | None) -> None:
    """Say, on the terminal and in the job's log, that a fork ended without a word."""
    said = f"{rule} was killed, perhaps for lack of memory"
    sys.stderr.write(f"\nerror: {said}; its log: {log or 'above'}\n")
    if log:
        with contextlib.suppress(OSError), open(log, "a", encoding="utf-8") as stream:
            stream.write(said + "\n")


def _forked(main: Callable[..., None], snakemake: Any) -> forkserver.Ended | None:
    """How the job ended as a fork; None where it is to run in this process."""
    if not _forks(snakemake):
        return None
    return forkserver.run(main.__globals__["__file__"], snakemake)


def _forks(snakemake: Any) -> bool:
    """True for a job that imports what models need and uses one thread, with no model on a GPU,
    since what a GPU driver has opened does not survive a fork."""
    params = dict(snakemake.params.items())
    model = params.get("model")
    on_cpu = not isinstance(model, dict) or model.get("device", "cpu") == "cpu"
    heavy = {"torch", "transformers"} & set(params.get("source", {}).get("libraries", ()))
    return on_cpu and snakemake.threads == 1 and bool(heavy)


def _write_timing(log: Path, ended: forkserver.Ended) -> None:
    """Write what a job took since the start of its process (seconds, peak megabytes, core seconds,
    including those of the process that waited for a fork) to the file in results/timing that
    corresponds to its log in results/logs."""
    parts = list(log.with_suffix(".tsv").parts)
    if "logs" not in parts:
        return
    parts[parts.index("logs")] = "timing"
    own = forkserver.usage()[1]
    row = (_seconds_alive(), ended.memory / 2**20, ended.processor + own)
    # The job's artifacts are complete; if the disk is full, the next job will report it.
    with contextlib.suppress(OSError, UserError):
        Path(*parts).parent.mkdir(parents=True, exist_ok=True)
        figures = "\t".join(f"{figure:.2f}" for figure in row)
        write_text(Path(*parts), f"s\tmax_rss\tcpu_time\n{figures}\n")


def _seconds_alive() -> float:
    """Seconds since this process started; where there is no /proc, since this module was
    imported."""
    try:
        # The fields after the command's name, which may hold spaces and brackets.
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError):
        return time.monotonic() - _BEGUN


def _work(main: Callable[..., None], snakemake: Any, log: str | None) -> None:
    terminal = sys.stderr
    try:
        if log:
            terminal = _redirect(log)
        check_inputs(snakemake)
        main(**arguments(main, snakemake, own_identity(snakemake)))
    except Exception as error:
        told = unwritable(getattr(error, "filename", None) or log or "the results", error)
        if isinstance(error, UserError) or told:
            _fail(terminal, f"{snakemake.rule}: {told or error}")
        with contextlib.suppress(OSError):
            traceback.print_exc()
        _fail(terminal, f"{snakemake.rule} failed; its log: {log or 'above'}")


def check_inputs(snakemake: Any) -> None:
    """Raise UserError for an input that is the artifact of another condition or study, or not the
    one that the study's plan names for this input of the job."""
    for path in snakemake.input:
        if identity := _identity(path, snakemake):
            check_identity(Path(path), identity)
    output = next(iter(snakemake.output), None)
    asked = _planned(output, snakemake).get("inputs") if output else None
    if asked:
        _check_named(snakemake, asked)


def _check_named(snakemake: Any, asked: Mapping[str, list[str]]) -> None:
    """Raise UserError unless each named input holds the artifacts with the identities asked for, in
    their order."""
    listed = {k: [v] if isinstance(v, str) else list(v) for k, v in snakemake.input.items()}
    for name in sorted(asked.keys() | {name for name, paths in listed.items() if paths}):
        paths, identities = listed.get(name, []), asked.get(name, [])
        if len(paths) != len(identities):
            raise UserError(
                f"rule {snakemake.rule} gives {len(paths)} files as {name}, and the study's plan "
                f"asks for {len(identities)}; make the rule and planning/inputs.py agree"
            )
        for path, identity in zip(paths, identities, strict=True):
            check_identity(Path(path), identity)


def _planned(path: str, snakemake: Any) -> Mapping[str, Any]:
    """What the study's jobs.json says about the job that makes the artifact at a path; empty for an
    artifact that belongs to no study. Params do not carry this, since thousands of jobs would each
    have to compute it."""
    study = snakemake.config.get("study")
    return _jobs(study).get(str(Path(path).parent), {}) if study else {}


def own_identity(snakemake: Any) -> str | None:
    """Identity of the job's artifacts, by the study's jobs.json; None for a job that belongs to no
    study."""
    outputs = list(snakemake.output)
    return _identity(outputs[0], snakemake) if outputs else None


def _identity(path: str, snakemake: Any) -> str | None:
    """Identity that the artifact at a path must have; None for an artifact that belongs to no
    study."""
    return _planned(path, snakemake).get("identity")


@cache
def _jobs(study: str) -> Mapping[str, Mapping[str, Any]]:
    jobs: Mapping[str, Mapping[str, Any]] = JOBS.read(jobs_file(Path(), study))["jobs"]
    return jobs


def _redirect(log: str) -> Any:
    """Send standard output and error to the log file; returns the terminal's error stream."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    stream = open(log, "w", buffering=1)  # noqa: SIM115 - lives as long as the process
    terminal = os.fdopen(os.dup(2), "w")
    sys.stdout.flush()
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    # Unbuffered: lines of both streams stand in the order in which they were written, and a log
    # that cannot be written is noticed where it is written to, not when the process ends.
    sys.stdout, sys.stderr = map(_unbuffered, (1, 2))
    return terminal


def _unbuffered(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def _fail(terminal: Any, message: str) -> None:
    terminal.write(f"\nerror: {message}\n")
    terminal.flush()
    # The log may itself be on the full disk.
    with contextlib.suppress(OSError):
        sys.stderr.write(message + "\n")
    sys.exit(1)
