"""The Triton programs compile for a GPU, which takes none; the interpreter accepts more."""

import itertools

import pytest

pytest.importorskip("triton", reason="triton is not installed")

#: What arguments are when they are not constants.
_TYPES = {
    "x": "*fp32", "rows": None, "scales": "*fp32", "gate_bias": "*fp32", "up_bias": "*fp32",
    "bias": "*fp32", "listed": "*i32", "found": "*i32", "count": "*i32", "mask": "*i1",
    "sums": "*fp32", "y": "*bf16", "threshold": "fp32",
}  # fmt: skip

_SCRIPT = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from pipeline.kernels import triton_kernels as kernels

types = {types!r}
for name, weights, constants in {programs!r}:
    program = getattr(kernels, name)
    signature = {{}}
    for argument in program.arg_names:
        if argument in constants:
            signature[argument] = "constexpr"
        else:
            signature[argument] = types.get(argument, "i32") or weights
    source = triton.compiler.ASTSource(program, signature, constants)
    triton.compile(source, target=GPUTarget("cuda", 90, 32))
    print(name, weights, sorted(constants.items()))
"""


def programs():
    """(name, type of weights, constants) of every program in its forms."""
    sizes = {"BATCH": 2, "BLOCK": 256}
    for weights, matrices in itertools.product(("*fp32", "*bf16", "*fp16", "*i8"), (2, 3)):
        for listed, thresholded in ((False, True), (True, False), (True, True)):
            yield "ffn", weights, {
                **sizes, "MATRICES": matrices, "SCALES": weights == "*i8", "GATE_BIAS": listed,
                "UP_BIAS": listed, "LISTED": listed, "MASKED": listed and thresholded,
                "THRESHOLDED": thresholded, "ACTIVATION": 3,
            }  # fmt: skip
    for weights in ("*fp32", "*bf16", "*fp16", "*i8"):
        yield "linear", weights, {**sizes, "SCALES": weights == "*i8", "CHANNELS": 16}
    for activation in range(7):
        constants = {
            **sizes, "MATRICES": 3, "SCALES": False, "GATE_BIAS": False, "UP_BIAS": False,
            "LISTED": False, "MASKED": False, "THRESHOLDED": True, "ACTIVATION": activation,
        }  # fmt: skip
        yield "ffn", "*bf16", constants
    yield "list_active", "*fp32", {"BLOCK": 1024}
    yield "add_up", "*fp32", {"BLOCK": 256, "BIAS": True}


def test_all_programs_compile_for_a_gpu(python):
    """In a process of its own, without the interpreter, which takes the decorators' place."""
    listed = list(programs())
    done = python(
        _SCRIPT.format(types=_TYPES, programs=listed),
        TRITON_INTERPRET="0",
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(listed)
