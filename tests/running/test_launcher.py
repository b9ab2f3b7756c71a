"""One launcher a study, orphaned jobs waited for, and Snakemake's command line."""

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from pipeline.config.study import parse_study
from pipeline.errors import UserError
from pipeline.planning.study import PROJECT
from pipeline.running import launcher
from pipeline.store.digest import SOURCE_ROOT

HOLD = """
import sys, yaml
from pathlib import Path
from pipeline.running import launcher
from types import SimpleNamespace
print(launcher.lock(SimpleNamespace(study=sys.argv[2]), Path(sys.argv[1])), flush=True)
if "child" in sys.argv:
    import os
    if os.fork() == 0:
        code = "import time; print(1, flush=True); time.sleep(60)"
        os.execv(sys.executable, [sys.executable, "-c", code])
    os._exit(0)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts a process which takes the study's lock; all end with the test."""
    started = []

    def run(*arguments, study="small"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), study, *arguments],
            env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def study(study_values):
    return parse_study(study_values)


def test_a_second_launcher_is_told_the_process_that_holds_the_study(start, study, tmp_path):
    holder = start()
    assert holder.stdout.readline()
    with pytest.raises(UserError) as refused:
        launcher.lock(study, tmp_path)
    assert f"study 'small' is being run by process {holder.pid}" in str(refused.value)


def test_another_study_of_the_same_folder_waits_since_both_would_make_what_they_share(start):
    holder = start()
    assert holder.stdout.readline()
    waiting = start(study="other")
    assert f"waiting for study 'small', process {holder.pid}" in waiting.stderr.readline()
    assert waiting.poll() is None
    holder.send_signal(signal.SIGTERM)
    assert waiting.stdout.readline().strip().endswith("results/.jobs.lock")


def test_another_folder_is_free(start, study, tmp_path):
    assert start().stdout.readline()
    assert launcher.lock(study, tmp_path / "out") == tmp_path / "out/results/.jobs.lock"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_lock_ends_with_its_process_however_that_ends(start, study, tmp_path, end):
    holder = start()
    assert holder.stdout.readline()
    holder.send_signal(end)
    holder.wait()
    assert launcher.lock(study, tmp_path) == tmp_path / "results/.jobs.lock"


def test_the_lock_is_kept_by_the_process_that_the_launcher_becomes(start, study, tmp_path):
    holder = start("child")
    assert holder.stdout.readline() and holder.stdout.readline() == "1\n"
    holder.wait()
    with pytest.raises(UserError, match="is being run by"):
        launcher.lock(study, tmp_path)


def test_a_launcher_waits_for_jobs_that_a_killed_run_left(start, tmp_path):
    jobs = tmp_path / "results" / ".jobs.lock"
    jobs.parent.mkdir(parents=True)
    with open(jobs, "w") as orphan:
        fcntl.flock(orphan, fcntl.LOCK_SH)
        waiting = start()
        assert "waiting for jobs" in waiting.stderr.readline()
        assert waiting.poll() is None
        fcntl.flock(orphan, fcntl.LOCK_UN)
        assert waiting.stdout.readline().strip() == str(jobs)


@pytest.mark.parametrize("place", ["", "results", "results/shared"])
def test_a_place_that_takes_no_file_is_refused_by_name(study, tmp_path, monkeypatch, place):
    (tmp_path / "results" / "shared").mkdir(parents=True)
    whole = launcher.tempfile.TemporaryFile

    def read_only(dir):
        if dir == tmp_path / place:
            raise OSError(errno.EROFS, "Read-only file system")
        return whole(dir=dir)

    monkeypatch.setattr(launcher.tempfile, "TemporaryFile", read_only)
    with pytest.raises(UserError) as refused:
        launcher.lock(study, tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / place}: it is read-only. Make it writable")


def test_an_unknown_profile_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(UserError, match="no profile 'lcoal'; give a folder, or one of: .*local"):
        launcher.command(tmp_path / "c.yaml", "lcoal", None, tmp_path, [])
    with pytest.raises(UserError, match="no profile"):
        launcher.command(tmp_path / "c.yaml", str(tmp_path / "nowhere"), None, tmp_path, [])


def test_the_command_line_is_absolute_and_replaces_snakemakes_own_lock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    relative = type(tmp_path)
    line = launcher.command(relative("c.yaml"), "./mine", "3", relative("out"), ["--dry-run"])
    options = dict(zip(line, line[1:], strict=False))
    assert line[:3] == [sys.executable, "-m", "snakemake"]
    assert options["--snakefile"] == str(PROJECT / "Snakefile")
    assert options["--configfile"] == str(tmp_path / "c.yaml")
    assert options["--directory"] == str(tmp_path / "out")
    assert options["--profile"] == str(tmp_path / "mine")
    assert options["--cores"] == "3"
    assert "--nolock" in line and "--rerun-incomplete" in line and line[-1] == "--dry-run"


def test_the_profile_decides_the_cores_unless_told(tmp_path):
    line = launcher.command(tmp_path / "c.yaml", "local", None, tmp_path, [])
    assert "--cores" not in line
    assert str(PROJECT / "profiles" / "local") in line


def test_a_linked_configuration_is_handed_on_as_the_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.yaml").touch()
    (tmp_path / "c.yaml").symlink_to("elsewhere/c.yaml")
    line = launcher.command(tmp_path / "c.yaml", "local", None, tmp_path, [])
    assert line[line.index("--configfile") + 1] == str(tmp_path / "c.yaml")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home, and no variable that moves a cache."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_CACHE_HOME", "HF_HOME"):
        # Set and then removed, so that what the launcher sets goes with the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return folder


def test_a_cache_that_can_be_written_is_left_alone(home, tmp_path):
    launcher.settle_cache(tmp_path)
    assert "XDG_CACHE_HOME" not in os.environ and "HF_HOME" not in os.environ


@pytest.mark.parametrize("hub", [True, False])
def test_where_no_cache_can_be_written_it_goes_beside_the_results(home, tmp_path, hub):
    # A file where the folder would be, since root may write in any folder.
    (home / ".cache").mkdir()
    (home / ".cache" / "snakemake").touch()
    if hub:
        (home / ".cache" / "huggingface").mkdir()
    launcher.settle_cache(tmp_path / "out")
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "out/.snakemake/cache")
    assert os.environ.get("HF_HOME") == (str(home / ".cache/huggingface") if hub else None)
