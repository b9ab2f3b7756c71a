"""What this machine offers a study, and what stands in its way."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.commands import machine, reach
from pipeline.commands.machine import Driver, Gpus, Kernel, Library, Place, Processor
from pipeline.commands.reach import Answer, Hub
from pipeline.running.memory import Memory, memory

#: Seconds until torch must have been imported, which takes long from a busy network disk, and until
#: each other question must have been answered, names of hosts looked up included.
_TORCH, _ALL_ELSE = 90, 20
#: Bytes of memory and of disk below which even a study of small models may not run to its end.
_LITTLE_MEMORY, _LITTLE_DISK = 2e9, 1e9


@dataclass(frozen=True)
class Diagnosis:
    """What there is on this machine. `problems` keep a study from running here, and `notes` only
    some studies; both are sentences that say what to do."""

    python: Library
    libraries: tuple[Library, ...]
    torch: Answer
    processor: Processor
    gpus: Gpus
    kernels: tuple[Kernel, ...]
    memory: Memory | None
    results: Place
    cache: Place
    hub: Hub
    packages: Answer
    slurm: Answer
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        facts = asdict(self)
        facts["python"]["fits"] = self.python.fits
        for one, library in zip(facts["libraries"], self.libraries, strict=True):
            one["fits"] = library.fits
        return facts | {"can_run": not self.problems}


def doctor(directory: Path) -> Diagnosis:
    """What this machine offers a study whose results go to `directory`. Takes as long as importing
    torch, or, where something gives no answer, at most a minute and a half."""
    devices_line = [sys.executable, "-m", "pipeline.commands.devices"]
    said, reasons = reach.together(
        {
            "devices": (lambda: reach.program(devices_line, _TORCH), _TORCH + _ALL_ELSE),
            "driver": (machine.driver, _ALL_ELSE),
            "results": (lambda: machine.place(directory), _ALL_ELSE),
            "cache": (machine.hub_cache, _ALL_ELSE),
            "hub": (reach.hub, _ALL_ELSE),
            "packages": (reach.packages, _ALL_ELSE),
            "slurm": (lambda: reach.program(["sbatch", "--version"]), _ALL_ELSE),
        }
    )
    none = {name: Answer(False, reason) for name, reason in reasons.items()}
    devices = said.get("devices") or none["devices"]
    torch = json.loads(devices.says.splitlines()[-1]) if devices.there else {}
    python, libraries = machine.python_and_libraries()
    facts: dict[str, Any] = {
        "python": python,
        "libraries": libraries,
        "torch": devices if not devices.there else Answer(True, torch["torch"]),
        "processor": machine.processor_of(torch),
        "gpus": machine.gpus_of(
            torch, said.get("driver") or Driver(None, None, (), reasons["driver"])
        ),
        "kernels": machine.kernels_of(torch),
        "memory": memory(),
        "results": said.get("results") or Place(str(directory), None, reasons["results"]),
        "cache": said.get("cache") or Place("", None, reasons["cache"]),
        "hub": said.get("hub") or Hub("", none["hub"], False, False),
        "packages": said.get("packages") or none["packages"],
        "slurm": said.get("slurm") or none["slurm"],
    }
    known = Diagnosis(**facts)
    return Diagnosis(**facts, problems=tuple(problems(known)), notes=tuple(notes(known)))


def problems(found: Diagnosis) -> Iterator[str]:
    """What keeps every study from running here, with what to do."""
    python = found.python
    if not python.fits:
        yield (
            f"Python {python.version} runs this, and {python.takes} is needed: make .venv anew "
            "with another, make study BASE_PYTHON=python3.13"
        )
    for one in found.libraries:
        if not one.fits:
            have = f"{one.version} is installed" if one.version else "it is not installed"
            wanted = f"{one.name}{one.takes}"
            yield f"{one.name}: {have}, and {wanted} is needed: python -m pip install '{wanted}'"
    if not found.torch.there:
        yield (
            f"torch cannot be used: {found.torch.says}. Try: python -c 'import torch'; "
            "docs/installation.md names the builds of torch"
        )
    if found.results.unwritable:
        yield f"results cannot be written: {found.results.unwritable}"


def notes(found: Diagnosis) -> Iterator[str]:
    """What keeps some studies from running here, or slows them, with what to do."""
    yield from _of_gpus(found.gpus)
    if found.torch.there and not any(one.name == "cpu" and one.available for one in found.kernels):
        yield "the C++ kernels are missing: no result depends on them; make kernels builds them"
    if found.memory is None:
        yield "the system does not tell its memory, so Snakemake is not told how much jobs may use"
    elif found.memory.usable < _LITTLE_MEMORY:
        yield "there is little memory: a job of the smallest models takes about 1 GB"
    if found.results.free is not None and found.results.free < _LITTLE_DISK:
        yield f"there is little room in {found.results.path}: make some, or give --directory"
    if found.cache.unwritable:
        yield (
            f"what is read from the Hub cannot be kept: {found.cache.unwritable}; HF_HOME names "
            "another folder"
        )
    if not found.hub.answer.there:
        yield (
            "models and datasets of the Hub that are not in its cache cannot be read: built-in "
            "models and local folders can"
        )
    if not found.packages.there:
        yield "packages cannot be installed here"


def _of_gpus(gpus: Gpus) -> Iterator[str]:
    """What to do where the driver has GPUs that torch does not find."""
    if gpus.found or not gpus.driver.gpus:
        return
    said = f"the driver has {len(gpus.driver.gpus)} GPUs and torch finds none: {gpus.reason}."
    if gpus.cuda is None:
        yield f"{said} Install a build of torch with CUDA (docs/installation.md)"
    else:
        yield (
            f"{said} torch is for CUDA {gpus.cuda}, the driver for CUDA "
            f"{gpus.driver.cuda or 'of an unknown version'} and older: install a newer driver or "
            "an older torch, and see whether CUDA_VISIBLE_DEVICES hides them"
        )
