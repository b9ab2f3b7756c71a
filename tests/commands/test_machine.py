"""What a machine is made of, by files and programs that stand in for it."""

import errno

import pytest

from pipeline.commands import devices, machine
from pipeline.commands.machine import Driver, Library
from pipeline.running import launcher


@pytest.mark.parametrize(
    ("version", "takes", "fits"),
    [
        ("2.13.0+cpu", ">=2.6", True),
        ("2.6.0", ">=2.6", True),
        ("2.6.0a0+git1", ">=2.6", False),
        ("2.10", ">=2.6", True),
        ("2.5.1", ">=2.6", False),
        (None, ">=2.6", False),
        ("3.14.0", ">=3.11,<3.14", False),
        ("0.1", "", True),
    ],
)
def test_whether_a_version_is_taken(version, takes, fits):
    assert Library("torch", version, takes).fits is fits


def test_libraries_are_those_of_pyproject(tmp_path, monkeypatch):
    there = {"numpy": "2.1", "lm-eval": "0.4.1", "rich": "13"}
    monkeypatch.setattr(machine, "installed", there.get)
    monkeypatch.setattr(machine.platform, "python_version", lambda: "3.12.1")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nrequires-python = ">=3.11,<3.14"\n'
        'dependencies = ["numpy>=2", "lm-eval[hf]>=0.4.13", "torch>=2.6"]\n'
    )
    python, libraries = machine.python_and_libraries(tmp_path)
    assert python == Library("python", "3.12.1", ">=3.11,<3.14") and python.fits
    assert libraries == (
        Library("numpy", "2.1", ">=2"),
        Library("lm-eval", "0.4.1", ">=0.4.13"),
        Library("torch", None, ">=2.6"),
    )
    assert [one.fits for one in libraries] == [True, False, False]


def test_every_library_of_this_project_is_installed_here():
    python, libraries = machine.python_and_libraries()
    assert python.fits and [one.name for one in libraries if not one.fits] == []
    assert {"torch", "transformers", "lm-eval", "snakemake"} < {one.name for one in libraries}


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A function that puts an nvidia-smi in front of all programs: what it prints asked for a
    table, and else."""

    def write(table, page):
        (tmp_path / "table").write_text(table)
        (tmp_path / "page").write_text(page)
        script = tmp_path / "nvidia-smi"
        shown = f'[ $# = 0 ] && exec cat "{tmp_path}/page"; exec cat "{tmp_path}/table"'
        script.write_text(f"#!/bin/sh\n{shown}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return write


def test_the_driver_tells_its_version_its_cuda_and_its_gpus(smi):
    smi("550.54, A Card\n550.54, Another, One\n", "| Driver Version: 550.54  CUDA Version: 12.4 |")
    assert machine.driver() == Driver("550.54", "12.4", ("A Card", "Another, One"))


def test_a_driver_without_gpus_and_a_machine_without_a_driver(smi, monkeypatch, tmp_path):
    smi("No devices were found\n", "")
    assert machine.driver() == Driver(None, None, ())
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert machine.driver() == Driver(None, None, (), "there is no nvidia-smi")


def test_a_folder_that_is_not_made_yet_is_judged_by_the_one_above(tmp_path):
    found = machine.place(tmp_path / "a" / "b")
    assert found.path == str(tmp_path / "a" / "b")
    assert found.free > 0 and found.unwritable is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_file_is_told_with_the_reason(tmp_path, monkeypatch):
    def full(dir):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(launcher.tempfile, "TemporaryFile", full)
    found = machine.place(tmp_path)
    assert found.unwritable.startswith(f"{tmp_path}: the disk is full. Make room there")


def test_a_file_is_no_place(tmp_path):
    (tmp_path / "file").touch()
    assert "it is not a folder" in machine.place(tmp_path / "file").unwritable


def test_the_kernels_say_which_of_them_are_used(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    found = {one["name"]: one for one in devices.kernels(["cpu"])}
    assert list(found) == ["cpu", "triton", "reference"]
    used = [name for name, one in found.items() if one["used"]]
    assert used == ["cpu" if found["cpu"]["available"] else "reference"]
    assert all(found[name]["available"] and found[name]["used"] == ["cpu"] for name in used)


def test_a_build_of_torch_for_cpus_says_so(monkeypatch):
    import torch

    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch, "__version__", "2.9.9+cpu")
    found = devices.devices()
    assert found["gpus"] == [] and found["without_gpus"] == "torch 2.9.9+cpu is a build for CPUs"


def test_torchs_own_reason_for_no_gpu_is_told(monkeypatch):
    import torch

    def old():
        raise RuntimeError("The NVIDIA driver on your system\n is too old")

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "init", old)
    found = devices.devices()
    assert (found["cuda"], found["gpus"]) == ("12.8", [])
    assert found["without_gpus"] == "The NVIDIA driver on your system is too old"
