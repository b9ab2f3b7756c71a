"""Builds the C++ kernels, which are optional: without a compiler the package installs all the same,
and `pipeline.kernels.available_backends()` says that they are missing."""

import os
import sys
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

#: Apple's compiler has no OpenMP: one thread there.
OPENMP = [] if sys.platform == "darwin" else ["-fopenmp"]
#: `make sanitize` sets it: errors of addresses and undefined behaviour then end the process.
SANITIZED = os.environ.get("COLD_NEURONS_SANITIZE") == "1"
CHECKS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
FLAGS = [*OPENMP, "-g", "-O1", *CHECKS] if SANITIZED else [*OPENMP, "-O3"]
#: GCC 12 takes its own headers of AVX-512 for uninitialised.
WARNINGS = ["-Wall", "-Wextra", "-Wno-maybe-uninitialized"]
SOURCES = Path("src/pipeline/kernels/cpp")

setup(
    ext_modules=[
        Pybind11Extension(
            "pipeline.kernels._cpu",
            sorted(map(str, SOURCES.glob("*.cpp"))),
            depends=sorted(map(str, [*SOURCES.glob("*.hpp"), *SOURCES.glob("*.inc")])),
            cxx_std=17,
            extra_compile_args=["-fno-math-errno", *WARNINGS, *FLAGS],
            extra_link_args=FLAGS,
            optional=not SANITIZED,
        )
    ]
)
