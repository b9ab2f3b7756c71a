"""The machine that a benchmark ran on, without its name."""

import os
import platform
import sys
from importlib import metadata

from pipeline.store.machine import processor


def machine() -> dict[str, str | int]:
    """Processor, cores at hand, and the versions that matter to planning."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "snakemake": metadata.version("snakemake"),
    }
