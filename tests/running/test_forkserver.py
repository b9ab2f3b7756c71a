"""A job handed to the fork server is as one in a process of its own, and ends as one does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.running.forkserver import ADDRESS, KILLED

#: As a launcher does; says where the server is and lives until its input ends.
LAUNCHER = """
import os, sys
from pipeline.running import forkserver
forkserver.start()
print(os.environ[forkserver.ADDRESS], flush=True)
sys.stdin.read()
"""
#: As the process that Snakemake starts for a job does.
CLIENT = """
import sys
from pipeline.running import forkserver
ended = forkserver.run(sys.argv[1], {"given": sys.argv[2:]})
print("none" if ended is None else ended.code, flush=True)
if ended and ended.code == 0:
    print(ended.memory, ended.processor)
"""


@pytest.fixture(scope="module")
def launcher():
    """A process that started a server, with the socket's path in `address`."""
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.address = process.stdout.readline().strip()
    yield process
    process.stdin.close()
    process.wait(10)


@pytest.fixture
def hand_over(launcher, tmp_path):
    """A function: script text and arguments -> the process that handed it over."""

    def started(text, *arguments, environment=None, nine=os.devnull, **options):
        script = tmp_path / "script.py"
        script.write_text(text)
        environment = os.environ | {ADDRESS: launcher.address} | (environment or {})
        # As the jobs' shell opens its lock.
        line = ["bash", "-c", f'exec 9>>"{nine}"; flock -s 9; exec "$@"', "job"]
        line += [sys.executable, "-c", CLIENT, str(script), *arguments]
        return subprocess.Popen(
            line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            **options,
        )  # fmt: skip

    return started


def test_a_fork_has_the_jobs_environment_folder_arguments_and_open_files(hand_over, tmp_path):
    text = """
import json, os, sys
facts = {"given": snakemake["given"], "folder": os.getcwd(), "own": os.environ.get("OWN"),
         "name": __name__, "file": __file__, "torch": "torch" in sys.modules}
os.write(9, json.dumps(facts).encode())
print("to the job's output")
print("to its errors", file=sys.stderr)
"""
    inside = tmp_path / "inside"
    inside.mkdir()
    options = {"nine": tmp_path / "nine", "environment": {"OWN": "1"}, "cwd": inside}
    out, errors = hand_over(text, "a", "b", **options).communicate(timeout=60)
    said, code, usage = out.splitlines()
    assert (said, code, errors) == ("to the job's output", "0", "to its errors\n")
    memory, processor = map(float, usage.split())
    assert memory > 50e6 and 0 <= processor < 20
    assert json.loads((tmp_path / "nine").read_text()) == {
        "given": ["a", "b"], "folder": str(inside), "own": "1", "name": "__main__",
        "file": str(tmp_path / "script.py"), "torch": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('no')", 1, ""),
        ("raise ValueError('broken')", 1, "ValueError: broken"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", KILLED, ""),
    ],
)
def test_how_a_job_ended_is_told(hand_over, text, code, said):
    out, errors = hand_over(text).communicate(timeout=60)
    assert out == f"{code}\n" and said in errors


def test_forks_share_nothing_but_imports(hand_over):
    text = """
import random, sys, tempfile, torch
print(getattr(torch, "touched", None), torch.initial_seed(), torch.get_num_threads())
torch.touched = True
torch.manual_seed(5)
"""
    first, second = (hand_over(text).communicate(timeout=60)[0] for _ in range(2))
    assert first.splitlines()[0] == second.splitlines()[0]
    assert first.startswith("None ") and first.splitlines()[0].endswith(" 1")


def test_a_fork_ends_with_the_process_that_handed_it_over(hand_over, tmp_path):
    text = f"""
import os, pathlib, time
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
time.sleep(60)
"""
    job = hand_over(text)
    fork = psutil.Process(int(_awaited(tmp_path / "pid")))
    job.send_signal(signal.SIGKILL)
    job.communicate()
    fork.wait(10)


def test_a_jobs_lock_is_held_by_its_fork(hand_over, tmp_path):
    """A launcher that follows a killed one waits for it."""
    import fcntl

    text = f"""
import pathlib, time
pathlib.Path({str(tmp_path / "up")!r}).write_text("1")
time.sleep(60)
"""
    job = hand_over(text, nine=tmp_path / "lock")
    _awaited(tmp_path / "up")
    with open(tmp_path / "lock") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        job.kill()
        job.communicate()
        fcntl.flock(other, fcntl.LOCK_EX)


def test_without_a_server_a_job_is_not_taken(hand_over, tmp_path):
    gone = {ADDRESS: str(tmp_path / "gone")}
    for environment in (gone, {ADDRESS: ""}):
        assert hand_over("1 / 0", environment=environment).communicate()[0] == "none\n"


def test_a_server_ends_with_its_launcher_and_leaves_nothing(tmp_path):
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    address = Path(launcher.stdout.readline().strip())
    (server,) = psutil.Process(launcher.pid).children()
    assert address.exists()
    launcher.kill()
    launcher.communicate()
    server.wait(10)
    assert not address.parent.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_server_that_is_ended_leaves_nothing(number):
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    address = Path(launcher.stdout.readline().strip())
    (server,) = psutil.Process(launcher.pid).children()
    # It is ready when it has a handler for the signal.
    for _ in range(100):
        lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
        caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
        if caught >> (number - 1) & 1:
            break
        time.sleep(0.1)
    server.send_signal(number)
    # Not its process, which stays a zombie: the launcher asks for nothing of it.
    for _ in range(100):
        if server.status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    assert not address.parent.exists()
    launcher.communicate()


def test_where_a_socket_cannot_be_made_there_is_no_server(tmp_path):
    """The path of a socket has to be short."""
    place = tmp_path / ("long" * 25)
    place.mkdir()
    text = LAUNCHER.replace("os.environ[forkserver.ADDRESS]", "os.environ.get(forkserver.ADDRESS)")
    done = subprocess.run(
        [sys.executable, "-c", text], input="", capture_output=True, text=True, check=True,
        env=os.environ | {"TMPDIR": str(place)},
    )  # fmt: skip
    assert done.stdout == "None\n" and done.stderr == ""
    assert not list(place.iterdir())


def test_an_interrupt_from_the_terminal_reaches_the_fork(hand_over, tmp_path):
    text = f"""
import pathlib, time
pathlib.Path({str(tmp_path / "up")!r}).write_text(str(__import__("os").getpid()))
try:
    time.sleep(60)
except KeyboardInterrupt:
    raise SystemExit(130)
"""
    job = hand_over(text)
    os.kill(int(_awaited(tmp_path / "up")), signal.SIGINT)
    assert job.communicate(timeout=30)[0] == "130\n"


def _awaited(path):
    """Text of a file, once it is there."""
    for _ in range(600):
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.1)
    raise AssertionError(f"{path} never came")
