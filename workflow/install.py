"""Completes the virtual environment, or makes it: `python workflow/install.py .venv`, from make.

Runs before anything is installed, and under Pythons that the project refuses: the standard library
alone, in syntax that Python 3.6 reads.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
CONSTRAINTS = PROJECT / "constraints"
#: Says that an environment is complete; and which torch this project installed into it.
STAMP, RECORD = ".installed", ".torch"
#: Distributions that only torch brings; torch's version decides theirs.
OF_TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")


def supported():
    """The minor versions of Python that the package takes, as ["3.11", ...], the oldest first."""
    text = (PROJECT / "pyproject.toml").read_text()
    first, end = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', text).groups()
    return [f"3.{minor}" for minor in range(int(first), int(end))]


def constraints_of(version):
    """The file of pinned versions for a Python ("3.11")."""
    return CONSTRAINTS / f"python{version}.txt"


def refusal(version, pip_can_be_had=True):
    """Why a Python of this version ("3.9") cannot make the environment; None when it can."""
    *others, last = supported()
    if version not in (*others, last):
        return (
            f"Python {', '.join(others)} or {last} is needed, this is {version}. On Debian 12, "
            "Debian 13 and Ubuntu 24.04: apt-get install python3 python3-venv"
        )
    if not pip_can_be_had:
        return (
            f"python{version} has no ensurepip, so it cannot make an environment. On Debian and "
            f"Ubuntu: apt-get install python{version}-venv"
        )
    return None


def least_torch():
    """The oldest torch that the package takes, as (2, 6, 1)."""
    text = (PROJECT / "pyproject.toml").read_text()
    return as_numbers(re.search(r'"torch>=([0-9.]+)', text).group(1))


def as_numbers(version):
    """A version's first two numbers, and 1, or 0 for one that comes before the release: (2, 13, 1)
    of "2.13.0+cpu", (2, 6, 0) of "2.6.0a0+git"."""
    major, minor, rest = re.match(r"(\d+)\.(\d+)([^+]*)", version).groups()
    return int(major), int(minor), 0 if re.search(r"a|b|rc|dev", rest) else 1


def constraints(text, torch, required):
    """The constraints to install with: `text`, or, if an installed torch stays, `text` with that
    torch in place of its own and of what only torch brings, and without the distributions that the
    installed torch requires, some of them in one version only."""
    if torch is None:
        return text
    free = {normal(re.match(r"[\w.-]+", line).group()) for line in required}

    def stays(line):
        name = normal(line.partition("==")[0])
        return name not in free and not OF_TORCH.fullmatch(name)

    return "\n".join([*filter(stays, text.splitlines()), f"torch=={torch}"]) + "\n"


def normal(name):
    """A distribution's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def torch_that_stays(installed, chosen):
    """The installed torch if it is kept, else None.

    The one that an installation of this project chose follows the constraints; one that was there
    before stays if the package takes it.
    """
    if installed is None or installed == chosen:
        return None
    return installed if as_numbers(installed) >= least_torch() else None


def is_pinned(installed, text):
    """Whether an installed torch, of whatever build, is the one of the constraints."""
    pin = re.search(r"^torch==(\S+)", text, re.MULTILINE).group(1)
    return installed is not None and installed.split("+")[0] == pin


def sees_gpu():
    """Whether a driver of NVIDIA's is there."""
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


def kernels_note(built, compiler):
    """One line about sparse kernels that were not built; None when they were."""
    if built:
        return None
    missing = "building them failed" if compiler else "there is no C++ compiler (g++)"
    mend = "`make kernels` shows why" if compiler else "apt-get install g++, then `make kernels`"
    return (
        f"note: the sparse C++ kernels are missing: {missing}. No result of a study depends on "
        f"them; decoding with skipped neurons is slower than dense without them. {mend}"
    )


def points_elsewhere(settings):
    """Whether pip is configured to use places other than the public index, which may have other
    builds; `settings` as `pip config list` prints them, variables of the environment included."""
    names = r"\.(find-links|index-url|extra-index-url|no-index)='?\S"
    return re.search(names, settings) is not None


class Environment:
    """A virtual environment, there or not."""

    def __init__(self, folder):
        # The path is not resolved: the Python inside is a link to the one that it was made with.
        self.folder = Path(folder).absolute()
        self.python = self.folder / "bin" / "python"
        self.stamp = self.folder / STAMP
        self.record = self.folder / RECORD

    def ask(self, code):
        """What a line of Python prints inside; None when it fails."""
        try:
            done = subprocess.run(
                [str(self.python), "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError:
            return None
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def installed(self, distribution):
        """Version of a distribution, or None."""
        return self.ask(f"import importlib.metadata as m; print(m.version({distribution!r}))")

    def required(self, distribution):
        """What a distribution requires without extras, as lines."""
        asked = f"import importlib.metadata as m; print(*m.requires({distribution!r}), sep='\\n')"
        lines = (self.ask(asked) or "").splitlines()
        return [line for line in lines if "extra ==" not in line]

    def chosen(self, installed):
        """The torch that this project installed; None when the one inside is the user's own. An
        environment that was completed before there was a record holds the project's."""
        if self.record.exists():
            return self.record.read_text().strip() or None
        return installed if self.stamp.exists() else None

    def settings(self):
        """pip's settings from its files and from the environment, one per line."""
        return self.ask("from pip._internal.cli.main import main; main(['config', 'list'])") or ""

    def pip(self, *arguments):
        """Run pip; errors and nothing else are shown. Exits where it fails."""
        line = [str(self.python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        done = subprocess.run([*line, *arguments], cwd=str(PROJECT))
        if done.returncode:
            sys.exit(done.returncode)


def tell(text):
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(line, otherwise):
    """Run a command; exits with an error where it fails."""
    if subprocess.run(line).returncode:
        sys.exit("error: " + otherwise)


def make(environment):
    """Make the environment with the Python that runs this, unless it is there."""
    where = environment.folder
    # A dangling link to a Python that is gone is there, although `exists` says no.
    if os.path.lexists(str(environment.python)):
        inside = environment.ask("import sys; print('{}.{}'.format(*sys.version_info))")
        if inside is None:
            sys.exit(f"error: the Python in {where} does not run; remove {where}")
        reason = refusal(inside)
        if reason:
            sys.exit(f"error: {where} holds another Python: {reason}; then remove {where}")
        return inside
    version = "{}.{}".format(*sys.version_info)
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        reason = refusal(version, pip_can_be_had=False)
    else:
        reason = refusal(version)
    if reason:
        sys.exit("error: " + reason)
    tell(f"making {where} with Python {platform.python_version()} ({sys.executable})")
    lacking = refusal(version, pip_can_be_had=False)
    run(
        [sys.executable, "-m", "venv", str(where)], f"{where} could not be made. Perhaps: {lacking}"
    )
    return version


def install(environment, version, torch_index):
    """Install the project with all that it needs."""
    if environment.ask("import pip") is None:
        lacking = refusal(version, pip_can_be_had=False)
        run([str(environment.python), "-m", "ensurepip"], f"there is no pip inside, and {lacking}")
    installed = environment.installed("torch")
    kept = torch_that_stays(installed, environment.chosen(installed))
    pins = environment.folder / "constraints.txt"
    text = constraints_of(version).read_text()
    pins.write_text(constraints(text, kept, environment.required("torch") if kept else []))
    if kept:
        tell(f"keeping torch {kept}, which is there already")
    elif not is_pinned(installed, text):
        if installed:
            tell(f"torch {installed} makes way for the pinned one")
        fetch_torch(environment, pins, torch_index)
    tell(f"installing into {environment.folder} (some minutes)")
    # torch goes first: it is the largest download, and an interrupted installation then keeps it.
    environment.pip("--constraint", str(pins), "torch")
    environment.record.write_text("" if kept else f"{environment.installed('torch')}\n")
    environment.pip("--constraint", str(pins), "--editable", ".[dev]")
    environment.stamp.touch()


def fetch_torch(environment, pins, torch_index):
    """Install torch from the index that is named for it, or say what the public one brings."""
    if torch_index:
        tell(f"torch comes from TORCH_INDEX={torch_index}")
        index = ("--no-deps", "--index-url", torch_index)
        environment.pip("--constraint", str(pins), *index, "torch")
        environment.record.write_text(f"{environment.installed('torch')}\n")
    elif (
        sys.platform == "linux" and not sees_gpu() and not points_elsewhere(environment.settings())
    ):
        tell(WITHOUT_GPU)


WITHOUT_GPU = """\
no GPU is seen here. torch as the public index has it brings about 2.5 GB of CUDA libraries. To have
the build for CPUs instead, stop this now and call one of
    make study TORCH_INDEX=<address of an index of CPU builds; torch's own site names it>
    PIP_FIND_LINKS=<folder that holds a CPU build> make study
or install a torch of your own into .venv first: it is kept if it fits."""


def main(folder, torch_index):
    """Make and complete the environment in `folder`."""
    environment = Environment(folder)
    install(environment, make(environment), torch_index)
    built = (PROJECT / "src/pipeline/kernels/cpp/libcold_kernels.so").exists()
    compiler = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
    note = kernels_note(built, compiler)
    if note:
        tell(note)
    installed = environment.installed("torch")
    tell(f"installed; torch {installed}, C++ kernels {'built' if built else 'missing'}")


if __name__ == "__main__":
    main(sys.argv[1], os.environ.get("TORCH_INDEX"))
