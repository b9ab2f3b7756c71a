"""What `doctor` tells of a machine, and what keeps a study from running on it."""

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from pipeline.__main__ import main
from pipeline.commands import doctor as doctors
from pipeline.commands.diagnosis import of_diagnosis
from pipeline.commands.doctor import Diagnosis, notes, problems
from pipeline.commands.machine import Driver, Gpus, Kernel, Library, Place, Processor
from pipeline.commands.reach import Answer, Hub
from pipeline.running.memory import Memory, memory
from pipeline.store.digest import SOURCE_ROOT

NO_DRIVER = Driver(None, None, (), "there is no nvidia-smi")
CPU_BUILD = "torch 2.13.0+cpu is a build for CPUs"


def diagnosis(**changes):
    """A machine with everything but a GPU and Slurm, and what is changed about it."""
    facts = {
        "python": Library("python", "3.12.1", ">=3.11,<3.14"),
        "libraries": (
            Library("numpy", "2.1", ">=2"),
            Library("torch", "2.13.0+cpu", ">=2.6"),
            Library("gguf", "0.19.0", ">=0.19"),
        ),
        "torch": Answer(True, "2.13.0+cpu"),
        "processor": Processor("Some Processor", 8, ("avx2", "portable")),
        "gpus": Gpus((), None, CPU_BUILD, NO_DRIVER),
        "kernels": (
            Kernel("cpu", True, "avx2, OpenMP", ("cpu",)),
            Kernel("triton", False, "torch finds no GPU", ()),
            Kernel("reference", True, "every device", ()),
        ),
        "memory": Memory(16_000_000_000, 12_000_000_000, None),
        "results": Place("/data/study", 50_000_000_000, None),
        "cache": Place("/home/me/.cache/huggingface/hub", 40_000_000_000, None),
        "hub": Hub("https://hub.test", Answer(True, ""), False, True),
        "packages": Answer(True, ""),
        "slurm": Answer(False, "there is no sbatch"),
    }
    return Diagnosis(**{**facts, **changes})


def test_a_machine_by_hand():
    assert of_diagnosis(diagnosis()) == (
        "Python      3.12.1\n"
        "libraries   torch 2.13.0+cpu, gguf 0.19.0\n"
        "processor   Some Processor, 8 cores; kernels for avx2, portable\n"
        "GPU         none: torch 2.13.0+cpu is a build for CPUs\n"
        "kernels     cpu: used for weights on cpu (avx2, OpenMP)\n"
        "            triton: not here, torch finds no GPU\n"
        "            reference: here and not used, since cpu comes first (every device)\n"
        "memory      16.0 GB, 12.0 GB of it available\n"
        "results     /data/study, 50.0 GB free, writable\n"
        "Hub's cache /home/me/.cache/huggingface/hub, 40.0 GB free, writable\n"
        "Hub         https://hub.test, a token; reached\n"
        "packages    pip sees an index\n"
        "Slurm       no client: there is no sbatch\n"
        "\n"
        "a study can run on this machine\n"
    )


def test_gpus_and_limits_by_hand():
    driver = Driver("550.54", "12.4", ("A Card",))
    text = of_diagnosis(
        diagnosis(
            gpus=Gpus((("A Card", 80_000_000_000),), "12.4", None, driver),
            memory=Memory(16_000_000_000, 4_000_000_000, 8_000_000_000),
            hub=Hub("https://hub.test", Answer(False, "it answers with 503"), False, False),
            packages=Answer(False, "Connection refused"),
            slurm=Answer(True, "slurm 24.05.1"),
        )
    )
    for line in (
        "GPU         A Card with 80.0 GB; torch for CUDA 12.4, driver 550.54, for CUDA up to 12.4",
        "memory      16.0 GB, 4.0 GB of it available; its control group allows 8.0 GB",
        "Hub         https://hub.test, no token; not reached: it answers with 503",
        "packages    pip sees no index: Connection refused",
        "Slurm       slurm 24.05.1",
    ):
        assert f"{line}\n" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"python": Library("python", "3.10.2", ">=3.11,<3.14")},
            "Python 3.10.2 runs this, and >=3.11,<3.14 is needed: make .venv anew",
        ),
        (
            {"libraries": (Library("torch", "2.5.1", ">=2.6"),)},
            "torch: 2.5.1 is installed, and torch>=2.6 is needed: python -m pip install "
            "'torch>=2.6'",
        ),
        (
            {"libraries": (Library("polars", None, ">=1.30"),)},
            "polars: it is not installed, and polars>=1.30 is needed",
        ),
        (
            {"torch": Answer(False, "it is ended by SIGILL"), "kernels": ()},
            "torch cannot be used: it is ended by SIGILL",
        ),
        (
            {"results": Place("/data", 1, "/data: the disk is full")},
            "results cannot be written: /data: the disk is full",
        ),
    ],
)
def test_what_keeps_a_study_from_running_is_a_problem(changes, said):
    (problem,) = problems(diagnosis(**changes))
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hub": Hub("h", Answer(False, "no route"), False, False)}, "models and datasets of the"),
        ({"packages": Answer(False, "no route")}, "packages cannot be installed here"),
        ({"memory": Memory(1_500_000_000, 1, None)}, "there is little memory"),
        ({"memory": Memory(16_000_000_000, 1, 1_500_000_000)}, "there is little memory"),
        ({"memory": None}, "the system does not tell its memory"),
        ({"results": Place("/data", 900_000_000, None)}, "there is little room in /data"),
        ({"cache": Place("/c", 1, "/c: it is read-only")}, "what is read from the Hub cannot be"),
        ({"kernels": (Kernel("cpu", False, "not built", ()),)}, "the C++ kernels are missing"),
        (
            {"gpus": Gpus((), None, CPU_BUILD, Driver("550", "12.4", ("A",)))},
            f"the driver has 1 GPUs and torch finds none: {CPU_BUILD}. Install a build of torch",
        ),
        (
            {"gpus": Gpus((), "13.0", "driver too old", Driver("550", "12.4", ("A", "A")))},
            "the driver has 2 GPUs and torch finds none: driver too old. torch is for CUDA 13.0, "
            "the driver for CUDA 12.4 and older",
        ),
    ],
)
def test_what_only_some_studies_need_is_a_note(changes, said):
    found = diagnosis(**changes)
    (note,) = notes(found)
    assert note.startswith(said) and list(problems(found)) == []


def test_neither_problems_nor_notes_on_a_whole_machine():
    assert [*problems(diagnosis()), *notes(diagnosis())] == []


def test_the_exit_code_says_whether_a_study_can_run(monkeypatch, capsys):
    given = diagnosis(notes=("slow",))
    monkeypatch.setattr(doctors, "doctor", lambda directory: given)
    assert main(["doctor"]) == 0
    assert "note        slow\n\na study can run on this machine" in capsys.readouterr().out
    given = diagnosis(problems=("no torch", "no disk"))
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "problem     no torch\nproblem     no disk\n" in told
    assert "no study can run on this machine: 2 problems" in told
    assert main(["doctor", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert not facts["can_run"] and facts["problems"] == ["no torch", "no disk"]
    assert facts["libraries"][1]["fits"] and facts["memory"]["limit"] is None


def test_questions_without_an_answer_leave_their_reasons(monkeypatch, tmp_path):
    names = "devices", "driver", "results", "cache", "hub", "packages", "slurm"

    def none(questions):
        assert tuple(questions) == names
        return {}, dict.fromkeys(names, "no answer within 1 s")

    monkeypatch.setattr(doctors.reach, "together", none)
    found = doctors.doctor(tmp_path)
    told = of_diagnosis(found)
    assert told.count("no answer within 1 s") >= 5 and found.memory.total == memory().total
    broken, unwritable = found.problems
    assert broken.startswith("torch cannot be used: no answer within 1 s")
    assert unwritable == "results cannot be written: no answer within 1 s"


def test_this_machine_is_told_on_one_screen_and_as_json(tmp_path):
    """The command itself, with nothing to reach."""
    environment = {name: text for name, text in os.environ.items() if "PIP" not in name} | {
        "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1", "HF_TOKEN": "hf_secret",
        "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PYTHONPATH": str(SOURCE_ROOT),
    }  # fmt: skip

    def ask(*options):
        line = [sys.executable, "-m", "pipeline", "doctor", "--directory", str(tmp_path), *options]
        done = subprocess.run(
            line, env=environment, text=True, capture_output=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "hf_secret" not in done.stdout
        return done.stdout

    lines = ask().splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    assert lines[-1] == "a study can run on this machine"
    facts = json.loads(ask("--json"))
    assert facts["can_run"] and facts["problems"] == []
    assert facts["torch"]["says"] == version("torch")
    assert facts["memory"]["total"] == memory().total
    assert facts["results"]["path"] == str(tmp_path) and facts["results"]["unwritable"] is None
    assert (facts["hub"]["token"], facts["hub"]["offline"]) == (True, True)
    assert "refused" in facts["packages"]["says"]
    assert {"cpu", "triton", "reference"} == {kernel["name"] for kernel in facts["kernels"]}
    assert list(tmp_path.iterdir()) == []
