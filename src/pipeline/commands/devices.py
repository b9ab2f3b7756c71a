"""What torch and the kernels find on this machine, as JSON: `python -m pipeline.commands.devices`.

A process of its own, since importing torch or starting a GPU may end a process, or never end.
"""

import json
import sys
from typing import Any

from pipeline.kernels.interface import AUTO, available_backends, choose
from pipeline.registry import KERNELS


def devices() -> dict[str, Any]:
    """`torch`, its version; `cuda`, the CUDA that it was built for, or None; `gpus`, each with
    `name` and `bytes` of memory; `without_gpus`, torch's reason for none, or None; `kernels`, as
    `kernels` returns them; `instruction_sets` of the processor, the best first, that the C++
    kernels have loops for."""
    import torch

    count, reason = _gpus()
    properties = [torch.cuda.get_device_properties(index) for index in range(count)]
    cpu = KERNELS.load("cpu")
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "gpus": [{"name": one.name, "bytes": one.total_memory} for one in properties],
        "without_gpus": reason,
        "kernels": kernels(["cpu", *(["cuda"] if count else [])]),
        "instruction_sets": [] if cpu.missing() else list(cpu.instruction_sets()),
    }


def kernels(places: list[str]) -> list[dict[str, Any]]:
    """Every backend of the kernels: its `name`, whether it is `available`, its `details`, which
    name the reason where it is not, and for weights on which of the `places` it is `used`."""
    import torch

    chosen = {place: choose(AUTO, torch.empty(1, device=place))[0] for place in places}
    return [
        vars(one) | {"used": [place for place, name in chosen.items() if name == one.name]}
        for one in available_backends()
    ]


def _gpus() -> tuple[int, str | None]:
    """(number of GPUs, why there is none)."""
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return 0, f"torch {torch.__version__} is a build for CPUs"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return 0, " ".join(str(error).split())
    return torch.cuda.device_count(), None


if __name__ == "__main__":
    json.dump(devices(), sys.stdout)
