"""From a job's names to a script's typed arguments."""

import dataclasses
import time
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.running import entry, forkserver
from pipeline.store.artifacts import write_json
from pipeline.tables.jobs import JOBS
from tests.jobs import Job

CODE = """
import sys
from types import SimpleNamespace
from pathlib import Path
from pipeline.running.entry import job
from pipeline.errors import UserError
from pipeline.tables.jobs import JOBS

def main(*, out: Path) -> None:
    print("on the way")
    error = {"user": UserError("give more text"), "bug": RuntimeError("unforeseen"),
             "full": OSError(28, "No space left on device", "/cache/model")}
    if sys.argv[1] in error:
        raise error[sys.argv[1]]
    out.write_text("done")

empty = {}
job(main, SimpleNamespace(rule="fit", threads=1, input=empty, params=empty, wildcards=empty,
                          config=empty,
                          output={"out": sys.argv[2]}, log=sys.argv[3:]))
"""


def test_a_job_that_ends_well_writes_to_its_log_alone(python, tmp_path):
    log = tmp_path / "logs" / "fit.log"
    done = python(CODE, "well", tmp_path / "out", log)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert log.read_text() == "on the way\n"
    assert (tmp_path / "out").read_text() == "done"


def test_what_a_job_took_stands_where_its_log_does_under_timing(python, tmp_path):
    before = time.monotonic()
    done = python(CODE, "well", tmp_path / "out", tmp_path / "logs" / "study" / "logs.log")
    assert done.returncode == 0
    header, figures = (tmp_path / "timing" / "study" / "logs.tsv").read_text().splitlines()
    assert header.split("\t") == ["s", "max_rss", "cpu_time"]
    seconds, megabytes, processor = map(float, figures.split("\t"))
    # Both are rounded to hundredths.
    assert 0 < processor <= seconds + 0.01 <= time.monotonic() - before + 0.02
    assert 10 < megabytes < 2000
    failed = python(CODE, "bug", tmp_path / "out", tmp_path / "logs" / "failed.log")
    assert failed.returncode == 1 and not (tmp_path / "timing" / "failed.tsv").exists()


def model_job(device="cpu", threads=1, libraries=("torch",)):
    source = {"digest": "d", "libraries": dict.fromkeys(libraries, "1")}
    job = Job(params={"model": {"device": device}, "source": source})
    job.threads = threads
    return job


def test_jobs_that_need_torch_on_one_thread_of_a_cpu_are_handed_over(monkeypatch):
    def main():
        raise AssertionError("run here")

    handed = []
    monkeypatch.setattr(
        forkserver, "run", lambda script, job: handed.append(script) or forkserver.Ended(0, 0, 0.0)
    )
    entry.job(main, model_job())
    assert handed == [__file__]
    for other in (model_job("cuda"), model_job(threads=2), model_job(libraries=["polars"])):
        with pytest.raises(SystemExit):
            entry.job(main, other)
    assert handed == [__file__]


@pytest.mark.parametrize(("code", "said"), [(3, ""), (forkserver.KILLED, "fit was killed")])
def test_a_fork_that_failed_fails_the_job(monkeypatch, capsys, tmp_path, code, said):
    """What was killed could say nothing itself."""
    monkeypatch.setattr(forkserver, "run", lambda *_: forkserver.Ended(code, 0, 0.0))
    job, log = model_job(), tmp_path / "fit.log"
    log.write_text("on the way\n")
    job.log = [str(log)]
    with pytest.raises(SystemExit) as ended:
        entry.job(lambda: None, job)
    assert ended.value.code == code
    told = capsys.readouterr().err
    assert told.count("error: ") == bool(said) and said in told
    assert log.read_text().startswith("on the way\n") and said in log.read_text()


def test_a_user_error_is_one_line_without_a_traceback_and_ends_with_1(python, tmp_path):
    log = tmp_path / "fit.log"
    done = python(CODE, "user", tmp_path / "out", log)
    assert done.returncode == 1
    assert done.stderr.strip() == "error: fit: give more text"
    assert log.read_text() == "on the way\nfit: give more text\n"


def test_any_other_error_leaves_its_traceback_in_the_log(python, tmp_path):
    log = tmp_path / "fit.log"
    done = python(CODE, "bug", tmp_path / "out", log)
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: fit failed; its log: {log}"
    assert "RuntimeError: unforeseen" in log.read_text()


def test_a_full_disk_is_told_in_one_line_whoever_met_it(python, tmp_path):
    done = python(CODE, "full", tmp_path / "out", tmp_path / "fit.log")
    assert done.returncode == 1
    assert done.stderr.strip().startswith("error: fit: /cache/model: the disk is full. Make room")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("way", ["well", "user", "bug"])
def test_a_log_that_cannot_be_written_hides_no_error(python, tmp_path, way):
    """/dev/full refuses every byte as a full disk does."""
    done = python(CODE, way, tmp_path / "out", "/dev/full")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: fit: /dev/full: the disk is full. Make room there, and run the same command "
        "again; it goes on where it stopped"
    )


def test_a_job_without_a_log_tells_its_error_on_the_terminal(python, tmp_path):
    done = python(CODE, "user", tmp_path / "out")
    assert done.returncode == 1 and "error: fit: give more text" in done.stderr


def test_the_user_error_is_a_value_error():
    assert issubclass(UserError, ValueError)


def test_artifacts_are_what_the_studys_jobs_say(tmp_path, monkeypatch, manifest):
    """Each carries its own identity, and a job starts on none that has another's."""
    monkeypatch.chdir(tmp_path)
    own, other = "results/named/fit/a", "results/named/fit/b"
    jobs = {own: {"identity": "mine"}, other: {"identity": "theirs"}}
    JOBS.write(Path("results/named/jobs.json"), {"study": "named", "jobs": jobs}, manifest)
    path = Path(own) / "classes.json"

    class Listed(Job):
        def __init__(self):
            super().__init__(params={"source": {"digest": "0", "libraries": {}}})
            self.input, self.output = Listing([str(path)]), Listing([f"{other}/plan.json"])
            self.config = {"study": "named"}

    for identity in ("mine", "theirs"):
        write_json(path, "things", 1, {}, dataclasses.replace(manifest, identity=identity))
        if identity == "mine":
            entry.check_inputs(Listed())
        else:
            with pytest.raises(UserError, match=r"classes\.json: made by rule some_rule for anoth"):
                entry.check_inputs(Listed())
    assert entry.own_identity(Listed()) == "theirs"


def test_two_inputs_in_each_others_place_are_refused(tmp_path, monkeypatch, manifest):
    """Both are what their folders should hold, and neither is what the job asks for there."""
    monkeypatch.chdir(tmp_path)
    folders = {name: f"results/swapped/merge_profile/{name}" for name in ("mine", "other")}
    fit = {"identity": "fit", "inputs": {"neurons": ["mine"], "distractor": ["other"]}}
    jobs = {folder: {"identity": name} for name, folder in folders.items()}
    jobs |= {"results/swapped/fit/a": fit}
    JOBS.write(Path("results/swapped/jobs.json"), {"study": "swapped", "jobs": jobs}, manifest)
    files = {name: f"{folder}/neurons.json" for name, folder in folders.items()}
    for name, file in files.items():
        write_json(Path(file), "things", 1, {}, dataclasses.replace(manifest, identity=name))

    def checked(**inputs):
        job = Job(params={"source": {"digest": "0", "libraries": {}}})
        job.input, job.output = Filled(inputs), Filled({"plan": "results/swapped/fit/a/plan.json"})
        job.config = {"study": "swapped"}
        entry.check_inputs(job)

    checked(neurons=files["mine"], distractor=[files["other"]], classes=[])
    with pytest.raises(UserError, match=r"mine/neurons\.json: made by rule some_rule for another"):
        checked(neurons=files["other"], distractor=[files["mine"]])
    with pytest.raises(UserError, match=r"gives 0 files as distractor, .* plan asks for 1"):
        checked(neurons=files["mine"], distractor=[])
    with pytest.raises(UserError, match=r"gives 1 files as text, .* plan asks for 0"):
        checked(neurons=files["mine"], distractor=[files["other"]], text=files["mine"])


class Filled(list):
    """Snakemake's lists of files with names."""

    def __init__(self, named):
        self.named = named
        super().__init__(f for v in named.values() for f in ([v] if isinstance(v, str) else v))

    def items(self):
        return self.named.items()


class Listing(list):
    """Snakemake's lists of files without names."""

    def items(self):
        return ()
