"""Jobs that run a model are forks of one process that has imported what they need.

For a small model the imports take longer than most of a job's work. On one machine the launcher
starts a server, which imports nothing until the first job asks. The process that Snakemake started
for a job hands the job over and waits: the fork gets that process' environment, folder and open
files, so it writes to the same log, holds the same locks, and ends when that process does.

A job is handed over as a script's path and its `snakemake` object. Where there is no server, or it
has ended, a job runs in its own process; the result is the same.
"""

import contextlib
import fcntl
import importlib
import os
import pickle
import resource
import runpy
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pipeline.store.threads import ONE_THREAD

#: Names the server's socket to the jobs.
ADDRESS = "COLD_NEURONS_FORK_SERVER"
#: Modules to import once. Not polars, which must not be forked, since it starts a thread of its own
#: when it is imported (the thread of pyarrow's jemalloc is made for forks). The third module is
#: what torch.use_deterministic_algorithms imports.
_IMPORTED = (
    "snakemake.script", "torch", "torch._inductor", "transformers.models.auto.modeling_auto",
    "transformers.modeling_layers", "transformers.generation.utils", "transformers.loss.loss_utils",
    "lm_eval.tasks", "lm_eval.evaluator", "lm_eval.models.huggingface", "datasets", "pydantic",
)  # fmt: skip
#: A job's shell opens its files below this descriptor number; the fork's own lie above it.
_FIRST_OWN = 10
#: What ends the server, besides the end of its launcher; it then takes its folder away.
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)
#: Exit code of a fork that ended without a word, killed or crashed.
KILLED = 128 + signal.SIGKILL
_LENGTH, _STARTED, _ENDED = struct.Struct("<q"), struct.Struct("<q"), struct.Struct("<iqd")


@dataclass(frozen=True)
class Ended:
    """How a job ended: exit code, most bytes of memory held, seconds of processor time."""

    code: int
    memory: int
    processor: float


def start() -> None:
    """Start a server that lives as long as this process, whatever program it becomes; its socket is
    named in the environment. Where temporary files cannot be made or have long names, there is
    none."""
    with contextlib.suppress(OSError):
        folder = Path(tempfile.mkdtemp(prefix="cold-neurons-"))
        try:
            _start(folder)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> None:
    address = str(folder / "fork-server")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        alive, ours = os.pipe()
        given = (listener.fileno(), alive)
        subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, *map(str, given), str(folder)],
            pass_fds=given,
            stdin=subprocess.DEVNULL,
            env=os.environ | ONE_THREAD,
        )
        os.close(alive)
    # Closed by the kernel when this process ends, which the server sees.
    os.set_inheritable(ours, True)
    os.environ[ADDRESS] = address


def run(script: str, job: Any) -> Ended | None:
    """Have a script run as a fork with `job` as its `snakemake`; None where no server takes it."""
    address = os.environ.get(ADDRESS)
    if not address:
        return None
    with socket.socket(socket.AF_UNIX) as server:
        descriptors = [number for number in range(_FIRST_OWN) if _inherited(number)]
        deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        message = pickle.dumps((script, job, dict(os.environ), os.getcwd(), descriptors, deaf))
        try:
            server.connect(address)
            socket.send_fds(server, [_LENGTH.pack(len(message))], descriptors)
            server.sendall(message)
            _received(server, _STARTED.size)
        except (OSError, EOFError):
            return None
        # The terminal sends the interrupt to the fork as well, which reports it and ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return Ended(*_ENDED.unpack(_received(server, _ENDED.size)))
        except (OSError, EOFError):
            return Ended(KILLED, 0, 0.0)


def serve(listener: socket.socket, alive: int) -> None:
    """Fork a child for every connection until the other end of the pipe `alive` is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nobody waits for the children here.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for ending in _ENDINGS:
        signal.signal(ending, lambda number, _frame: sys.exit(128 + number))
    while alive not in select.select([listener.fileno(), alive], [], [])[0]:
        connection = listener.accept()[0]
        for name in _IMPORTED:
            importlib.import_module(name)
        if os.fork() == 0:
            listener.close()
            os.close(alive)
            _become(connection)
        connection.close()


def _become(connection: socket.socket) -> NoReturn:
    """Run the job that a connection hands over, and report how it ended."""
    code = 1
    try:
        for number in (signal.SIGCHLD, *_ENDINGS):
            signal.signal(number, signal.SIG_DFL)
        connection = socket.socket(fileno=_moved(connection.detach()))
        script, job = _taken_over(connection)
        connection.sendall(_STARTED.pack(os.getpid()))
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        runpy.run_path(script, {"snakemake": job}, "__main__")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            # A second Ctrl-C must not lead back to the server's loop.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            connection.sendall(_ENDED.pack(code, *usage()))
        finally:
            os._exit(code)


def is_fork() -> bool:
    """True in a process that was forked for a job: another one waits for it."""
    return os.environ.get(ADDRESS) == ""


def usage() -> tuple[int, float]:
    """(most bytes of memory that this process has held, its seconds of processor time)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # The kernel's figure above is never less than what the parent process held when this one
    # started.
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        held = (int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
        memory = next(held, memory)
    return memory, used.ru_utime + used.ru_stime


def _taken_over(connection: socket.socket) -> tuple[str, Any]:
    """(script, job) of a connection, after taking on its environment, folder and open files."""
    head, received, _, _ = socket.recv_fds(connection, _LENGTH.size, _FIRST_OWN)
    (length,) = _LENGTH.unpack(head)
    opened = [_moved(number) for number in received]
    # The socket lies in a folder that this user alone can enter.
    script, job, environment, folder, descriptors, deaf = pickle.loads(
        _received(connection, length)
    )
    for own, number in zip(opened, descriptors, strict=True):
        os.dup2(own, number)
        os.close(own)
    if not deaf:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.environ[ADDRESS] = ""
    os.chdir(folder)
    # Looked up again, since the job's environment may name another folder.
    tempfile.tempdir = None
    return script, job


def _end_with(connection: socket.socket) -> None:
    """End this process when the one that handed the job over is gone."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    os._exit(128 + signal.SIGTERM)


def _moved(number: int) -> int:
    """The same open file under a descriptor number above those of a job's files."""
    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST_OWN)
    os.close(number)
    return moved


def _inherited(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:
        return False


def _received(connection: socket.socket, length: int) -> bytes:
    """Exactly `length` bytes; EOFError when there are no more."""
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


if __name__ == "__main__":
    given, pipe, place = sys.argv[1:]
    try:
        serve(socket.socket(fileno=_moved(int(given))), _moved(int(pipe)))
    finally:
        shutil.rmtree(place, ignore_errors=True)
