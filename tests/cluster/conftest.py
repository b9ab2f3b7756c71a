"""A Slurm cluster of two small nodes on this machine, for as long as the tests need it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGES = ("slurm-wlm", "munge")
NODES = ("n1", "n2")
_DAEMONS = ("munged", "slurmctld", "slurmd")
_SBIN = "/usr/sbin:/sbin"

# config_overrides: the nodes are as large as written here, whatever the machine has.
# OverMemoryKill: without cgroups, which a container need not have, the gatherer itself ends a job
# that is over its memory, looking once a second.
# SlurmdTimeout, cred_expire: a dead node is noticed within seconds, and its jobs may start again.
# MinJobAge: squeue knows an ended job for as long as the plugin may need to ask.
_CONFIGURATION = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/%n.spool
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
SlurmdTimeout=10
ReturnToService=2
KillWait=2
MinJobAge=300
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=1
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
JobAcctGatherFrequency=task=1
AccountingStorageType=accounting_storage/none
{nodes}
PartitionName=debug Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""
_NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
    "CPUs=1 RealMemory=8000 Gres=gpu:1"
)
# To Slurm a GPU is a file.
_GPUS = "Name=gpu File=/dev/zero\n"


class Unavailable(Exception):
    """There can be no Slurm here; the text says why."""


class Cluster:
    """A controller, an authentication daemon and two nodes, all children of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._configuration = folder / "slurm.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What makes Slurm's commands, and the plugin that calls them, talk to this cluster.

        The plugin takes SLURM_CONF from the `srun` in its jobs, so that one stands first on PATH.
        """
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return {"SLURM_CONF": str(self._configuration), "PATH": path}

    def ask(self, *command: str) -> str:
        """Standard output of one of Slurm's commands; fails when the command does."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, text=True, capture_output=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def jobs(self, states: str = "all") -> list[dict[str, str]]:
        """Jobs that the controller remembers, in any of some states; a comment holds the rule."""
        names = ("id", "state", "node", "memory", "time", "comment")
        listed = self.ask(
            "squeue", "--noheader", f"--states={states}", "--format=%i|%T|%N|%m|%l|%k"
        )
        return [
            dict(zip(names, line.split("|"), strict=True)) for line in sorted(listed.splitlines())
        ]

    def start_node(self, name: str) -> None:
        """Start a node's daemon, as a site would after it died."""
        self._start(name, "slurmd", "-D", "-N", name)

    def kill_node(self, name: str, job: str | None = None) -> None:
        """End a node's daemon without a chance to tell anybody; with a job, its processes too, as
        when a machine goes down."""
        self._daemons[name].kill()
        self._daemons.pop(name).wait()
        for process in self._processes(job) if job else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def start(self) -> None:
        """Start all daemons and wait for the nodes; raises Unavailable with their last words."""
        for name in ("state", *(f"{node}.spool" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        self._write_configuration()
        at = self.folder
        self._start(
            "munged", "munged", "--foreground", "--force", f"--socket={at}/munge.socket",
            f"--key-file={key}", f"--pid-file={at}/munged.pid", f"--seed-file={at}/munged.seed",
            f"--log-file={at}/munged.log",
        )  # fmt: skip
        self._wait(lambda: (at / "munge.socket").exists(), "munged", 20)
        self._start("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        self._wait(lambda: self._idle() == len(NODES), "node", 60)

    def stop(self) -> None:
        """End every job, then every daemon that this object started, by its process id."""
        if "slurmctld" in self._daemons:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self.ask("scancel", f"--user={os.getuid()}")
                self._wait(lambda: not self.jobs("RUNNING,COMPLETING"), "end of jobs", 20)
        for process in reversed(self._daemons.values()):
            process.send_signal(signal.SIGTERM)
        for process in self._daemons.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._daemons.clear()

    def _processes(self, job: str) -> list[int]:
        """Processes that a job of this cluster runs; first Slurm's own that watch over them, which
        would still tell of the others' end."""
        marks = {f"SLURM_JOB_ID={job}".encode(), f"SLURM_CONF={self._configuration}".encode()}
        watching, found = set(), set()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if marks <= set((folder / "environ").read_bytes().split(b"\0")):
                    found.add(int(folder.name))
                    parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                    if Path(f"/proc/{parent}/comm").read_text().startswith("slurmstepd"):
                        watching.add(parent)
        return [*watching, *found]

    def _start(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as output:
            self._daemons[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **self.environment}, start_new_session=True,
            )  # fmt: skip

    def _write_configuration(self) -> None:
        srun = self.folder / "bin" / "srun"
        srun.parent.mkdir()
        command = f'SLURM_CONF={self._configuration} exec {shutil.which("srun")} "$@"'
        srun.write_text(f"#!/bin/sh\n{command}\n")
        srun.chmod(0o755)
        host = socket.gethostname().partition(".")[0]
        controller_port, *ports = _free_ports(1 + len(NODES))
        nodes = [
            _NODE.format(name=name, host=host, port=port)
            for name, port in zip(NODES, ports, strict=True)
        ]
        (self.folder / "gres.conf").write_text(_GPUS)
        self._configuration.write_text(
            _CONFIGURATION.format(
                host=host, controller_port=controller_port, folder=self.folder,
                nodes="\n".join(nodes), names=",".join(NODES),
            )
        )  # fmt: skip

    def _idle(self) -> int:
        try:
            return self.ask("sinfo", "--noheader", "--Node", "--format=%T").split().count("idle")
        except AssertionError:
            return 0

    def _wait(self, condition: Callable[[], bool], what: str, seconds: int) -> None:
        end = time.monotonic() + seconds
        while not condition():
            dead = [name for name, process in self._daemons.items() if process.poll() is not None]
            if dead or time.monotonic() > end:
                words = [_last_words(self.folder, name) for name in dead or self._daemons]
                raise Unavailable(f"no {what} within {seconds} s; {'; '.join(words)}")
            time.sleep(0.2)


def install() -> None:
    """Bring Slurm and munge onto this machine by apt; raises Unavailable with the reason."""
    if os.geteuid() != 0:
        raise Unavailable("Slurm's daemons, which run jobs as their users, need root")
    if all(shutil.which(daemon) for daemon in _DAEMONS):
        return
    if not shutil.which("apt-get"):
        raise Unavailable(f"{', '.join(_DAEMONS)} are not here, and neither is apt-get")
    line = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for attempt in range(2):
        if attempt:
            subprocess.run(["apt-get", "update"], env=quiet, capture_output=True, timeout=180)
        done = subprocess.run(line, env=quiet, capture_output=True, text=True, timeout=300)
        if done.returncode == 0:
            return
    raise Unavailable(f"{' '.join(line)}: {done.stderr.strip()[-500:]}")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster whose files lie in a new folder; down again afterwards, its files kept."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _last_words(folder: Path, daemon: str) -> str:
    said = [path.read_text(errors="replace") for path in sorted(folder.glob(f"{daemon}.[lo]*"))]
    return f"{daemon}: {' '.join(said).strip()[-300:]}"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all tests; skips them, with the reason, where there can be none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{os.environ['PATH']}:{_SBIN}")
        with contextlib.ExitStack() as held:
            try:
                install()
                started = held.enter_context(running(tmp_path_factory.mktemp("slurm") / "cluster"))
            except (Unavailable, OSError, subprocess.TimeoutExpired) as reason:
                pytest.skip(f"no Slurm here: {reason}")
            yield started
