"""What jobs cost: seconds, memory and disk.

A rule's seconds are a start, a time per token or row, and the model's arithmetic at the machine's
speed. The constants were measured once (resources/cost.json, by benchmarks/cost.py); for a rule
that never ran there, the table of stages assumes some. A machine's own past jobs then scale each
rule: actual over estimated seconds, summed over all of them. So the form of the estimate carries
over from small models to large ones, and its scale comes from the machine at hand.
"""

import csv
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.planning.jobs import Job
from pipeline.planning.stages import STAGES
from pipeline.store.artifacts import check_identity
from pipeline.store.digest import SOURCE_ROOT

CONSTANTS = SOURCE_ROOT.parent / "resources" / "cost.json"
#: FLOP/s assumed of a GPU on which nothing has run yet.
GPU_SPEED = 2e13
#: Share of a core's matrix speed that a model's forward pass reaches.
EFFICIENCY = 0.9
#: Prints the speed of one core.
_MEASURE = """
import time
import numpy as np
side, best = 512, float("inf")
matrix = np.ones((side, side), dtype=np.float32)
for _ in range(40):
    begin = time.process_time()
    matrix @ matrix
    best = min(best, time.process_time() - begin)
print(2 * side**3 / best)
"""
_MEGABYTE = 1e6
#: Memory of a process without and with torch and other heavy libraries, in megabytes.
_PLAIN, _HEAVY = 450, 900
#: Factors by which requests exceed the estimates, of memory and of time.
_MARGIN, _PATIENCE = 1.3, 4
_LEAST_MINUTES = 10
_SLOW_CORE = 2e10


@dataclass(frozen=True)
class Past:
    """A job that has run, with its time and memory."""

    job: Job
    seconds: float
    megabytes: float
    bytes: int


@cache
def constants() -> Mapping[str, Mapping[str, float]]:
    """Rule -> start (s), token (s), row (s), bytes_a_row: as measured once, or else as the table of
    stages supposes."""
    supposed = {rule: stage.cost.as_dict() for rule, stage in STAGES.items()}
    measured: Mapping[str, Mapping[str, float]] = json.loads(CONSTANTS.read_text())["rules"]
    return {**supposed, **measured}


@cache
def speed() -> float:
    """FLOP/s of one core here in float32 matrix products: the best of many short tries, by the
    processor's time, since others may be at work.

    Measured in a process of its own, since a library that is loaded already keeps its threads, and
    threads that wait for one another on busy cores take many times as long.
    """
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    line = [sys.executable, "-c", _MEASURE]
    done = subprocess.run(line, env=os.environ | single, capture_output=True, text=True, check=True)
    return float(done.stdout)


def modelled_seconds(job: Job, flops_a_second: float) -> float:
    """Seconds by the constants alone; `flops_a_second` of a CPU core."""
    rule = constants()[job.rule]
    reached = GPU_SPEED if job.device.startswith("cuda") else EFFICIENCY * flops_a_second
    worked = job.tokens * rule["token"] + job.rows * rule["row"]
    return rule["start"] + worked + job.flops / reached


def memory_megabytes(job: Job) -> float:
    """Peak memory of the process: a fixed part, the weights, one batch and the tables."""
    fixed = _HEAVY if STAGES[job.rule].heavy else _PLAIN
    tables = 400 * job.rows / _MEGABYTE
    # Weight files are mapped, so loading takes no second copy that the system could not drop.
    weights = job.weight_bytes / _MEGABYTE
    return fixed + weights + job.batch_bytes / _MEGABYTE + tables


def asked_megabytes(job: Job, attempt: int) -> int:
    """Memory to ask a cluster for, in megabytes; as much again at each further attempt."""
    return attempt * round(_MARGIN * memory_megabytes(job))


def asked_minutes(job: Job, attempt: int) -> int:
    """Run time to ask a cluster for, in minutes, at a slow core's speed; as much again at each
    further attempt."""
    return attempt * round(_LEAST_MINUTES + _PATIENCE * modelled_seconds(job, _SLOW_CORE) / 60)


class Scale:
    """Estimates for a machine, scaled by the times of its past jobs."""

    def __init__(self, past: Iterable[Past], flops_a_second: float) -> None:
        self.speed = flops_a_second
        taken: dict[tuple[str, str], float] = defaultdict(float)
        modelled: dict[tuple[str, str], float] = defaultdict(float)
        kept: dict[str, float] = defaultdict(float)
        rows: dict[str, float] = defaultdict(float)
        for run in past:
            kind = _rule(run.job), _kind(run.job.device)
            taken[kind] += run.seconds
            modelled[kind] += modelled_seconds(run.job, self.speed)
            kept[_rule(run.job)] += max(0, run.bytes - run.job.disk)
            rows[_rule(run.job)] += max(1, run.job.rows)
        self.factors = {kind: taken[kind] / modelled[kind] for kind in taken}
        self.whole = {
            device: sum(v for k, v in taken.items() if k[1] == device)
            / sum(v for k, v in modelled.items() if k[1] == device)
            for device in {kind[1] for kind in taken}
        }
        self.bytes_a_row = {rule: kept[rule] / rows[rule] for rule in kept}

    def seconds(self, job: Job) -> float:
        """Seconds of a job; where its rule has never run on such a device here, the other rules'
        factor, or else the constants."""
        device = _kind(job.device)
        factor = self.factors.get((_rule(job), device), self.whole.get(device, 1.0))
        return factor * modelled_seconds(job, self.speed)

    def bytes(self, job: Job) -> float:
        """Bytes of a job's artifacts on disk."""
        each = self.bytes_a_row.get(_rule(job), constants()[job.rule]["bytes_a_row"])
        return job.disk + each * max(1, job.rows)


def past_job(job: Job, directory: Path) -> Past | None:
    """A past job's cost, from its timing and artifacts; None when it has not run, or when it would
    make something else now."""
    try:
        check_identity(directory / job.files[0], job.identity)
        with open(directory / job.timing, encoding="utf-8") as stream:
            row = list(csv.DictReader(stream, delimiter="\t"))[-1]
        seconds = float(row["s"])
        kept = sum(path.stat().st_size for path in (directory / job.folder).iterdir())
    except (OSError, LookupError, ValueError, TypeError, csv.Error):
        return None
    measured = (row.get("max_rss") or "").replace(".", "", 1).isdigit()
    return Past(job, seconds, float(row["max_rss"]) if measured else 0.0, kept)


def _rule(job: Job) -> str:
    """The group of jobs that a job is scaled with: its rule, or a group of its own for a job that
    puts shards together."""
    return f"{job.rule}, merging" if job.merges else job.rule


def _kind(device: str) -> str:
    return "cuda" if device.startswith("cuda") else "cpu"
