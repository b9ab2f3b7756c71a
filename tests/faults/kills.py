"""Kill a running study, run the same command again, compare every byte: `make faults`.

One trial starts the launcher on the tiny study, sends SIGKILL at a random moment of one stage to
the launcher alone, to one job alone (the process that Snakemake started, or the fork that works for
it) or to the whole process group, and runs the same command again.
It holds when the artifacts are those of an undisturbed run, a dry run finds nothing to do, and no
half-written file is left. To reach late stages soon, a trial starts from a copy of a work folder in
which the stages before have run undisturbed.

Whom, where and how far into the stage are drawn from the seed; what the kill then meets is up to
the machine.
"""

import argparse
import contextlib
import csv
import dataclasses
import itertools
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from pipeline.report.readme import between
from tests.conftest import PROJECT, Copy, copied

FAULTS = {
    "launcher": "the launcher alone",
    "job": "one job alone",
    "group": "the whole process group",
}
_SCRIPT = re.compile(r"/\.snakemake/scripts/tmp\w+\.(\w+)\.py$")
_SERVER = "pipeline.running.forkserver"
#: Seconds, far above what a tiny study takes; a run that hangs is a failure with a name.
_PATIENCE = 300
_ATTEMPTS = 5


@dataclasses.dataclass(frozen=True)
class Aim:
    """What a trial is to do; `fraction` is how far into the stage the kill falls, from 0 to 1."""

    seed: str
    stage: str
    fault: str
    fraction: float


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of one. `moment` is in seconds after the launcher's start; `running` are the rules
    whose jobs ran when the kill fell."""

    seed: str
    stage: str
    fault: str
    moment: float
    running: list[str]
    identical: bool
    planned_nothing: bool
    half_written: list[str]
    seconds: float
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether the second run ended as an undisturbed one does."""
        return self.identical and self.planned_nothing and not self.half_written


def aims(stages: Sequence[str], seed: int) -> Iterator[Aim]:
    """Endless aims; each pair of stage and fault comes once before any comes again."""
    pairs = list(itertools.product(sorted(stages), FAULTS))
    for turn in itertools.count():
        random.Random(f"{seed}/{turn}").shuffle(pairs)
        for number, (stage, fault) in enumerate(pairs, turn * len(pairs)):
            name = f"{seed}/{number}"
            yield Aim(name, stage, fault, random.Random(f"{name}/moment").random())


class Range:
    """An undisturbed tiny study, and work folders in which it has run up to before a stage."""

    def __init__(self, undisturbed: Copy, folder: Path) -> None:
        self._folder = folder
        self._undisturbed = undisturbed
        self.expected = undisturbed.artifacts()
        timing = undisturbed.work / "results" / "timing"
        jobs: dict[str, list[Path]] = {}
        for path in timing.rglob("*.tsv"):
            jobs.setdefault(path.relative_to(timing).parts[1].removesuffix(".tsv"), []).append(path)
        # What ended first waits for nothing that ended later.
        self.stages = sorted(jobs, key=lambda rule: min(p.stat().st_mtime_ns for p in jobs[rule]))
        self._spans = {rule: _seconds(paths) for rule, paths in jobs.items()}
        self._states: dict[str, Path] = {}

    def prepare(self, stages: Sequence[str]) -> None:
        """Make the states that trials of `stages` start from, each from the one before."""
        state = self._folder / "states" / "nothing"
        state.mkdir(parents=True)
        done = 0
        for number, stage in enumerate(self.stages):
            if stage not in stages:
                continue
            if number > done:
                state = self._copy(state, self._folder / "states" / stage)
                Copy(self._undisturbed.folder, state).run("--until", *self.stages[done:number])
                done = number
            self._states[stage] = state

    def trial(self, aim: Aim) -> Trial:
        """Kill as aimed and run the same command again; the folder is kept when it does not hold.

        A launcher that ends before the moment gives another try, at half the time.
        """
        begun = time.monotonic()
        for attempt in range(_ATTEMPTS):
            work = self._folder / aim.seed.replace("/", "-")
            copy = Copy(self._undisturbed.folder, self._copy(self._states[aim.stage], work))
            delay = aim.fraction * self._spans[aim.stage] / 2**attempt
            if met := _kill(copy, aim, delay):
                break
            shutil.rmtree(work)
        else:
            raise RuntimeError(f"{aim}: the launcher ended before the kill, {_ATTEMPTS} times")
        problem = _finish(copy)
        found = copy.artifacts()
        trial = Trial(
            aim.seed, aim.stage, aim.fault, *met,
            identical=not problem and found == self.expected,
            planned_nothing=not problem and copy.planned() == {},
            half_written=sorted(path.name for path in work.glob("results/**/.*.partial")),
            seconds=time.monotonic() - begun,
            problem=problem or _difference(found, self.expected),
        )  # fmt: skip
        if trial.holds:
            shutil.rmtree(work)
        return trial

    def _copy(self, source: Path, target: Path) -> Path:
        # Times and Snakemake's records are part of a state.
        return shutil.copytree(source, target, copy_function=shutil.copy2, symlinks=True)


def _seconds(benchmarks: Sequence[Path]) -> float:
    """How long a stage's jobs take together on this machine's cores."""
    total = 0.0
    for path in benchmarks:
        with open(path, newline="") as stream:
            total += sum(float(row["s"]) for row in csv.DictReader(stream, delimiter="\t"))
    return total / min(len(benchmarks), os.cpu_count() or 1)


@contextlib.contextmanager
def _launched(copy: Copy) -> Iterator[subprocess.Popen[bytes]]:
    """The launcher in a session of its own, of which nothing is left afterwards."""
    with open(copy.work / "launcher.log", "ab") as log:
        process = subprocess.Popen(
            copy.command(), env=copy.environment, cwd=copy.work, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _kill(copy: Copy, aim: Aim, delay: float) -> tuple[float, list[str]] | None:
    """(moment, rules that ran) of a kill `delay` seconds into the stage; None when it came late."""
    start = time.monotonic()
    with _launched(copy) as launcher:
        above = psutil.Process(launcher.pid)
        begun = None
        while launcher.poll() is None and time.monotonic() - start < _PATIENCE:
            jobs = _jobs(above)
            if begun is None and aim.stage in jobs.values():
                begun = time.monotonic()
            if begun is not None and time.monotonic() >= begun + delay:
                if aim.fault != "job":
                    break
                if jobs:
                    break
            time.sleep(0.01)
        if launcher.poll() is not None:
            return None
        moment = time.monotonic() - start
        if aim.fault == "launcher":
            launcher.kill()
        elif aim.fault == "group":
            os.killpg(launcher.pid, signal.SIGKILL)
        else:
            either = sorted({*jobs, *_forks(above)}, key=lambda process: process.pid)
            victim = random.Random(f"{aim.seed}/victim").choice(either)
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        launcher.wait(_PATIENCE)
        return round(moment, 3), sorted(jobs.values())


def _jobs(launcher: psutil.Process) -> dict[psutil.Process, str]:
    """Processes below the launcher that run a workflow script, with their rules."""
    found = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in launcher.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                for word in process.cmdline()[1:2]:
                    if script := _SCRIPT.search(word):
                        found[process] = script[1]
    return found


def _forks(launcher: psutil.Process) -> set[psutil.Process]:
    """Processes that work for a job in the place of the one that was started for it."""
    found = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in launcher.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                # The server's own parent is the launcher.
                if all(_SERVER in each.cmdline() for each in (process, process.parent())):
                    found.add(process)
    return found


def _finish(copy: Copy) -> str:
    """Run the same command to its end; what went wrong, or an empty text."""
    with _launched(copy) as launcher:
        try:
            code = launcher.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return f"the second run did not end within {_PATIENCE} s"
    return f"the second run ended with {code}" if code else ""


def _difference(found: dict[str, bytes], expected: dict[str, bytes]) -> str:
    """Names of artifacts that are missing, surplus or different."""
    names = sorted(found.keys() | expected.keys())
    return ", ".join(name for name in names if found.get(name) != expected.get(name))


def table(trials: Sequence[Trial], stages: Sequence[str]) -> str:
    """Markdown: for each stage and fault, how many trials of how many held."""
    rows = [["killed", *FAULTS.values()], ["---"] * (len(FAULTS) + 1)]
    for stage in [*stages, "all"]:
        row = [f"during `{stage}`" if stage != "all" else "in all"]
        for fault in FAULTS:
            own = [t for t in trials if t.fault == fault and stage in (t.stage, "all")]
            row.append(f"{sum(t.holds for t in own)} of {len(own)}" if own else "")
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def setting() -> str:
    """The processor and the versions that trials ran on, in one line."""
    with open("/proc/cpuinfo", encoding="utf-8") as stream:
        names = re.findall(r"^model name\s*: (.*)$", stream.read(), re.M)
    versions = ", ".join(f"{name} {version(name)}" for name in ("snakemake", "torch"))
    return (
        f"{os.cpu_count()} cores ({names[0] if names else platform.machine()}), "
        f"{platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, {versions}"
    )


def _recorded(path: Path) -> dict[str, Trial]:
    """Trials of an earlier run, by their seeds."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {trial.seed: trial for trial in (Trial(**json.loads(line)) for line in lines)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials, write them as JSON lines and the page's table; 1 when one does not hold.

    Trials that the file of lines holds already are not run again, so this goes on where it stopped.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=PROJECT / "results/faults/kills.jsonl")
    parser.add_argument("--page", type=Path, default=PROJECT / "docs/faults.md")
    given = parser.parse_args(arguments)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        trials, stages = _tried(folder, given.trials, given.seed, given.out)
    except BaseException:
        shutil.rmtree(folder)
        raise
    held = sum(trial.holds for trial in trials)
    mean = sum(trial.seconds for trial in trials) / len(trials)
    text = (
        f"{table(trials, stages)}\n\n"
        f"{held} of {len(trials)} runs, killed and started again, ended as an undisturbed one "
        f"(seed {given.seed}). {setting()}."
    )
    page = given.page.read_text(encoding="utf-8")
    given.page.write_text(between(page, "kills", text), encoding="utf-8")
    sys.stdout.write(f"{held} of {len(trials)} held; {mean:.1f} s a trial\n")
    if held < len(trials):
        sys.stdout.write(f"work folders of the others: {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


def _tried(folder: Path, number: int, seed: int, out: Path) -> tuple[list[Trial], list[str]]:
    """(`number` trials, names of the stages); work is done in `folder`, `out` is gone on with."""
    undisturbed = copied(folder)
    undisturbed.run()
    ground = Range(undisturbed, folder)
    ground.prepare(ground.stages)
    recorded = _recorded(out)
    trials = []
    with open(out, "a", encoding="utf-8") as stream:
        for aim in itertools.islice(aims(ground.stages, seed), number):
            if aim.seed in recorded:
                trials.append(recorded[aim.seed])
                continue
            trial = ground.trial(aim)
            trials.append(trial)
            stream.write(json.dumps(dataclasses.asdict(trial)) + "\n")
            stream.flush()
            outcome = "identical" if trial.holds else f"NOT AS UNDISTURBED: {trial}"
            sys.stdout.write(
                f"{len(trials)}/{number} {aim.stage}, {FAULTS[aim.fault]}, "
                f"{trial.moment:.1f} s: {outcome} ({trial.seconds:.0f} s)\n"
            )
            sys.stdout.flush()
    return trials, ground.stages


if __name__ == "__main__":
    sys.exit(main())
