"""What this machine is made of: libraries, processor, GPUs, kernels and disks."""

import os
import platform
import re
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipeline.commands.reach import program
from pipeline.errors import UserError
from pipeline.planning.study import PROJECT
from pipeline.running.launcher import try_writing
from pipeline.store.machine import processor


@dataclass(frozen=True)
class Library:
    """A library, or Python itself: its version, None where it is not installed, and the versions
    that pyproject.toml takes."""

    name: str
    version: str | None
    takes: str

    @property
    def fits(self) -> bool:
        """Whether the version is one that is taken."""
        return self.version is not None and SpecifierSet(self.takes).contains(
            self.version, prereleases=True
        )


@dataclass(frozen=True)
class Processor:
    """The processor's model, how many of its cores this process may use, and the instruction sets
    that the C++ kernels choose from, the best first."""

    model: str
    cores: int
    instruction_sets: tuple[str, ...]


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver: its version, the newest CUDA that it takes, the names of its GPUs; `reason`
    is why it does not say."""

    version: str | None
    cuda: str | None
    gpus: tuple[str, ...]
    reason: str | None = None


@dataclass(frozen=True)
class Gpus:
    """GPUs that torch finds, each with name and bytes of memory; the CUDA that torch was built for;
    why it finds none; and what the driver says."""

    found: tuple[tuple[str, int], ...]
    cuda: str | None
    reason: str | None
    driver: Driver


@dataclass(frozen=True)
class Kernel:
    """A backend of the kernels: whether it is here, what it runs on or why it is not here, and
    for weights on which devices it is used."""

    name: str
    available: bool
    details: str
    used: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A folder: bytes free on its disk, and why it cannot be written, None where it can."""

    path: str
    free: int | None
    unwritable: str | None


def python_and_libraries(project: Path = PROJECT) -> tuple[Library, tuple[Library, ...]]:
    """Python, and every library that the project's pyproject.toml asks for, in its order."""
    told = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = map(Requirement, told["dependencies"])
    libraries = (Library(one.name, installed(one.name), str(one.specifier)) for one in asked)
    return (
        Library("python", platform.python_version(), told["requires-python"]),
        tuple(libraries),
    )


def installed(name: str) -> str | None:
    """The version of an installed library; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def processor_of(torch: Mapping[str, Any]) -> Processor:
    """The processor; `torch` is what `commands.devices` found, nothing where it did not run."""
    cores = len(os.sched_getaffinity(0))
    return Processor(processor(), cores, tuple(torch.get("instruction_sets", ())))


def kernels_of(torch: Mapping[str, Any]) -> tuple[Kernel, ...]:
    """The backends of the kernels, as `commands.devices` found them."""
    found = torch.get("kernels", ())
    return tuple(Kernel(**{**one, "used": tuple(one["used"])}) for one in found)


def gpus_of(torch: Mapping[str, Any], driver: Driver) -> Gpus:
    """The GPUs that `commands.devices` found, and what NVIDIA's driver says."""
    found = tuple((one["name"], one["bytes"]) for one in torch.get("gpus", ()))
    return Gpus(found, torch.get("cuda"), torch.get("without_gpus"), driver)


def driver() -> Driver:
    """What NVIDIA's driver says of itself; see `program` for the time that it may take."""
    asked = program(["nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"])
    if not asked.there:
        return Driver(None, None, (), asked.says)
    rows = [line.partition(", ") for line in asked.says.splitlines() if ", " in line]
    newest = re.search(r"CUDA Version: ([\d.]+)", program(["nvidia-smi"]).says)
    versions = [version for version, _, _ in rows]
    return Driver(
        versions[0] if versions else None, newest and newest[1], tuple(name for *_, name in rows)
    )


def place(folder: Path) -> Place:
    """A folder, or, until it is made, the nearest one above it, where it would be made."""
    folder = folder.resolve()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    try:
        free = shutil.disk_usage(there).free
        try_writing(there)
    except UserError as error:
        return Place(str(folder), free, str(error))
    except OSError as error:
        return Place(str(folder), None, f"{there}: {error.strerror}")
    return Place(str(folder), free, None)


def hub_cache() -> Place:
    """The folder that the Hub's library keeps models and datasets in."""
    from huggingface_hub import constants

    return place(Path(constants.HF_HUB_CACHE))
