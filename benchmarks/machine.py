"""The machine that a benchmark ran on, without its name."""

import os
import platform
import sys
from importlib import metadata


def machine() -> dict[str, str | int]:
    """Processor, cores at hand, and the versions that matter to planning."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "snakemake": metadata.version("snakemake"),
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
