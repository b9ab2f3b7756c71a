"""What a study's jobs take on a pretrained model, beside plain forward passes.

    python benchmarks/models.py DIRECTORY STUDY

DIRECTORY holds results/ of a study that has run on this machine with one model. A job's passes are
its seconds of a core, less those that every job takes to start, over those that transformers alone
takes for as many tokens as the job's work is counted as. Writes the model's rows into
benchmarks/results/models.json, and prints them with what planning had estimated.
"""

import argparse
import csv
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path

from machine import machine

from pipeline.planning import cost
from pipeline.planning.jobs import Job, read_jobs
from pipeline.planning.stages import STAGES
from pipeline.tables.jobs import jobs_file
from pipeline.tables.model import MODEL

RESULTS = Path(__file__).parent / "results" / "models.json"
_LENGTH, _SEQUENCES, _ROUNDS = 256, 8, 5


def main() -> None:
    """Measure the plain pass, read the timings, and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("study")
    given = parser.parse_args()
    jobs = read_jobs(jobs_file(given.directory, given.study))
    record = MODEL.read(
        given.directory / next(j for j in jobs if j.rule == "resolve_model").files[0]
    )
    (folder,) = {job.folder for job in jobs if job.rule == "convert_model"}
    plain = seconds_a_token(given.directory / folder, record["dtype"])
    rows = by_rule(jobs, given.directory, plain)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    facts = {name: record[name] for name in ("architecture", "parameters", "quantization", "dtype")}
    plain_pass = {"microseconds_a_token": 1e6 * plain}
    found[record["name"]] = {"machine": machine(), **facts, "plain_pass": plain_pass, "rules": rows}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    for rule, row in rows.items():
        print(rule, json.dumps(row))


def seconds_a_token(folder: Path, dtype: str) -> float:
    """Seconds of one core, by the processor's time, that the model's blocks take a token."""
    import torch
    from transformers import AutoModel

    torch.set_num_threads(1)
    model = AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    tokens = torch.randint(10, 1000, (_SEQUENCES, _LENGTH))
    times = []
    with torch.inference_mode():
        for _ in range(_ROUNDS):
            begin = time.process_time()
            model(tokens, use_cache=False)
            times.append(time.process_time() - begin)
    return statistics.median(times[1:]) / tokens.numel()


def by_rule(jobs: list[Job], directory: Path, plain: float) -> dict[str, dict[str, float]]:
    """Rule -> medians over its jobs: seconds of a core, megabytes at most, plain passes, and both
    as planning told before."""
    speed, found = cost.speed(), defaultdict(list)
    for job in jobs:
        if (directory / job.timing).is_file():
            with open(directory / job.timing, encoding="utf-8") as stream:
                row = list(csv.DictReader(stream, delimiter="\t"))[-1]
            seconds = float(row["cpu_time"])
            worked = seconds - cost.constants()[job.rule]["start"]
            found[job.rule].append(
                {
                    "core_seconds": seconds,
                    "megabytes": float(row["max_rss"]),
                    "passes": worked / (job.tokens * plain) if job.flops else 0.0,
                    "told_seconds": cost.modelled_seconds(job, speed),
                    "told_megabytes": cost.memory_megabytes(job),
                }
            )
    return {
        rule: {
            "jobs": len(rows),
            **{k: round(statistics.median(r[k] for r in rows), 2) for k in rows[0]},
        }
        for rule, rows in sorted(found.items(), key=lambda item: list(STAGES).index(item[0]))
    }


if __name__ == "__main__":
    main()
