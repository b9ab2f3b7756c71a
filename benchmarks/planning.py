"""How long it takes to plan: a large study against a bare Snakefile of as many jobs, the same with
all of it finished, and a finished default study.

    python benchmarks/planning.py [--conditions 10000] [--rounds 3] [--nothing-to-do DIRECTORY]

Writes benchmarks/results/planning.json, with the machine named.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import yaml
from machine import machine

from pipeline.config.complete import complete
from pipeline.config.study import parse_study
from pipeline.planning.stages import REPORT_FILES, STAGES
from pipeline.planning.study import Study, read_config
from pipeline.store import artifacts

PROJECT = Path(__file__).resolve().parent.parent
RESULT = PROJECT / "benchmarks" / "results" / "planning.json"
#: Jobs a condition has: its plan and its evaluation.
_JOBS = 2

#: Snakemake rests for a tenth of a second after each job that it touches, which would be an hour.
_TOUCH = """
import sys, time
time.sleep = lambda seconds: None
from snakemake.cli import main
main(sys.argv[1:])
"""

#: The same jobs, files and scripts in the same shape; no functions, params or digests.
BARE = """
N = {conditions}

rule all:
    input:
        "report.txt",

rule analyse:
    input:
        expand("evaluate/m/drop/{{n}}/0/samples.txt", n=range(N)),
        expand("evaluate/m/drop/{{n}}/0/sparsity.txt", n=range(N)),
    output:
        "report.txt",
    script:
        "../scripts/job.py"

rule prepare:
    output:
        neurons="neurons.txt",
        classes="classes.txt",
        record="model.txt",
    script:
        "../scripts/job.py"

rule fit:
    input:
        neurons="neurons.txt",
        classes="classes.txt",
    output:
        plan="fit/{{model}}/{{method}}/{{level}}/{{seed}}/plan.txt",
        arrays="fit/{{model}}/{{method}}/{{level}}/{{seed}}/arrays.txt",
    log:
        "logs/fit/{{model}}/{{method}}/{{level}}/{{seed}}.log",
    threads: 1
    resources:
        mem_mb=1000,
    script:
        "../scripts/job.py"

rule evaluate:
    input:
        record="model.txt",
        plan="fit/{{model}}/{{method}}/{{level}}/{{seed}}/plan.txt",
        arrays="fit/{{model}}/{{method}}/{{level}}/{{seed}}/arrays.txt",
    output:
        samples="evaluate/{{model}}/{{method}}/{{level}}/{{seed}}/samples.txt",
        sparsity="evaluate/{{model}}/{{method}}/{{level}}/{{seed}}/sparsity.txt",
    log:
        "logs/evaluate/{{model}}/{{method}}/{{level}}/{{seed}}.log",
    threads: 1
    resources:
        mem_mb=1000,
    script:
        "../scripts/job.py"
"""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--conditions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nothing-to-do", type=Path, help="folder with finished results/")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = large(Path(place), given.conditions, given.rounds)
    if given.nothing_to_do:
        found["nothing_to_do"] = nothing_to_do(given.nothing_to_do, given.rounds)
    found["machine"] = machine()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def large(place: Path, conditions: int, rounds: int) -> dict:
    """Dry runs of both and of the finished study, one after the other in each round; the ratios are
    those of the medians."""
    for folder in ("rules", "scripts"):
        (place / "bare" / folder).mkdir(parents=True)
    (place / "bare/scripts/job.py").touch()
    (place / "bare/rules/Snakefile").write_text(BARE.format(conditions=conditions))
    config = place / "large.yaml"
    config.write_text(yaml.safe_dump(synthetic(conditions), sort_keys=False))
    quiet = ["--dry-run", "--cores", "2", "--quiet", "all", "--nolock"]
    lines = {
        "bare": ["--snakefile", str(place / "bare/rules/Snakefile"),
                 "--directory", str(place / "bare")],
        "study": ["--snakefile", str(PROJECT / "Snakefile"), "--configfile", str(config),
                  "--directory", str(place)],
        "finished": ["--snakefile", str(PROJECT / "Snakefile"), "--configfile", str(config),
                     "--directory", str(place / "finished")],
    }  # fmt: skip
    finish(place / "finished", conditions)
    snakemake = [sys.executable, "-m", "snakemake"]
    # Snakemake notes for every file what it was made with, as it does in a run.
    timed([sys.executable, "-c", _TOUCH, *lines["finished"], "--touch", "--forceall",
           "--quiet", "all", "--cores", str(3 * conditions)])  # fmt: skip
    said = subprocess.run(
        [*snakemake, *lines["finished"], "--dry-run"], capture_output=True, text=True, check=True
    )
    if "Nothing to be done" not in said.stdout + said.stderr:
        raise ValueError(f"the large study counts as unfinished: {said.stdout[-2000:]}")
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in lines}
    for _ in range(rounds):
        for name, line in lines.items():
            runs[name].append(timed([*snakemake, *line, *quiet]))
    seconds = {name: statistics.median(s for s, _ in each) for name, each in runs.items()}
    memory = {name: max(m for _, m in each) for name, each in runs.items()}
    return {
        "conditions": conditions,
        "jobs": _JOBS * conditions,
        "rounds": rounds,
        "seconds": seconds,
        "peak_megabytes": memory,
        "ratio_of_seconds": seconds["study"] / seconds["bare"],
        "ratio_of_memory": memory["study"] / memory["bare"],
        "ratio_finished_to_empty": seconds["finished"] / seconds["study"],
    }


def synthetic(conditions: int) -> dict:
    """The tiny study with so many conditions, each a level of its own."""
    values = complete(parse_study(read_config(PROJECT / "configs/tiny.yaml")))
    levels = [round((n + 1) / (conditions + 1), 9) for n in range(conditions)]
    method = values["methods"]["drop_cold"] | {"levels": levels}
    reference = {"reference_level": levels[0]}
    return values | {
        "study": "large",
        "methods": {"drop_cold": method},
        "analysis": values["analysis"] | reference,
    }


def finish(place: Path, conditions: int) -> None:
    """All files of the large study, as a run would leave them: those of a run of one condition,
    with the manifests of the others. Their values are not theirs, which planning does not read."""
    one = place / "one.yaml"
    place.mkdir()
    one.write_text(yaml.safe_dump(synthetic(1), sort_keys=False))
    line = [sys.executable, "-m", "pipeline", "run", "--directory", str(place)]
    subprocess.run([*line, "--config", str(one)], capture_output=True, check=True)
    made = Study(parse_study(synthetic(1), place))
    patterns = {folder.rule: place / path for path, folder in made.folders.items()}
    study = Study(parse_study(synthetic(conditions), place))
    # These files need not outlive a power cut.
    with mock.patch("os.fsync"):
        for path, folder in study.folders.items():
            told = {"identity": folder.identity, "source": study.source_behind(folder)}
            # Of a report one file has a manifest; the others are there: the study has this name.
            names = STAGES[folder.rule].files
            for name in [REPORT_FILES] if REPORT_FILES in names else names:
                _retold(patterns[folder.rule] / name, place / path / name, told)


def _retold(pattern: Path, path: Path, told: dict[str, str]) -> None:
    """A copy of an artifact that says another identity and source of itself."""
    read, write = {
        ".json": (artifacts.read_json, artifacts.write_json),
        ".parquet": (artifacts.read_parquet, artifacts.write_parquet),
        ".safetensors": (artifacts.read_safetensors, artifacts.write_safetensors),
    }[path.suffix]
    facts = artifacts.manifest_of(pattern) | told
    schema, version = facts["schema"], facts["schema_version"]
    known = {field.name for field in dataclasses.fields(artifacts.Manifest)}
    manifest = artifacts.Manifest(**{key: facts[key] for key in known})
    write(path, schema, version, read(pattern, schema, version), manifest)


def nothing_to_do(directory: Path, rounds: int) -> dict:
    """Seconds of the launcher on the default study where all of it stands; ValueError otherwise."""
    line = [sys.executable, "-m", "pipeline", "run", "--directory", str(directory)]
    said = subprocess.run([*line, "--dry-run"], capture_output=True, text=True, check=True)
    if "Nothing to be done" not in said.stdout + said.stderr:
        raise ValueError(
            f"the default study in {directory} is not finished; make study finishes it"
        )
    taken = [timed(line)[0] for _ in range(rounds)]
    return {"study": "default", "seconds": statistics.median(taken)}


def timed(line: list[str]) -> tuple[float, float]:
    """(seconds, peak megabytes) of a command; CalledProcessError when it fails."""
    begin = time.perf_counter()
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read() if process.stderr else b""
    _, state, usage = os.wait4(process.pid, 0)
    taken = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(state)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, line, stderr=errors)
    return taken, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
