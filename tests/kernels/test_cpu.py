"""The C++ kernels: every instruction set of this machine, threads, and a machine without them."""

import copy
import os
import pickle
import threading
from pathlib import Path

import pytest
import torch

from pipeline.errors import UserError
from pipeline.kernels import (
    available_backends,
    library,
    pack_ffn,
    pack_linear,
    sparse_ffn,
    sparse_linear,
)
from pipeline.kernels.cpu import CPU
from pipeline.kernels.interface import choose
from pipeline.kernels.packed import LANES
from pipeline.kernels.reference import REFERENCE

missing = CPU.missing()
built = pytest.mark.skipif(missing is not None, reason=str(missing))


@built
@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int8], ids=str
)
@pytest.mark.parametrize("batch", [1, 3, 4, 16])
def test_every_instruction_set_agrees_with_the_reference(make_weights, isa, dtype, batch):
    if isa not in CPU.instruction_sets():
        pytest.skip(f"this processor has no {isa}")
    packed = pack_ffn(*make_weights(150, 210), activation="silu", dtype=dtype)
    x = torch.randn(batch, 150, generator=torch.Generator().manual_seed(batch))
    mask = torch.rand(batch, 210, generator=torch.Generator().manual_seed(0)) < 0.5
    for active in (None, mask, mask[0]):
        for threshold in (None, 0.05):
            found = CPU.ffn(x, packed, active, threshold, isa)
            wanted = REFERENCE.ffn(x, packed, active, threshold)
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    linear = pack_linear(torch.randn(99, 150), dtype=dtype)
    found = CPU.linear(x, linear, 0.4, isa)
    torch.testing.assert_close(found, REFERENCE.linear(x, linear, 0.4), rtol=1e-5, atol=1e-5)


@built
def test_threads_change_no_bit(make_weights):
    # Large enough that every team of these sizes is used.
    packed = pack_ffn(*make_weights(512, 2000), activation="silu")
    x = torch.randn(3, 512, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 5):
            torch.set_num_threads(threads)
            found.append(sparse_ffn(x, packed, threshold=0.2))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found[1:])


@built
def test_threads_may_call_at_once(make_weights):
    packed = pack_ffn(*make_weights(100, 300), activation="silu")
    inputs = [torch.randn(b, 100, generator=torch.Generator().manual_seed(b)) for b in range(1, 9)]
    wanted = [sparse_ffn(x, packed, threshold=0.1) for x in inputs]
    wrong = []

    def call(place):
        for _ in range(50):
            if not torch.equal(sparse_ffn(inputs[place], packed, threshold=0.1), wanted[place]):
                wrong.append(place)

    threads = [threading.Thread(target=call, args=(place,)) for place in range(len(inputs))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


@built
def test_rows_are_padded_as_the_loops_expect():
    assert library.library().cold_lanes() == LANES


@built
@pytest.mark.skipif(os.environ.get("COLD_NEURONS_SANITIZE") != "1", reason="for make sanitize")
def test_the_library_under_test_is_the_one_with_checks():
    assert library.path().is_relative_to(Path("build/sanitized").resolve())


def test_without_the_library_the_reference_serves(monkeypatch, tmp_path, make_weights):
    monkeypatch.setattr(library, "path", lambda: tmp_path / library.NAME)
    # The interpreter, which is here for tests, is not chosen unasked: it would take hours.
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    found = {each.name: each for each in available_backends()}["cpu"]
    assert not found.available and "C++ compiler" in found.details
    packed = pack_ffn(*make_weights(4, 5), activation="relu")
    assert packed.backend == "reference"
    assert "cpu does not serve: the C++ kernels are not built" in packed.reason
    assert "triton does not serve: it is Triton's interpreter" in packed.reason
    assert sparse_ffn(torch.zeros(1, 4), packed).shape == (1, 4)
    with pytest.raises(ValueError, match="kernel backend cpu does not serve: the C\\+\\+ kernels"):
        choose("cpu", torch.zeros(1))


@pytest.mark.parametrize("content", [b"", b"no library"])
def test_a_library_that_does_not_load_is_told(monkeypatch, tmp_path, content):
    """As one of another system, or one whose copying was cut short."""
    broken = tmp_path / library.NAME
    broken.write_bytes(content)
    monkeypatch.setattr(library, "path", lambda: broken)
    library.library.cache_clear()
    try:
        assert "do not load" in (CPU.missing() or "")
    finally:
        library.library.cache_clear()


@built
def test_the_library_holds_no_word_of_python():
    """So one build serves every Python, and none of its headers is needed."""
    content = library.path().read_bytes()
    assert b"PyInit" not in content and b"Py_" not in content


@built
def test_a_call_is_packed_as_the_library_reads_it():
    # The C++ structure ends on a multiple of its largest number.
    assert library.library().cold_call_size() == library.CALL.size


@built
def test_a_threshold_beyond_float32_leaves_nothing(make_weights):
    packed = pack_ffn(*make_weights(64, 90), activation="silu", backend="cpu")
    assert not sparse_ffn(torch.ones(1, 64), packed, threshold=1e300).any()


@built
def test_an_instruction_set_that_is_not_here_is_refused():
    with pytest.raises(ValueError, match="no instruction set neon here"):
        library.Layer("neon", 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0)


def test_an_unknown_backend_is_named():
    with pytest.raises(UserError, match="unknown kernel backend 'cuda'"):
        choose("cuda", torch.zeros(1))


@built
@pytest.mark.parametrize(
    "make", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
)
def test_copies_know_where_their_own_weights_lie(make_weights, make):
    """What is kept of one call, addresses, is not the copy's."""
    x = torch.ones(1, 32)
    ffn = pack_ffn(*make_weights(32, 48), activation="silu", backend="cpu")
    linear = pack_linear(torch.eye(32), backend="cpu")
    wanted = sparse_ffn(x, ffn), sparse_linear(x, linear, threshold=0.0)
    twins = make(ffn), make(linear)
    assert not any(twin.kept for twin in twins)
    if make is not copy.copy:
        for packed in (ffn, linear):
            packed.rows.fill_(float("nan"))
    assert torch.equal(sparse_ffn(x, twins[0]), wanted[0])
    assert torch.equal(sparse_linear(x, twins[1], threshold=0.0), wanted[1])


@built
def test_weights_may_be_moved_in_place(make_weights):
    """Between two calls; where they lie is kept from the first."""
    x = torch.ones(1, 32)
    ffn = pack_ffn(*make_weights(32, 48), activation="silu", backend="cpu")
    wanted = sparse_ffn(x, ffn)
    before = ffn.rows.data_ptr()
    ffn.rows.share_memory_()
    assert ffn.rows.data_ptr() != before
    assert torch.equal(sparse_ffn(x, ffn), wanted)
