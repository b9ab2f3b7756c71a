"""From a Snakemake job to a typed call: the only bridge between rules and scripts."""

import contextlib
import inspect
import io
import os
import sys
import time
import traceback
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import forkserver
from pipeline.artifacts import Manifest, check_identity, input_digests, write_text
from pipeline.config.base import Section
from pipeline.errors import UserError, unwritable
from pipeline.tables.jobs import JOBS, jobs_file

#: Params that say how a job is run or keyed, and are no part of what its artifact is.
_NOT_CONFIG = ("source", "seed", "conditions")
#: Key of the workflow's configuration under which the places of local files are, by name. They are
#: no params: where a file lies changes no result, so it must rerun nothing and enter no manifest.
PLACES = "places"
#: Inputs of this name are pieces of one whole; how it was divided is no fact of the result.
_PIECES = "_shards"
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
        # Snakemake says it once for all jobs.
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
    said = f"{rule} was killed, perhaps for want of memory"
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
    """True for a job that imports what models need and counts on one thread, with no model on a
    GPU: what a driver has opened does not outlive a fork."""
    params = dict(snakemake.params.items())
    model = params.get("model")
    on_cpu = not isinstance(model, dict) or model.get("device", "cpu") == "cpu"
    heavy = {"torch", "transformers"} & set(params.get("source", {}).get("libraries", ()))
    return on_cpu and snakemake.threads == 1 and bool(heavy)


def _write_timing(log: Path, ended: forkserver.Ended) -> None:
    """What a job took from its process' start on: seconds, most megabytes held, core seconds, those
    of the process that waited for a fork included; to results/timing what is logged in
    results/logs."""
    parts = list(log.with_suffix(".tsv").parts)
    if "logs" not in parts:
        return
    parts[parts.index("logs")] = "timing"
    own = forkserver.usage()[1]
    row = (_seconds_alive(), ended.memory / 2**20, ended.processor + own)
    # The job's artifacts are complete, and a disk that is full is told of by the next one.
    with contextlib.suppress(OSError, UserError):
        Path(*parts).parent.mkdir(parents=True, exist_ok=True)
        figures = "\t".join(f"{figure:.2f}" for figure in row)
        write_text(Path(*parts), f"s\tmax_rss\tcpu_time\n{figures}\n")


def _seconds_alive() -> float:
    """Seconds since this process started; where there is no /proc, since it came to be known."""
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
        main(**arguments(main, snakemake))
    except Exception as error:
        told = unwritable(getattr(error, "filename", None) or log or "the results", error)
        if isinstance(error, UserError) or told:
            _fail(terminal, f"{snakemake.rule}: {told or error}")
        with contextlib.suppress(OSError):
            traceback.print_exc()
        _fail(terminal, f"{snakemake.rule} failed; its log: {log or 'above'}")


def check_inputs(snakemake: Any) -> None:
    """Raise UserError for an input that is the artifact of another condition or study."""
    for path in snakemake.input:
        if identity := _identity(path, snakemake):
            check_identity(Path(path), identity)


def _identity(path: str, snakemake: Any) -> str | None:
    """What the artifact at a path has to be, by the study's jobs.json; None for what is no
    study's. Not by params: thousands of jobs would each have to work theirs out."""
    study = snakemake.config.get("study")
    return _identities(study).get(str(Path(path).parent)) if study else None


@cache
def _identities(study: str) -> dict[str, str]:
    jobs = JOBS.read(jobs_file(Path(), study))["jobs"]
    return {folder: job["identity"] for folder, job in jobs.items()}


def arguments(main: Callable[..., None], snakemake: Any) -> dict[str, Any]:
    """Keywords for `main` from a job; inputs shadow outputs, params and wildcards in that order."""
    named: dict[str, Any] = {
        **dict(snakemake.wildcards.items()),
        **dict(snakemake.params.items()),
        **dict(snakemake.output.items()),
        **dict(snakemake.input.items()),
        "threads": snakemake.threads,
    }
    hints = typing.get_type_hints(main)
    values = {}
    for name in inspect.signature(main).parameters:
        if hints[name] is Manifest:
            values[name] = manifest(snakemake)
        elif name in named:
            value = _placed(named[name], snakemake.config.get(PLACES, {}))
            values[name] = _cast(value, hints[name], name)
        else:
            raise TypeError(f"rule {snakemake.rule} names no {name!r}; it has {sorted(named)}")
    return values


def _placed(value: Any, places: Mapping[str, str]) -> Any:
    """`value` with the names of local places in it replaced by the places."""
    if isinstance(value, str):
        return places.get(value, value)
    if isinstance(value, dict):
        return {key: _placed(inner, places) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_placed(inner, places) for inner in value]
    return value


def manifest(snakemake: Any) -> Manifest:
    """The manifest of a job's outputs."""
    params = dict(snakemake.params.items())
    files = {
        name if isinstance(value, str) else f"{name}.{index}": Path(path)
        for name, value in snakemake.input.items()
        if not name.endswith(_PIECES)
        for index, path in enumerate([value] if isinstance(value, str) else value)
    }
    model = params.get("model")
    outputs = list(snakemake.output)
    return Manifest(
        rule=snakemake.rule,
        source=params["source"]["digest"],
        config={k: _plain(v) for k, v in params.items() if k not in _NOT_CONFIG},
        inputs=input_digests(files),
        versions=params["source"]["libraries"],
        seed=params.get("seed"),
        device=model.get("device", "cpu") if isinstance(model, dict) else "cpu",
        dtype=model.get("dtype") if isinstance(model, dict) else None,
        identity=_identity(outputs[0], snakemake) if outputs else None,
    )


def _cast(value: Any, hint: Any, name: str) -> Any:
    """`value` as the annotation says; TypeError names the keyword when it does not fit."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or value is None:
        return value
    if origin is types.UnionType:
        (hint,) = (kind for kind in inner if kind is not type(None))
        return _cast(value, hint, name)
    if origin is list:
        items = [value] if isinstance(value, str) else list(value)
        return [_cast(item, inner[0], name) for item in items]
    if origin is dict or hint is dict:
        return dict(value)
    if isinstance(hint, type) and issubclass(hint, Section):
        return hint.model_validate(value)
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise TypeError(f"{name}: {value!r} is no bool")
    if hint in (Path, int, float, str):
        try:
            return hint(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: {value!r} is no {hint.__name__}") from error
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


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
    # The log may be on the disk that is full.
    with contextlib.suppress(OSError):
        sys.stderr.write(message + "\n")
    sys.exit(1)
