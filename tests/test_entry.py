"""From a job's names to a script's typed arguments."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import digest, entry, forkserver
from pipeline.artifacts import Manifest, write_json
from pipeline.config.classification import Classification
from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.tables.jobs import JOBS


class Named(dict):
    """Snakemake's named lists, as far as a script sees them."""


class Job:
    rule = "fit"
    threads = 1

    def __init__(self, inputs=(), outputs=(), params=(), wildcards=(), log=()):
        self.input, self.output = Named(inputs), Named(outputs)
        self.params, self.wildcards = Named(params), Named(wildcards)
        self.log = list(log)
        self.config = {}


def test_values_are_cast_as_annotated():
    def main(
        *, one: Path, many: list[Path], single: list[Path], config: Classification, share: float,
        seed: int, flag: bool, off: bool, nothing: str, names: list[str], facts: dict, value: Any,
        threads: int, out: Path,
    ) -> None:  # fmt: skip
        """A script."""

    job = Job(
        inputs={"one": "a.txt", "many": ["b", "c"], "single": "d"},
        outputs={"out": "e"},
        params={
            "config": {"policy": "coverage", "share": 0.8},
            "share": "0.5",
            "flag": True,
            "off": False,
            "nothing": None,
            "names": ["x", "y"],
            "facts": {"k": 1},
            "value": "cold",
        },
        wildcards={"seed": "7"},
    )
    assert entry.arguments(main, job) == {
        "one": Path("a.txt"),
        "many": [Path("b"), Path("c")],
        "single": [Path("d")],
        "config": Classification(policy="coverage", share=0.8),
        "share": 0.5,
        "seed": 7,
        "flag": True,
        "off": False,
        "nothing": None,
        "names": ["x", "y"],
        "facts": {"k": 1},
        "value": "cold",
        "threads": 1,
        "out": Path("e"),
    }


def test_inputs_come_before_outputs_params_and_wildcards():
    def main(*, name: str) -> None:
        """A script."""

    layers = {"wildcards": "w", "params": "p", "outputs": "o", "inputs": "i"}
    given = {}
    for kind, value in layers.items():
        given[kind] = {"name": value}
        assert entry.arguments(main, Job(**given)) == {"name": value}


def test_a_name_the_rule_lacks_is_told_with_those_it_has():
    def main(*, missing: Path) -> None:
        """A script."""

    with pytest.raises(TypeError, match=r"rule fit names no 'missing'; it has \['a', 'threads'\]"):
        entry.arguments(main, Job(inputs={"a": "x"}))


@pytest.mark.parametrize(("hint", "value"), [(int, "three"), (float, "x"), (int, [1]), (Path, 3)])
def test_a_value_that_does_not_fit_is_told_by_name(hint, value):
    def main(*, given) -> None:
        """A script."""

    main.__annotations__["given"] = hint
    with pytest.raises(TypeError, match=r"^given: .* is no "):
        entry.arguments(main, Job(params={"given": value}))


@pytest.mark.parametrize("text", ["False", "false", "0", "no"])
def test_a_text_never_becomes_true_by_being_text(text):
    def main(*, flag: bool) -> None:
        """A script."""

    try:
        assert entry.arguments(main, Job(wildcards={"flag": text}))["flag"] is False
    except TypeError as error:
        assert "flag" in str(error)


def test_the_manifest_holds_digests_of_inputs_and_the_configuration(tmp_path):
    for name in "abcd":
        (tmp_path / name).write_text(name)
    job = Job(
        inputs={
            "record": str(tmp_path / "a"),
            "many": [str(tmp_path / "b"), str(tmp_path / "c")],
            "block_shards": [str(tmp_path / "d")],
        },
        params={
            "source": {"digest": "s" * 32, "libraries": {"numpy": "2.0"}},
            "seed": 4,
            "conditions": [1],
            "levels": (0.1, 0.2),
            "model": Model(source="builtin:x", dtype="bfloat16").model_dump(),
        },
    )
    made = entry.manifest(job)
    assert (made.rule, made.source, made.seed) == ("fit", "s" * 32, 4)
    assert made.versions == {"numpy": "2.0"}
    assert (made.device, made.dtype) == ("cpu", "bfloat16")
    assert made.inputs == {
        "record": digest.of_bytes(b"a"),
        "many.0": digest.of_bytes(b"b"),
        "many.1": digest.of_bytes(b"c"),
    }
    assert sorted(made.config) == ["levels", "model"] and made.config["levels"] == [0.1, 0.2]
    assert str(tmp_path) not in made.text("plan", 1)
    json.loads(made.text("plan", 1))


def test_a_local_place_is_found_by_its_name_and_enters_no_manifest(tmp_path):
    def main(*, model: Model, tasks: list[str], manifest: Manifest) -> None:
        """A script."""

    named = Model(source="local:models.mine").model_dump()
    source = {"digest": "s", "libraries": {}}
    params = {"source": source, "model": named, "tasks": ["chain", "local:task.own"]}
    job = Job(params=params)
    job.config = {
        entry.PLACES: {"local:models.mine": str(tmp_path), "local:task.own": "/a/own.yaml"}
    }
    values = entry.arguments(main, job)
    assert values["model"].source == str(tmp_path)
    assert values["tasks"] == ["chain", "/a/own.yaml"]
    text = values["manifest"].text("plan", 1)
    assert "local:models.mine" in text and "local:task.own" in text
    assert str(tmp_path) not in text and "/a/own" not in text


def test_a_script_that_asks_for_a_manifest_gets_it():
    def main(*, manifest: Manifest) -> None:
        """A script."""

    source = {"digest": "s", "libraries": {}}
    assert entry.arguments(main, Job(params={"source": source}))["manifest"].source == "s"


CODE = """
import sys
from types import SimpleNamespace
from pathlib import Path
from pipeline.entry import job
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
    assert entry.manifest(Listed()).identity == "theirs"


class Listing(list):
    """Snakemake's lists of files without names."""

    def items(self):
        return ()
