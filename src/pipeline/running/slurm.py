"""What the launcher knows of Slurm: its options for a study, and jobs that a killed run left.

Slurm's jobs outlive the launcher that submitted them, and one that is still pending holds no lock.
So they carry a name that identifies the results folder, by which the next launcher finds them.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.running import settings
from pipeline.store import digest

#: Longest `--slurm-jobname-prefix` that the plugin takes.
_PREFIX_LENGTH = 50
_PREFIX_OPTION = "--slurm-jobname-prefix"
_STATUS_OPTION = "--slurm-status-command"
#: A controller that does not answer within this many seconds counts as down.
_PATIENCE = 60
#: Slurm's messages where it is not installed, or installed but not part of a cluster.
_NO_SLURM = ("there is no squeue", "establish a configuration source")
#: States that Slurm counts as pending: the job runs nothing.
_PENDING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")


@dataclass(frozen=True)
class QueuedJob:
    """A job of the queue; `identity` as `scancel` takes it, of an array too."""

    identity: str
    state: str

    @property
    def pending(self) -> bool:
        """Whether it waits for a node."""
        return self.state in _PENDING


def used_by(profile: Path, extra: Sequence[str]) -> bool:
    """Whether a profile's folder, or an option given after it, chooses the executor `slurm`."""
    return settings.executor(profile, extra) == "slurm"


def options(study: str, directory: Path, profile: Path, extra: Sequence[str]) -> list[str]:
    """Snakemake's options for this cluster: the jobs' name, and without accounting `squeue` for
    their states, since the plugin's own choice, `sacct`, then never answers.

    What the profile or the user says about the states is left alone. Raises UserError for a job
    name that the user chose, by which a killed run's jobs would not be found, and when Slurm does
    not answer.
    """
    file = settings.of_profile(profile)
    name = _PREFIX_OPTION.removeprefix("--")
    if settings.option(extra, _PREFIX_OPTION) or name in file:
        raise UserError(
            f"{_PREFIX_OPTION} is chosen by the launcher, which finds the jobs of a killed run by "
            "it; leave it out"
        )
    chosen = [_PREFIX_OPTION, job_name(study, directory)]
    given = settings.option(extra, _STATUS_OPTION)
    told = given or file.get(_STATUS_OPTION.removeprefix("--"))
    return chosen if told or has_accounting() else [*chosen, _STATUS_OPTION, "squeue"]


def job_name(study: str, directory: Path) -> str:
    """The study's name, in the letters that the plugin allows, and the results folder's mark."""
    mark = _mark(directory)
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", study)
    return plain[: _PREFIX_LENGTH - len(mark)] + mark


def has_accounting() -> bool:
    """Whether the cluster keeps ended jobs in a database; UserError when Slurm does not answer."""
    shown = _ask("scontrol", "show", "config")
    kept = re.search(r"^AccountingStorageType\s*=\s*(\S+)", shown, re.M)
    return kept is not None and kept[1] not in ("accounting_storage/none", "(null)")


def jobs_of(directory: Path) -> list[QueuedJob]:
    """The user's jobs in the queue whose name identifies this results folder, of any study."""
    listed = _ask("squeue", "--noheader", f"--user={os.getuid()}", "--format=%i|%T|%j")
    jobs = [line.strip().split("|", 2) for line in listed.splitlines() if line.count("|") >= 2]
    return [QueuedJob(job, state) for job, state, name in jobs if f"{_mark(directory)}_" in name]


def queued(directory: Path, or_none: bool = False) -> list[QueuedJob]:
    """The user's jobs of this results folder in the queue; none where there is no Slurm.

    UserError when there is one and it does not answer, unless that counts as none.
    """
    try:
        return jobs_of(directory)
    except UserError as error:
        if or_none or any(words in str(error) for words in _NO_SLURM):
            return []
        raise


def wait_for_orphans(directory: Path, tell: Callable[[str], None], interval: float = 10) -> None:
    """Cancel a killed run's pending jobs, wait until its running ones have ended, and report both.

    Asks every `interval` seconds. To be called with the results' lock held, so that no living run
    can own them.
    """
    told = False
    while jobs := jobs_of(directory):
        pending = [job.identity for job in jobs if job.pending]
        running = [job for job in jobs if not job.pending]
        if pending:
            tell(f"cancelling pending jobs that an interrupted run left: {', '.join(pending)}")
            # Only those that still pend: one may have started meanwhile.
            _ask("scancel", "--state=PENDING", *pending)
        if running and not told:
            listed = ", ".join(job.identity for job in running)
            tell(
                f"waiting for running jobs that an interrupted run left: {listed}; "
                f"`scancel {listed.replace(',', '')}` ends them at once"
            )
            told = True
        time.sleep(interval)


def _mark(directory: Path) -> str:
    return f"-{digest.of_value(str(directory.resolve() / 'results'))[:8]}"


def _ask(*command: str) -> str:
    """Standard output of one of Slurm's commands."""
    advice = "run on a node that submits jobs, or without Slurm: --profile local (PROFILE=local)"
    said = " ".join(command)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError:
        raise UserError(f"the profile is for Slurm; there is no {command[0]}: {advice}") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{said}: no answer within {_PATIENCE} s; try again, or {advice}") from None
    if done.returncode:
        raise UserError(f"{said}: {done.stderr.strip()}; {advice}")
    return done.stdout
