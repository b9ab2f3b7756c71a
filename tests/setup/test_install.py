"""What the installer decides: which Python, which torch, and what it tells."""

import ast
import os
import subprocess
import sys

import pytest

from pipeline.planning.study import PROJECT
from workflow import install

TEXT = """\
# a comment
numpy==2.4.6
nvidia-cublas==13.1.1.3
cuda-bindings==13.5.0
sympy==1.14.0
torch==2.13.0
torch-something==1.0
triton==3.7.1
typing-extensions==4.16.0
"""


def test_pythons_are_those_of_the_package_and_each_has_its_pins():
    assert install.supported() == ["3.11", "3.12", "3.13"]
    wanted = {install.constraints_of(version) for version in install.supported()}
    assert wanted == set(install.CONSTRAINTS.iterdir())


def test_a_python_outside_is_refused_with_what_to_install():
    for version in ("3.9", "3.10", "3.14", "2.7"):
        why = install.refusal(version)
        assert f"3.11, 3.12 or 3.13 is needed, this is {version}" in why
        assert "apt-get install python3 python3-venv" in why
    assert all(install.refusal(version) is None for version in install.supported())
    assert "apt-get install python3.12-venv" in install.refusal("3.12", pip_can_be_had=False)


def test_old_pythons_can_read_the_installer():
    """They are to be refused in a sentence, not by a syntax error."""
    ast.parse((PROJECT / "workflow/install.py").read_text(), feature_version=(3, 6))


def test_a_torch_that_stays_takes_the_place_of_the_pinned_one_and_its_company():
    assert install.constraints(TEXT, None, []) == TEXT
    required = ['sympy==1.13.1; python_version >= "3.9"', "Typing_Extensions>=4.8"]
    kept = install.constraints(TEXT, "2.7.1", required).splitlines()
    assert kept == ["# a comment", "numpy==2.4.6", "torch-something==1.0", "torch==2.7.1"]


@pytest.mark.parametrize(
    ("installed", "chosen", "stays"),
    [
        (None, None, None),
        ("2.6.0+cu124", None, "2.6.0+cu124"),
        ("2.14.1", "2.12.0", "2.14.1"),
        ("2.9rc1", None, "2.9rc1"),
        # Too old for the package: replaced; what comes before a release is older than it.
        ("2.5.1", None, None),
        ("2.6.0a0+git1234", None, None),
        # What this project chose itself follows the pins.
        ("2.12.0", "2.12.0", None),
    ],
)
def test_which_torch_stays(installed, chosen, stays):
    assert install.torch_that_stays(installed, chosen) == stays


def test_the_oldest_torch_is_the_packages():
    assert install.least_torch() == (2, 6, 1)
    assert install.as_numbers("2.13.0+cu130") == (2, 13, 1)


def test_a_build_of_the_pinned_torch_is_the_pinned_torch():
    assert install.is_pinned("2.13.0+cpu", TEXT) and install.is_pinned("2.13.0", TEXT)
    assert not install.is_pinned("2.13.1", TEXT) and not install.is_pinned(None, TEXT)


def test_all_pythons_have_the_same_versions():
    """So that the rows can be the same."""
    texts = [install.constraints_of(v).read_text().partition("\n")[2] for v in install.supported()]
    assert len(set(texts)) == 1


def test_missing_kernels_are_told_in_one_line():
    assert install.kernels_note(True, None) is None
    without, failed = install.kernels_note(False, None), install.kernels_note(False, "/usr/bin/g++")
    assert "no C++ compiler" in without and "apt-get install g++" in without
    assert "failed" in failed and "`make kernels` shows why" in failed
    assert "\n" not in without + failed


def fake_python(folder, version, code="exit 0"):
    """A program that says it is a Python of some version, and cannot do anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ncase "$2" in *version_info*) echo {version};; *) {code};; esac\n')
    path.chmod(0o755)


def test_an_environment_of_another_python_is_refused(tmp_path):
    fake_python(tmp_path / "venv/bin", "3.9")
    environment = install.Environment(tmp_path / "venv")
    with pytest.raises(SystemExit, match=r"holds another Python: .* this is 3\.9\. .*remove"):
        install.make(environment)


def test_an_environment_whose_python_is_gone_is_refused(tmp_path):
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").symlink_to(tmp_path / "gone")
    with pytest.raises(SystemExit, match="does not run; remove"):
        install.make(install.Environment(tmp_path / "venv"))


class Recorded(install.Environment):
    """An environment that only notes what pip is asked for."""

    def __init__(self, folder, torch=None, stop_at=None, settings=""):
        super().__init__(folder)
        self.calls, self.torch, self.stop_at = [], torch, stop_at
        self.pip_settings = settings
        self.folder.mkdir(exist_ok=True)

    def ask(self, code):
        if "requires" in code:
            return "sympy==1.13.1"
        return self.torch if "version('torch')" in code else "there"

    def pip(self, *arguments):
        self.calls.append(arguments)
        if arguments[-1] == self.stop_at:
            sys.exit(1)
        self.torch = self.torch or "2.13.0"

    def settings(self):
        return self.pip_settings


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A function: the torch that is there, TORCH_INDEX, whether a GPU is seen, pip's settings ->
    what was done."""

    def run(torch=None, index=None, gpu=False, stop_at=None, settings=""):
        monkeypatch.setattr(install, "sees_gpu", lambda: gpu)
        environment = Recorded(tmp_path / "venv", torch, stop_at, settings)
        install.install(environment, "3.13", index)
        return environment

    return run


def test_cuda_libraries_are_told_of_before_they_are_downloaded(recorded, capsys):
    environment = recorded()
    told = capsys.readouterr().out
    assert told.index("2.5 GB") < told.index("installing into")
    for way in ("TORCH_INDEX=", "PIP_FIND_LINKS=", "of your own"):
        assert way in told
    torch, rest = environment.calls
    assert torch[-1] == "torch" and rest[-1] == ".[dev]"
    assert environment.record.read_text() == "2.13.0\n" and environment.stamp.exists()
    pins = (environment.folder / "constraints.txt").read_text()
    assert pins == install.constraints_of("3.13").read_text()


def test_with_a_gpu_nothing_is_said(recorded, capsys):
    recorded(gpu=True)
    assert "2.5 GB" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["find-links", "index-url", "extra-index-url", "no-index"])
@pytest.mark.parametrize("place", [":env:", "global"])
def test_where_pip_is_told_of_other_places_nothing_is_said(recorded, capsys, place, name):
    recorded(settings=f"global.cert='c'\n{place}.{name}='somewhere'")
    assert "2.5 GB" not in capsys.readouterr().out


def test_pip_says_what_its_files_and_variables_hold(tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text("[install]\nfind-links = /builds\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    environment = install.Environment(tmp_path / "venv")
    environment.python = sys.executable
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert not install.points_elsewhere(environment.settings())
    monkeypatch.setenv("PIP_FIND_LINKS", "/builds")
    assert install.points_elsewhere(environment.settings())
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert install.points_elsewhere(environment.settings())


def test_an_installation_that_was_interrupted_goes_on_with_the_pins(recorded, capsys):
    with pytest.raises(SystemExit):
        recorded(stop_at=".[dev]")
    environment = recorded(torch="2.13.0")
    assert "keeping" not in capsys.readouterr().out
    pins = (environment.folder / "constraints.txt").read_text()
    assert pins == install.constraints_of("3.13").read_text()


def test_an_environment_of_before_the_record_holds_the_projects_torch(recorded, tmp_path, capsys):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / install.STAMP).touch()
    recorded(torch="2.13.0+cpu")
    assert "keeping" not in capsys.readouterr().out


def test_a_torch_that_makes_way_is_told_with_what_comes(recorded, capsys):
    recorded(torch="2.5.1")
    told = capsys.readouterr().out
    assert "torch 2.5.1 makes way for the pinned one" in told and "2.5 GB" in told


def test_an_index_of_cpu_builds_is_asked_for_torch_alone(recorded, capsys):
    first, *_ = recorded(index="file:///builds").calls
    assert first[-4:] == ("--no-deps", "--index-url", "file:///builds", "torch")
    assert "2.5 GB" not in capsys.readouterr().out


def test_a_torch_of_the_users_own_is_kept(recorded, capsys):
    environment = recorded(torch="2.7.1+cu118")
    assert "keeping torch 2.7.1+cu118" in capsys.readouterr().out
    pins = (environment.folder / "constraints.txt").read_text().splitlines()
    assert "torch==2.7.1+cu118" in pins and not any(p.startswith("nvidia-") for p in pins)
    assert not any(p.startswith("sympy==") for p in pins)
    # And is still the user's own at the next installation.
    assert environment.stamp.exists()
    recorded(torch="2.7.1+cu118")
    assert "keeping torch 2.7.1+cu118" in capsys.readouterr().out


def make(path, **variables):
    """`make .venv/.installed` in a copy, with nothing on PATH but what a test puts there."""
    return subprocess.run(
        ["/usr/bin/make", "--no-print-directory", ".venv/.installed"],
        cwd=path, env={"PATH": f"{path}/bin:/usr/bin:/bin", **variables}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


@pytest.fixture
def bare(tmp_path):
    """The files that installing reads, in a folder with a space in its name."""
    folder = tmp_path / "cold neurons"
    (folder / "workflow").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "setup.py", "workflow/install.py"):
        (folder / name).write_text((PROJECT / name).read_text())
    return folder


def program(folder, name, text):
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_make_takes_the_newest_python_that_runs(bare):
    """python3.13 is a name without a Python behind it, as pyenv leaves them."""
    program(bare, "python3.13", "exit 127")
    program(bare, "python3.12", 'case "$1" in -c) exit 0;; *) echo "3.12 runs $*"; exit 0;; esac')
    program(bare, "python3.11", 'case "$1" in -c) exit 0;; *) echo "3.11 runs $*"; exit 0;; esac')
    assert make(bare).stdout == "3.12 runs workflow/install.py .venv\n"


def test_a_python_can_be_named(bare):
    for name, said in (("python3.13", 13), ("python3.11", 11)):
        program(bare, name, f'case "$1" in -c) exit 0;; *) echo {said};; esac')
    assert make(bare, BASE_PYTHON="python3.11").stdout == "11\n"
    failed = make(bare, BASE_PYTHON="python3.10")
    assert failed.returncode and "there is no python3.10" in failed.stderr


def test_make_completes_the_environment_that_is_there(bare):
    """Whatever else there is."""
    program(bare, "python3.13", 'case "$1" in -c) exit 0;; *) echo 13;; esac')
    (bare / ".venv").mkdir()
    program(bare / ".venv", "python", 'case "$1" in -c) exit 0;; *) echo "own";; esac')
    assert make(bare).stdout == "own\n"


def test_make_prefers_an_older_python_that_can_make_environments(bare):
    program(
        bare, "python3.13", 'case "$*" in *ensurepip*) exit 1;; -c*) exit 0;; *) echo 13;; esac'
    )
    program(bare, "python3.12", "exit 127")
    program(bare, "python3.11", 'case "$1" in -c) exit 0;; *) echo 11;; esac')
    assert make(bare).stdout == "11\n"
    # Where there is none, the newest says what it lacks.
    program(bare, "python3.11", "exit 127")
    assert make(bare).stdout == "13\n"


def test_the_python_that_runs_this_would_be_taken():
    assert "{}.{}".format(*sys.version_info) in install.supported()
