"""The memory of this machine, and how Snakemake is told of it.

Every rule says how much memory its jobs need. Snakemake starts jobs side by side only while their
sum stays below what the whole run may have, and runs a job that needs more than that alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.running import settings

MEGABYTE = 1_000_000
#: Names under which Snakemake knows memory.
_NAMES = ("mem", "mem_mb", "mem_mib")


@dataclass(frozen=True)
class Memory:
    """Bytes of memory: of the machine, free for new processes, and the lowest limit below the
    machine's memory that a control group sets this process; None without one."""

    total: int
    available: int
    limit: int | None

    @property
    def usable(self) -> int:
        """Bytes that all jobs together may use."""
        return self.total if self.limit is None else self.limit


def memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> Memory | None:
    """The memory of this machine, as the system's files tell it; None where they do not."""
    try:
        lines = (proc / "meminfo").read_text(encoding="utf-8").splitlines()
        kilobytes = {name: rest.split()[0] for name, _, rest in (x.partition(":") for x in lines)}
        total, available = (1024 * int(kilobytes[n]) for n in ("MemTotal", "MemAvailable"))
    except (OSError, LookupError, ValueError):
        return None
    limit = min(_limits(proc, groups), default=total)
    return Memory(total, min(available, limit), limit if limit < total else None)


def limited(
    profile: Path, extra: Sequence[str], here: Memory | None
) -> tuple[list[str], list[str]]:
    """(Snakemake's options for the resources of a whole run; the arguments without theirs).

    What a user says about memory, in `extra` or in the profile, is left alone, and so is a run
    whose jobs are on other machines, or where this one's memory is not known.
    """
    given, left = settings.resources(profile, extra)
    told = any(one.partition("=")[0] in _NAMES for one in given)
    if told or here is None or settings.executor(profile, extra) != "local":
        return [], list(extra)
    return ["--resources", f"mem_mb={here.usable // MEGABYTE}", *given], left


def _limits(proc: Path, groups: Path) -> Iterator[int]:
    """Limits of the control groups that this process is in, and of those that hold them."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        # Version 2 has one tree of groups, version 1 one for each controller.
        if not controllers:
            tops, name = [groups, groups / "unified"], "memory.max"
        elif "memory" in controllers.split(","):
            tops, name = [groups / "memory"], "memory.limit_in_bytes"
        else:
            continue
        # Of a group outside what a container sees, only what it sees is read.
        inner = Path("" if ".." in place else place.lstrip("/"))
        for top in tops:
            for folder in {inner, *inner.parents}:
                yield from _number(top / folder / name)


def _number(file: Path) -> Iterator[int]:
    """The number in a file; nothing where there is no file, or `max` in it."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError:
        return
    if text.isdigit():
        yield int(text)
