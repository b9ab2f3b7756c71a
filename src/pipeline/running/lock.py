"""The locks on a results folder: what takes them, and who holds them.

They are the kernel's own locks, so each ends with its process, however that ends. The file says
which study's launcher holds the lock, for those who find it taken.
"""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import writing

#: How often, and at intervals of how many seconds, a lock that is held is tried again.
_TRIES, _PAUSE = 5, 0.1


@dataclass(frozen=True)
class Holder:
    """Who has the lock; `study` is empty until the holder has written it, and where the holder is
    not a study's launcher."""

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
        """Take the lock unless another process holds it; waits while a process such as `status`
        only looks at it."""
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
        """Who holds the lock, by what is written in the file."""
        return _said(os.pread(self.descriptor, 1024, 0))


def holder(results: Path) -> Holder | None:
    """Who is at work in a results folder; None when nobody is."""
    said = _held(_file(results), os.O_RDONLY, fcntl.LOCK_SH)
    return None if said is None else _said(said)


def jobs_lock(results: Path) -> Path:
    """The file that every job locks, shared, as long as its shell or a process below it lives."""
    return results / ".jobs.lock"


def jobs_run(results: Path) -> bool:
    """Whether jobs of a run are at work here, even of a run that has ended."""
    # On a network file system an exclusive lock needs a file that is open for writing.
    return _held(jobs_lock(results), os.O_RDWR, fcntl.LOCK_EX) is not None


def _held(path: Path, access: int, kind: int) -> bytes | None:
    """The text of a file on which another process holds a conflicting lock; None when it is free,
    or cannot be opened in this way."""
    try:
        descriptor = os.open(path, access)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 1024, 0)
    finally:
        os.close(descriptor)
    return None


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


def _file(results: Path) -> Path:
    return results / ".lock"


def _said(content: bytes) -> Holder:
    try:
        said = json.loads(content)
        return Holder(said["study"], said["process"])
    except (ValueError, KeyError, TypeError):
        return Holder()
