"""Who holds a results folder, as those find it who did not take it."""

import os
import subprocess
import sys

import pytest

from pipeline.running.lock import Holder, Lock, holder

HOLD = """
import sys
from pathlib import Path
from pipeline.running.lock import Lock
lock = Lock(Path(sys.argv[1]))
assert lock.taken()
if sys.argv[2:]:
    lock.say_who(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """A function that has another process take the lock, and say who it is if it gets a name."""
    processes = []

    def start(*name):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), *name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def test_nobody_holds_a_folder_without_a_lock_file_or_with_a_free_one(tmp_path):
    assert holder(tmp_path / "none") is None
    lock = Lock(tmp_path)
    assert holder(tmp_path) is None
    assert lock.taken()
    lock.say_who("small")
    os.close(lock.descriptor)
    assert holder(tmp_path) is None


def test_a_holder_is_named_with_its_study(held, tmp_path):
    process = held("small")
    assert holder(tmp_path) == Holder("small", process.pid)
    assert str(holder(tmp_path)) == f"study 'small', process {process.pid}"
    assert not Lock(tmp_path).taken()


def test_a_holder_of_no_study_is_a_process(held, tmp_path):
    process = held("")
    assert str(holder(tmp_path)) == f"process {process.pid}"


def test_a_holder_that_has_not_said_so_yet_is_somebody(held, tmp_path):
    held()
    assert holder(tmp_path) == Holder() and str(holder(tmp_path)) == "another process"
    (tmp_path / ".lock").write_text("[]")
    assert holder(tmp_path) == Holder()
