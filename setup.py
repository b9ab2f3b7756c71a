"""Builds the C++ kernels, which are optional: without a compiler the package installs all the same,
and `pipeline.kernels.available_backends()` says that they are missing."""

import sys
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

#: Apple's compiler has no OpenMP: one thread there.
OPENMP = [] if sys.platform == "darwin" else ["-fopenmp"]
SOURCES = Path("src/pipeline/kernels/cpp")

setup(
    ext_modules=[
        Pybind11Extension(
            "pipeline.kernels._cpu",
            sorted(map(str, SOURCES.glob("*.cpp"))),
            depends=sorted(map(str, [*SOURCES.glob("*.hpp"), *SOURCES.glob("*.inc")])),
            cxx_std=17,
            extra_compile_args=["-O3", "-fno-math-errno", "-Wall", "-Wextra", *OPENMP],
            extra_link_args=OPENMP,
            optional=True,
        )
    ]
)
