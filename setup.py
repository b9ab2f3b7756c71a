"""Builds the C++ kernels, which are optional: without a compiler the package installs all the same,
and `pipeline.kernels.available_backends()` says that they are missing.

They are a shared library with plain C functions, which Python loads by ctypes: building it takes a
C++ compiler, but neither Python's headers nor torch.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

#: Apple's compiler has no OpenMP: one thread there.
OPENMP = [] if sys.platform == "darwin" else ["-fopenmp"]
#: `make sanitize` sets it: errors of addresses and undefined behaviour then end the process.
SANITIZED = os.environ.get("COLD_NEURONS_SANITIZE") == "1"
#: `make kernels` sets it: what stops the compiler then stops the installation.
REQUIRED = os.environ.get("COLD_NEURONS_KERNELS") == "required"
CHECKS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
FLAGS = [*OPENMP, "-g", "-O1", *CHECKS] if SANITIZED else [*OPENMP, "-g0", "-O3"]
#: GCC 12 takes its own headers of AVX-512 for uninitialised.
WARNINGS = ["-Wall", "-Wextra", "-Wno-maybe-uninitialized"]
LANGUAGE = ["-std=c++17", "-fvisibility=hidden", "-fno-math-errno"]
SOURCES = Path("src/pipeline/kernels/cpp")


class BuildLibrary(build_ext):
    """Builds a library by its bare name: it belongs to no version of Python."""

    def run(self):
        """Build; a library of older sources does not stay where the compiler fails."""
        if self.inplace:
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        super().run()

    def get_ext_filename(self, fullname):
        """Where the library goes, below the packages' root."""
        return os.path.join(*fullname.split(".")) + ".so"

    def get_export_symbols(self, ext):
        """None by name: what is exported is marked in the source."""
        return []


# Some Pythons were built by a compiler that is not here.
if "CXX" not in os.environ and not shutil.which(
    (sysconfig.get_config_var("CXX") or "").split(" ")[0]
):
    found = next(filter(shutil.which, ("g++", "c++", "clang++")), None)
    if found:
        os.environ["CXX"] = found

setup(
    cmdclass={"build_ext": BuildLibrary},
    ext_modules=[
        Extension(
            "pipeline.kernels.cpp.libcold_kernels",
            sorted(map(str, SOURCES.glob("*.cpp"))),
            depends=sorted(map(str, [*SOURCES.glob("*.hpp"), *SOURCES.glob("*.inc")])),
            language="c++",
            extra_compile_args=[*LANGUAGE, *WARNINGS, *FLAGS],
            extra_link_args=FLAGS,
            optional=not (SANITIZED or REQUIRED),
        )
    ],
)
