"""Real runs: reproducible bytes, interruption and resumption, the quick study, refusals."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.workflow


def wait_until(condition, seconds, what):
    """Wait for a state that another process brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.2)


def test_a_killed_run_goes_on_and_ends_with_the_bytes_of_an_undisturbed_one(fresh, finished):
    """Kill -9 midway, a second launcher meanwhile, then the same command; in another folder."""
    with open(fresh.work / "first.log", "w") as log:
        first = subprocess.Popen(
            fresh.command(), env=fresh.environment, cwd=fresh.work, stdout=log, stderr=log
        )
    results = fresh.work / "results"
    wait_until(lambda: list(results.glob("shared/*/*/model.json")), 120, "model.json")
    second = subprocess.run(
        fresh.command(), env=fresh.environment, cwd=fresh.work, text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    assert second.returncode == 2
    assert f"is being run by process {first.pid}" in second.stderr
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert fresh.artifacts().keys() < finished.artifacts().keys()
    fresh.run()
    assert fresh.artifacts() == finished.artifacts()
    assert fresh.planned() == {}


def test_a_run_ends_with_the_path_of_the_page(finished):
    page = finished.work / "results" / "tiny" / "report" / "index.html"
    page.unlink()
    text = finished.run()
    assert f"the page: {page}" in text
    assert page.is_file()
    assert f"nothing is left to do\nthe page: {page}\n" in finished.run()


def test_artifacts_hold_no_path_of_this_machine(finished):
    for name, content in finished.artifacts().items():
        assert str(finished.folder).encode() not in content, name
        assert str(finished.work).encode() not in content, name


def test_a_link_braces_in_every_name_and_a_home_that_cannot_be_written(fresh):
    """The configuration is a link; its relative places start at the folder that the link is in."""
    own, shared = fresh.folder / "o{w}n", fresh.folder / "shared"
    own.mkdir()
    shared.mkdir()
    text = (fresh.folder / "configs/tiny.yaml").read_text()
    text = text.replace("[chain, ", '["t{a}sk.yaml", ')
    (shared / "study.yaml").write_text(text)
    (own / "s{t}udy.yaml").symlink_to("../shared/study.yaml")
    shutil.copy(fresh.folder / "resources/tasks/chain.jsonl", own / "i{t}ems.jsonl")
    task = (fresh.folder / "resources/tasks/chain.yaml").read_text()
    task = task.replace("chain.jsonl", '"i{t}ems.jsonl"').replace("task: chain", 'task: "{chain}"')
    (own / "t{a}sk.yaml").write_text(task)
    fresh.variables["HOME"] = os.devnull
    fresh.variables["XDG_CACHE_HOME"] = ""
    work, fresh.work = fresh.work, fresh.work / "runs {v1}"
    fresh.work.mkdir()
    fresh.run("--until", "clear_tasks", config="o{w}n/s{t}udy.yaml")
    made = fresh.artifacts()
    assert {"corpus.json", "cleared.json"} <= {name.rpartition("/")[2] for name in made}
    assert {path.name for path in work.iterdir()} == {"runs {v1}"}


def test_a_plain_snakemake_refuses_a_key_that_stands_twice(fresh):
    (fresh.folder / "configs/twice.yaml").write_text(
        (fresh.folder / "configs/tiny.yaml").read_text() + "seed: 1\nseed: 2\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", str(fresh.folder / "Snakefile"),
         "--configfile", str(fresh.folder / "configs/twice.yaml"), "--dry-run"],
        env=fresh.environment, cwd=fresh.work, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode and "the key 'seed' stands in line" in done.stdout + done.stderr


def test_local_files_leave_no_place_in_artifacts_and_may_move(fresh):
    """A model, a corpus and a task of one's own, by relative paths; then all of them elsewhere."""
    text = (fresh.folder / "configs/tiny.yaml").read_text()
    own = fresh.folder / "own"
    own.mkdir()
    shutil.copytree(fresh.folder / "resources/models/ref-reglu", own / "model")
    shutil.copy(fresh.folder / "resources/calibration/reasoning.jsonl", own / "text.jsonl")
    for ending in ("yaml", "jsonl"):
        shutil.copy(fresh.folder / f"resources/tasks/chain.{ending}", own)
    text = text.replace("builtin:ref-reglu", "./model").replace(
        "builtin:reasoning", "path:text.jsonl"
    )
    (own / "own.yaml").write_text(text.replace("[chain, ", "[chain.yaml, "))
    fresh.run("--until", "evaluate_dense", config="own/own.yaml")
    made = fresh.artifacts()
    assert any("evaluate_dense" in name for name in made)
    for name, content in made.items():
        assert str(fresh.folder).encode() not in content, name
    own.rename(fresh.folder / "moved")
    jobs = fresh.planned("moved/own.yaml")
    assert "evaluate" in jobs
    assert not {"resolve_model", "extract_calibration", "evaluate_dense"} & set(jobs)


def test_a_damaged_artifact_is_named_with_the_way_to_mend_it(edited):
    (neurons,) = edited.work.glob("results/shared/merge_profile/*/neurons.parquet")
    stat = neurons.stat()
    # Where no size, time or manifest tells it: only who reads the rows can.
    content = bytearray(neurons.read_bytes())
    content[200:400] = bytes(200)
    neurons.write_bytes(content)
    os.utime(neurons, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    edited.edit("src/pipeline/methods/sparsifiers/drop_random.py", "seed + 1", "seed + 2")
    failed = subprocess.run(
        edited.command(), env=edited.environment, cwd=edited.work, text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    assert failed.returncode != 0
    assert re.search(r"error: fit: .*neurons\.parquet: .* rm ", failed.stdout + failed.stderr)


def test_a_file_of_another_study_in_place_is_made_again(edited):
    """Its format, schema and seal are right, and its condition has the same names."""
    text = (edited.folder / "configs/tiny.yaml").read_text()
    other = edited.folder / "configs" / "other.yaml"
    other.write_text(
        text.replace("study: tiny", "study: other").replace("share: 0.8", "share: 0.6")
    )
    plan = "fit/ref-reglu/drop_cold/cold/0/plan.json"
    edited.run(f"results/other/{plan}", config="configs/other.yaml")
    mine, theirs = (edited.work / "results" / study / plan for study in ("tiny", "other"))
    stat, kept = mine.stat(), mine.read_bytes()
    mine.write_bytes(theirs.read_bytes())
    os.utime(mine, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    samples = edited.work / "results/tiny/evaluate/ref-reglu/drop_cold/cold/0/samples.parquet"
    samples.unlink()
    assert f"results/tiny/{plan} is made for another" in edited.run()
    assert mine.read_bytes() == kept
    assert samples.is_file()


def test_a_refused_configuration_starts_no_job(edited):
    edited.edit("configs/tiny.yaml", "sparsifier: keep_cold", "sparsifier: keep_cool")
    refused = subprocess.run(
        edited.command(), env=edited.environment, cwd=edited.work, text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "methods.keep_cold.sparsifier" in refused.stderr
    assert "Did you mean 'keep_cold'?" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_snakemake_alone_finds_the_same_study_done(finished):
    line = finished.command("--dry-run")
    plain = [line[0], "-m", "snakemake", "--cores", "2", "--dry-run", "--nolock",
             "--snakefile", str(finished.folder / "Snakefile"), "--directory", str(finished.work),
             "--configfile", str(finished.folder / "configs/tiny.yaml")]  # fmt: skip
    done = subprocess.run(
        plain, env=finished.environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


def test_snakemakes_own_report_is_one_file(finished):
    finished.run("--report", "report.html")
    assert b"accuracy-lost.svg" in (finished.work / "report.html").read_bytes()


def test_the_quick_study_runs_and_then_has_nothing_to_do(fresh):
    """All of its jobs, with a fifth of the text and a tenth of the questions."""
    fresh.configure("calibration.reasoning.tokens", 8000, "configs/quick.yaml")
    fresh.configure("evaluation.limit", 6, "configs/quick.yaml")
    fresh.run(config="configs/quick.yaml")
    page = (fresh.work / "results/quick/report/index.html").read_text()
    assert "ref-reglu" in page
    assert "ref-swiglu" in page
    assert fresh.planned("configs/quick.yaml") == {}
