"""Commands of the project as forks of one process that has imported what others wrote of it.

A dry run's own work takes a second, and imports of libraries take longer. The forks import the
project itself, from the copy that they are asked about: nothing of it is imported before.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

#: What a launcher and Snakemake import of others' modules. Not polars, which must not be forked.
_IMPORTED = ("snakemake.cli", "snakemake.workflow", "pydantic", "yaml", "pyarrow.parquet")


def run(
    line: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """How `line`, a Python's command line that runs a module, ended in `folder`, and what it said;
    what PYTHONPATH names is found first."""
    with (
        tempfile.NamedTemporaryFile("r", encoding="utf-8") as out,
        tempfile.NamedTemporaryFile("r", encoding="utf-8") as err,
    ):
        asked = [list(line), dict(environment), str(folder), out.name, err.name]
        server = _server()
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(line, code, out.read(), err.read())


@cache
def _server() -> Any:
    """Ends with this process, which holds the other end of its input."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def _serve() -> None:
    for name in _IMPORTED:
        __import__(name)
    assert "pipeline" not in sys.modules and "polars" not in sys.modules
    for asked in sys.stdin:
        if child := os.fork():
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            print(code, flush=True)
        else:
            _be(*json.loads(asked))


def _be(line: list[str], environment: dict[str, str], folder: str, *said: str) -> NoReturn:
    """The process that `line` would start."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    os.execv = _become  # type: ignore[assignment]
    code: Any = 1
    try:
        _become(line[0], line)
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _become(_program: str, line: Sequence[str]) -> NoReturn:
    """Run the module of a Python's command line to its end."""
    assert line[1] == "-m"
    sys.argv[:] = line[2:]
    runpy.run_module(line[2], run_name="__main__", alter_sys=True)
    raise SystemExit(0)


if __name__ == "__main__":
    _serve()
