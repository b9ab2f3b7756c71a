"""Start a study: one launcher at a time, and the same command goes on after any interruption.

The launcher locks `results` and becomes Snakemake, which keeps the lock as long as it lives. The
lock is on the folder and not on the study, because studies share artifacts: two runs at once would
make, and delete, the same ones. Every job holds a shared lock on a second file, from its shell's
first moment on, so a launcher that follows a killed one waits until the orphaned jobs have ended.
Both are locks of the kernel, so they end with their processes, whatever ended those. On a cluster a
pending job holds no lock, and a node's lock may not be seen here: there the jobs are found in the
queue, too (`slurm`).
"""

import fcntl
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.study import StudyConfig
from pipeline.errors import UserError, writing
from pipeline.planning.jobs import jobs_of, size_of, write_jobs
from pipeline.planning.study import PROJECT, Study
from pipeline.running import forkserver, slurm
from pipeline.running.events import events_file
from pipeline.running.lock import Lock, jobs_lock, taken
from pipeline.running.memory import limited, memory
from pipeline.tables.jobs import jobs_file

#: Environment variable that tells the Snakefile which file its jobs lock; unset for a plain
#: `snakemake`, which has no lock.
JOBS_LOCK = "COLD_NEURONS_JOBS_LOCK"
#: Bytes of a test write; a full file system still creates empty files.
_BLOCK = 4096


def command(
    config_file: Path, profile: str, cores: str | None, directory: Path, extra: Sequence[str]
) -> list[str]:
    """The Snakemake command line of a study; paths are absolute, so any folder will do.

    The launcher's lock replaces Snakemake's, which a kill -9 would leave behind. Jobs on this
    machine plan for no more memory than it has.
    """
    folder = profile_folder(profile)
    resources, extra = limited(folder, extra, memory())
    line = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile")]
    line += ["--configfile", str(config_file.absolute()), "--directory", str(directory.resolve())]
    # An option that takes several values is followed by another, since targets may stand last.
    line += [*resources, "--profile", str(folder.resolve()), "--nolock", "--rerun-incomplete"]
    return line + (["--cores", cores] if cores else []) + list(extra)


def logger(study: StudyConfig, directory: Path, terminal: bool) -> list[str]:
    """Arguments that have Snakemake write its events, show a progress bar on a terminal, and name
    the page where nothing is left to do."""
    name = "--logger-cold-neurons"
    line = ["--logger", "cold-neurons", f"{name}-path", str(events_file(directory, study.study))]
    page = directory / "results" / study.study / "report" / "index.html"
    line += [f"{name}-page", str(page)]
    return line + ([f"{name}-bar"] if terminal else [])


def lock_alone(directory: Path) -> None:
    """Take the results' lock for this process; UserError when a launcher is at work."""
    results = directory / "results"
    own = Lock(results)
    if not own.taken():
        raise UserError(f"results are in use by {own.holder()}; wait for it")
    own.say_who("")
    if not taken(_open(jobs_lock(results))):
        raise UserError("results are in use by jobs that an interrupted run left; wait for them")


def write_jobs_of(study: Study, directory: Path) -> None:
    """Write the study's jobs.json, which tells other commands what the study uses."""
    sizes = {model: size_of(study, model, directory) for model in study.config.models}
    path = jobs_file(directory, study.config.study)
    with writing(path):
        write_jobs(path, study.config.study, jobs_of(study, sizes))


def profile_folder(profile: str) -> Path:
    """The folder of one of the project's profiles by name, or of a profile given as a path;
    UserError when there is none."""
    folder = Path(profile) if "/" in profile else PROJECT / "profiles" / profile
    if not folder.is_dir():
        known = sorted(p.name for p in (PROJECT / "profiles").iterdir() if p.name != "default")
        hint = f"; for the folder here write ./{profile}" if Path(profile).is_dir() else ""
        raise UserError(
            f"no profile {profile!r}; give a folder, or one of: {', '.join(known)}{hint}"
        )
    return folder


def lock(study: StudyConfig, directory: Path, cluster: bool = False) -> Path:
    """Take the results' lock for this process and what it becomes; returns the jobs' lock file.

    Waits for a run of another study, since both would make what they share, and for jobs that a
    killed run left behind, those in a cluster's queue as well. Raises UserError when another
    launcher is at work on this study, and when nothing can be written where the results go.
    """
    results = directory / "results"
    own = Lock(results)
    if not own.taken():
        other = own.holder()
        if other.study == study.study:
            raise UserError(
                f"study {other.study!r} is being run by process {other.process}; wait for it, or "
                "end it: the same command then goes on where it stopped"
            )
        _tell(
            f"waiting for {other}, which shares {results}/shared with this study; with --directory "
            "a study has a results folder of its own"
        )
        own.wait()
    with writing(results):
        own.say_who(study.study)
    for place in (directory, results, *sorted(path for path in results.iterdir() if path.is_dir())):
        try_writing(place)
    os.set_inheritable(own.descriptor, True)
    # Checked without the Slurm profile, too, since the killed run may have used it.
    if cluster or slurm.queued(directory, or_none=True):
        slurm.wait_for_orphans(directory, _tell)
    jobs = jobs_lock(results)
    _wait_for_orphans(jobs)
    return jobs


def settle_cache(directory: Path) -> None:
    """Have Snakemake keep its cache beside the results where the user's cannot be written, as in
    containers and on some clusters' nodes; sets variables of this process.

    The Hub's cache stays where it is if there is one, since it may hold what a study reads.
    """
    try:
        usual = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        (usual / "snakemake").mkdir(parents=True, exist_ok=True)
        try_writing(usual / "snakemake")
        return
    except (OSError, UserError):
        if (usual / "huggingface").is_dir():
            os.environ.setdefault("HF_HOME", str(usual / "huggingface"))
    except RuntimeError:
        pass  # The user has no home folder.
    os.environ["XDG_CACHE_HOME"] = str(directory.resolve() / ".snakemake" / "cache")


#: By default glibc returns large blocks to the system and gets them anew, zeroed, for every tensor;
#: keeping them, evaluating a built-in model takes about an eighth less core time and no more
#: memory.
_KEPT = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def run(line: Sequence[str], jobs_lock: Path | None, forks: bool = False) -> None:
    """Become Snakemake. The lock's descriptor is inherited; does not return.

    A dry run, which makes nothing, needs no lock. With `forks`, jobs here share their imports.
    """
    if jobs_lock:
        os.environ[JOBS_LOCK] = str(jobs_lock.resolve())
    for name in _KEPT:
        os.environ.setdefault(name, str(4 << 30))
    if forks:
        forkserver.start()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(line[0], list(line))


def try_writing(folder: Path) -> None:
    """UserError when not even a block can be written in `folder`; leaves nothing there."""
    with writing(folder), tempfile.TemporaryFile(dir=folder) as stream:
        stream.write(b"\0" * _BLOCK)
        stream.flush()


def _wait_for_orphans(path: Path) -> None:
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _tell("waiting for jobs that an interrupted run left behind")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _tell(message: str) -> None:
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
