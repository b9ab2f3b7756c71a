"""Start a study: one launcher at a time, and the same command goes on after any interruption.

The launcher locks `results` and becomes Snakemake, which keeps the lock as long as it lives. The
folder rather than the study, because studies share artifacts: two runs at once would make, and
delete, the same ones.
Every job holds a shared lock on a second file, from its shell's first moment on, so a launcher that
follows a killed one waits until the orphaned jobs have ended. Both locks are the kernel's: they end
with their processes, whatever ended those. On a cluster a pending job holds no lock, and a node's
lock may not be seen here: there the jobs are found in the queue, too (`slurm`).
"""

import fcntl
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline import slurm
from pipeline.config.study import StudyConfig
from pipeline.errors import UserError, writing
from pipeline.runs.events import events_file
from pipeline.runs.jobs import jobs_of, size_of, write_jobs
from pipeline.study import PROJECT, Study
from pipeline.tables.jobs import jobs_file

#: How often, and after how many seconds each time, a lock that is held is tried again.
_TRIES, _PAUSE = 5, 0.1
#: Tells the Snakefile which file its jobs lock; unset for a plain `snakemake`, which has no lock.
JOBS_LOCK = "COLD_NEURONS_JOBS_LOCK"
#: Bytes; a file system that is full still makes empty files.
_BLOCK = 4096


def command(
    config_file: Path, profile: str, cores: str | None, directory: Path, extra: Sequence[str]
) -> list[str]:
    """The Snakemake command line of a study; paths are absolute, so any folder will do.

    The launcher's lock replaces Snakemake's, which a kill -9 would leave behind.
    """
    folder = profile_folder(profile)
    line = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile")]
    line += ["--configfile", str(config_file.resolve()), "--directory", str(directory.resolve())]
    line += ["--profile", str(folder.resolve()), "--nolock", "--rerun-incomplete"]
    return line + (["--cores", cores] if cores else []) + list(extra)


def logger(study: StudyConfig, directory: Path, terminal: bool) -> list[str]:
    """Arguments that have Snakemake write its events, and on a terminal show a progress bar."""
    name = "--logger-cold-neurons"
    line = ["--logger", "cold-neurons", f"{name}-path", str(events_file(directory, study.study))]
    return line + ([f"{name}-bar"] if terminal else [])


def lock_alone(directory: Path) -> None:
    """Take the results' lock for this process; UserError when a launcher is at work."""
    holder, jobs = _lock_file(directory), directory / "results" / ".jobs.lock"
    if not _taken(holder):
        study, process = _held_by(holder)
        raise UserError(
            f"results are in use by {process}{f', study {study!r}' if study else ''}; wait for it"
        )
    _say_who(holder, "")
    if not _taken(os.open(jobs, os.O_RDWR | os.O_CREAT, 0o666)):
        raise UserError("results are in use by jobs that an interrupted run left; wait for them")


def write_jobs_of(study: Study, directory: Path) -> None:
    """Write the study's jobs.json, by which others know what it uses."""
    sizes = {model: size_of(study, model, directory) for model in study.config.models}
    path = jobs_file(directory, study.config.study)
    with writing(path):
        write_jobs(path, study.config.study, jobs_of(study, sizes))


def _taken(descriptor: int) -> bool:
    """Take a lock unless another holds it; a look at it, as `status` takes, is waited out."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return True
    return False


def _say_who(holder: int, study: str) -> None:
    os.ftruncate(holder, 0)
    os.pwrite(holder, json.dumps({"study": study, "process": os.getpid()}).encode(), 0)


def _lock_file(directory: Path) -> int:
    folder = directory / "results"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)


def profile_folder(profile: str) -> Path:
    """The folder of a profile of the project's, or a path; UserError when there is none."""
    folder = Path(profile) if "/" in profile else PROJECT / "profiles" / profile
    if not folder.is_dir():
        known = sorted(p.name for p in (PROJECT / "profiles").iterdir() if p.name != "default")
        raise UserError(f"no profile {profile!r}; give a folder, or one of: {', '.join(known)}")
    return folder


def lock(study: StudyConfig, directory: Path, cluster: bool = False) -> Path:
    """Take the results' lock for this process and what it becomes; returns the jobs' lock file.

    Waits for a run of another study, since both would make what they share, and for jobs that a
    killed run left behind; on a cluster for those in the queue as well. Raises UserError when
    another launcher is at work on this study, and when nothing can be written where the results go.
    """
    folder = directory / "results"
    holder = _lock_file(directory)
    if not _taken(holder):
        other, process = _held_by(holder)
        if other == study.study:
            raise UserError(
                f"study {other!r} is being run by {process}; wait for it, or end it: the same "
                "command then goes on where it stopped"
            )
        _tell(
            f"waiting for study {other!r}, {process}, which shares {folder}/shared with this one; "
            "with --directory a study has a results folder of its own"
        )
        fcntl.flock(holder, fcntl.LOCK_EX)
    with writing(folder):
        _say_who(holder, study.study)
    for place in (directory, folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        _try_writing(place)
    os.set_inheritable(holder, True)
    if cluster:
        slurm.wait_for_orphans(directory, _tell)
    jobs = folder / ".jobs.lock"
    _wait_for_orphans(jobs)
    return jobs


def run(line: Sequence[str], jobs_lock: Path | None) -> None:
    """Become Snakemake. The lock's descriptor is inherited; does not return.

    A dry run, which makes nothing, needs no lock.
    """
    if jobs_lock:
        os.environ[JOBS_LOCK] = str(jobs_lock.resolve())
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(line[0], list(line))


def _try_writing(folder: Path) -> None:
    """UserError when not even a block can be written in `folder`; leaves nothing there."""
    with writing(folder), tempfile.TemporaryFile(dir=folder) as stream:
        stream.write(b"\0" * _BLOCK)
        stream.flush()


def _wait_for_orphans(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _tell("waiting for jobs that an interrupted run left behind")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _held_by(descriptor: int) -> tuple[str | None, str]:
    """(study, process in words) of who holds the lock; (None, ...) before it has said so."""
    try:
        said = json.loads(os.pread(descriptor, 1024, 0))
        return said["study"], f"process {said['process']}"
    except (ValueError, KeyError):
        return None, "another process"


def _tell(message: str) -> None:
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
