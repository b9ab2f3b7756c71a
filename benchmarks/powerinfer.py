"""PowerInfer's own CPU operators, as `powerinfer.cpp` has them, for benchmarks."""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

from pipeline.decoding.timing import Trial

SOURCE = Path(__file__).with_suffix(".cpp")
_FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
#: Of the largest output, for float16 inputs and h.
_TOLERANCE = 1e-2


def missing() -> str | None:
    """Why they cannot be timed here; None when they can."""
    if not shutil.which("g++"):
        return "there is no g++ to compile them with"
    flags = Path("/proc/cpuinfo")
    has = flags.read_text().split() if flags.exists() else []
    if absent := [each for each in ("avx2", "fma", "f16c") if each not in has]:
        return f"this processor has no {absent[0]}, which they are written for"
    return None


class PowerInfer:
    """One FFN of float16 weights; called for a trial's one token, it gives (1, d) float32."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._rows = [each.contiguous() for each in (trial.gate, trial.up, trial.down.T)]
        self.renew()
        self._check()

    def _check(self) -> None:
        """RuntimeError where a sparse result is not torch's."""
        trial = self._trial
        trial.share = 0.5
        trial.renew()
        self.renew()
        gate, up, down = (each.float() for each in self._rows)
        h = (self._x @ gate.T).relu() * (self._x @ up.T) * trial.mask
        wanted, found = h @ down, self()[0]
        if (found - wanted).abs().max() > _TOLERANCE * wanted.abs().max():
            raise RuntimeError("PowerInfer's operators as written here do not give torch's result")

    def renew(self) -> None:
        """A round begins: what the predictor would have given, and the input."""
        self._x = self._trial.x[0].float().contiguous()
        self._listed = torch.where(self._trial.mask, 1.0, -1.0)

    def __call__(self) -> torch.Tensor:
        """The FFN's output."""
        d_ff, d = self._trial.gate.shape
        y = torch.empty(1, d)
        tensors = (*self._rows, self._x, self._listed)
        _library().powerinfer_ffn(
            *(ctypes.c_void_p(each.data_ptr()) for each in tensors), ctypes.c_int64(d),
            ctypes.c_int64(d_ff), torch.get_num_threads(), ctypes.c_void_p(y.data_ptr()),
        )  # fmt: skip
        return y


@cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "powerinfer.so"
        subprocess.run(["g++", *_FLAGS, str(SOURCE), "-o", str(built)], check=True)
        return ctypes.CDLL(str(built))
