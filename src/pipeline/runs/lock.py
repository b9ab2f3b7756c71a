"""The locks on a results folder: what takes them, and who holds them.

The kernel's own, so it ends with its process however that ends. The file says which study's
launcher holds it, for those who find it taken.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import writing

#: How often, and after how many seconds each time, a lock that is held is tried again.
_TRIES, _PAUSE = 5, 0.1


@dataclass(frozen=True)
class Holder:
    """Who has the lock; `study` is empty before it has said so, or where it is none."""

    study: str = ""
    process: int | None = None

    def __str__(self) -> str:
        study = f"study {self.study!r}, " if self.study else ""
        return "another process" if self.process is None else f"{study}process {self.process}"


class Lock:
    """The lock file of a results folder; this process, and what it becomes, keep it open."""

    def __init__(self, results: Path) -> None:
        with writing(results):
            results.mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(_file(results), os.O_RDWR | os.O_CREAT, 0o666)

    def taken(self) -> bool:
        """Take it unless another process holds it; waits out a look at it, as `status` takes."""
        return taken(self.descriptor)

    def wait(self) -> None:
        """Take it once it is free."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def say_who(self, study: str) -> None:
        """Write which study's launcher holds it."""
        said = json.dumps({"study": study, "process": os.getpid()})
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, said.encode(), 0)

    def holder(self) -> Holder:
        """Who has said to hold it."""
        return _said(os.pread(self.descriptor, 1024, 0))


def holder(results: Path) -> Holder | None:
    """Who is at work in a results folder; None when nobody is."""
    try:
        descriptor = os.open(_file(results), os.O_RDONLY)
    except OSError:
        return None
    with _closing(descriptor):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _said(os.pread(descriptor, 1024, 0))
    return None


def jobs_lock(results: Path) -> Path:
    """The file that every job locks, shared, as long as its shell or a process below it lives."""
    return results / ".jobs.lock"


def jobs_run(results: Path) -> bool:
    """Whether jobs of a run are at work here, be it one that has ended."""
    try:
        descriptor = os.open(jobs_lock(results), os.O_RDONLY)
    except OSError:
        return False
    with _closing(descriptor):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def taken(descriptor: int) -> bool:
    """Take the lock of an open file; False when another process holds it."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return True
    return False


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _file(results: Path) -> Path:
    return results / ".lock"


def _said(content: bytes) -> Holder:
    try:
        said = json.loads(content)
        return Holder(said["study"], said["process"])
    except (ValueError, KeyError):
        return Holder()
