"""Writes and checks the pinned versions in constraints/, one file for each supported Python.

    python workflow/pins.py             # what pyproject.toml asks for now; pins that fit stay
    python workflow/pins.py --upgrade   # the newest versions of everything but torch
    python workflow/pins.py --check     # the files hold, and are complete, or exit 1

All of it asks the public index alone, without pip's configuration and without local wheels. So
a file holds for torch as the index has it, with the CUDA libraries and the Triton that it asks for,
and for a build for CPUs, which asks for less. The versions are those for Linux on x86_64.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from install import CONSTRAINTS, PROJECT, constraints_of, supported  # noqa: E402

#: The torch of every published figure, and of the built-in models.
TORCH = "torch==2.13.0"
PLATFORM = "x86_64-manylinux_2_28"
HEADER = """\
# Every version of the environment, for Python {version} on Linux. Written by `make constraints`.
"""


def environment() -> dict[str, str]:
    """This process' environment without variables that point uv to other indexes; uv reads none of
    pip's."""
    return {k: v for k, v in os.environ.items() if not k.startswith("UV_")}


def resolve(version: str, pins: Path, *arguments: str) -> str | None:
    """What `.[dev]` resolves to for a Python, preferring `pins`. None where nothing fits, which has
    then been reported on stderr."""
    with tempfile.TemporaryDirectory() as folder:
        torch, found = Path(folder, "torch.txt"), Path(folder, "found.txt")
        torch.write_text(TORCH + "\n")
        if pins.exists():
            shutil.copy(pins, found)
        line = [
            sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--no-header",
            "--no-annotate", "--extra", "dev", "--python-version", version, "--python-platform",
            PLATFORM, "--constraint", str(torch), "--output-file", str(found), *arguments,
            "pyproject.toml",
        ]  # fmt: skip
        done = subprocess.run(line, cwd=PROJECT, env=environment(), check=False)
        return found.read_text() if done.returncode == 0 else None


def write(upgrade: bool) -> int:
    """Write all files. The oldest Python goes first, and the others take its versions where they
    can: rows are to be equal on all of them."""
    before = constraints_of(supported()[0])
    for version in supported():
        arguments = ["--upgrade"] if upgrade and version == supported()[0] else []
        found = resolve(version, before, *arguments)
        if found is None:
            return 1
        before = constraints_of(version)
        before.parent.mkdir(exist_ok=True)
        before.write_text(HEADER.format(version=version) + found)
    return 0


def check() -> int:
    """Resolve with each file's pins as constraints, and compare what comes out with the file."""
    wrong = 0
    for version in supported():
        path = constraints_of(version)
        found = resolve(version, path, "--constraint", str(path))
        same = found is not None and HEADER.format(version=version) + found == path.read_text()
        name = path.relative_to(PROJECT)
        sys.stdout.write(f"{name}: {'holds' if same else 'does not hold; run make constraints'}\n")
        wrong += not same
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--upgrade", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    CONSTRAINTS.mkdir(exist_ok=True)
    sys.exit(check() if given.check else write(given.upgrade))
