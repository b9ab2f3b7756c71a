"""Every backend against an oracle: shapes, dtypes, batches, masks, thresholds, NaN and infinity."""

import itertools
import os
from importlib import metadata

import numpy as np
import pytest
import torch

from pipeline.kernels import available_backends, pack_ffn, pack_linear, sparse_ffn, sparse_linear
from pipeline.kernels.cpu import CPU
from pipeline.registry import KERNELS
from tests.kernels.conftest import Oracle, rounded

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int8]
INPUTS = [torch.float32, torch.bfloat16, torch.float16]
#: Half of the last place, relative, of the dtype that a result is rounded to, and the sums' own.
ERRORS = {torch.float32: 2e-6, torch.bfloat16: 2**-8, torch.float16: 2**-11}


@pytest.fixture(params=KERNELS)
def backend(request):
    """Every registered backend; skipped, with its reason, where it is missing."""
    found = {each.name: each for each in available_backends()}[request.param]
    if not found.available:
        pytest.skip(found.details)
    if request.param == "triton" and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("on a GPU test_cuda.py tests Triton's programs")
    if request.param == "triton":
        version = metadata.version("triton")
        if tuple(map(int, version.split(".")[:2])) < (3, 5):
            pytest.skip(f"the interpreter of Triton {version} does not go with numpy 2.4")
    return request.param


def close(found, wanted, floor=0.0):
    """Within the rounding of found's dtype, and of sums that cancel."""
    error = ERRORS[found.dtype]
    scale = np.abs(wanted).max() if wanted.size else 0
    np.testing.assert_allclose(
        found.double().numpy(), wanted, rtol=error, atol=2e-6 * scale + floor
    )


def above(x, threshold):
    """float64, zero where |x| is not above the threshold."""
    values = x.double().numpy()
    return np.where(np.abs(values) <= threshold, 0, values)


def masks(d_ff, batch):
    """By name: none, all, random, clustered, one, none at all, and those that differ by row."""
    draw = np.random.default_rng(d_ff)
    clustered = np.zeros(d_ff, dtype=bool)
    clustered[d_ff // 3 : d_ff // 2] = True
    one = np.zeros(d_ff, dtype=bool)
    one[-1] = True
    return {
        "absent": None,
        "all": np.ones(d_ff, dtype=bool),
        "none": np.zeros(d_ff, dtype=bool),
        "one": one,
        "random": draw.random(d_ff) < 0.3,
        "clustered": clustered,
        "by row": draw.random((batch, d_ff)) < 0.4,
    }


@pytest.mark.parametrize("d, d_ff", [(1, 1), (7, 5), (64, 65), (129, 90), (192, 40)])
@pytest.mark.parametrize("gated", [True, False])
def test_ragged_shapes_and_masks(backend, make_weights, d, d_ff, gated):
    weights = make_weights(d, d_ff, gated)
    draw = torch.Generator().manual_seed(d)
    biases = tuple(
        None if size is None else torch.randn(size, generator=draw)
        for size in (d_ff if gated else None, d_ff, d)
    )
    packed = pack_ffn(*weights, activation="silu", biases=biases, backend=backend)
    oracle = Oracle(*weights, "silu", biases)
    x = torch.randn(3, d, generator=draw)
    for mask in masks(d_ff, len(x)).values():
        active = None if mask is None else torch.from_numpy(mask)
        close(sparse_ffn(x, packed, active=active), oracle.ffn(x, mask))
        close(sparse_ffn(x, packed, active=active, threshold=0.25), oracle.ffn(x, mask, 0.25))


@pytest.mark.skipif(CPU.missing() is not None, reason=str(CPU.missing()))
@pytest.mark.parametrize("d", [1030, 4097, 8300])
@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("of_row", [True, False], ids=["masks", "mask"])
def test_rows_of_several_tiles(d, batch, of_row):
    """The C++ kernels divide outputs among tasks; the reference's products are checked above."""
    draw = torch.Generator().manual_seed(0)
    up, down = torch.randn(70, d, generator=draw) / d**0.5, torch.randn(d, 70, generator=draw)
    x, bias = torch.randn(batch, d, generator=draw), torch.randn(d, generator=draw)
    mask = torch.rand((batch, 70) if of_row else 70, generator=draw) < 0.7
    found, wanted = (
        sparse_ffn(
            x,
            pack_ffn(None, up, down, activation="silu", biases=(None, None, bias), backend=backend),
            active=mask,
        )
        for backend in ("cpu", "reference")
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    weight = torch.randn(d, 90, generator=draw)
    x = torch.randn(batch, 90, generator=draw)
    found, wanted = (
        sparse_linear(x, pack_linear(weight, bias, backend=backend), threshold=0.3)
        for backend in ("cpu", "reference")
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("given", INPUTS, ids=str)
def test_dtypes_of_weights_and_inputs(backend, make_weights, dtype, given):
    gate, up, down = make_weights(100, 140)
    kept = rounded(gate, dtype, 0), rounded(up, dtype, 0), rounded(down, dtype, 1)
    oracle = Oracle(*kept, "silu")
    packed = pack_ffn(gate, up, down, activation="silu", dtype=dtype, backend=backend)
    assert packed.dtype == dtype
    x = torch.randn(2, 100, generator=torch.Generator().manual_seed(1)).to(given)
    mask = masks(140, 2)["random"]
    found = sparse_ffn(x, packed, active=torch.from_numpy(mask), threshold=0.1)
    assert found.dtype == given
    close(found, oracle.ffn(x, mask, 0.1))
    weight = torch.randn(90, 100, generator=torch.Generator().manual_seed(2))
    linear = pack_linear(weight, dtype=dtype, backend=backend)
    values = above(x, 0.3)
    close(sparse_linear(x, linear, threshold=0.3), values @ rounded(weight, dtype, 1).numpy().T)


@pytest.mark.parametrize(
    "activation", ["relu", "relu2", "relu6", "silu", "gelu", "gelu_new", "linear"]
)
@pytest.mark.parametrize("gated", [True, False])
def test_activations(backend, make_weights, activation, gated):
    weights = make_weights(40, 50, gated)
    packed = pack_ffn(*weights, activation=activation, backend=backend)
    x = 3 * torch.randn(4, 40, generator=torch.Generator().manual_seed(0))
    oracle = Oracle(*weights, activation)
    close(sparse_ffn(x, packed), oracle.ffn(x))
    close(sparse_ffn(x, packed, threshold=0.0), oracle.ffn(x, threshold=0.0))


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 8, 15, 16, 17, 40])
def test_batches(backend, make_weights, batch):
    weights = make_weights(66, 90)
    packed = pack_ffn(*weights, activation="relu", backend=backend)
    oracle = Oracle(*weights, "relu")
    x = torch.randn(batch, 66, generator=torch.Generator().manual_seed(batch))
    mask = masks(90, batch)["by row"]
    close(sparse_ffn(x, packed, active=torch.from_numpy(mask)), oracle.ffn(x, mask))
    close(sparse_ffn(x, packed, threshold=0.0), oracle.ffn(x))
    weight, bias = weights[1], torch.arange(90.0)
    values = above(x, 0.5)
    close(
        sparse_linear(x, pack_linear(weight, bias, backend=backend), threshold=0.5),
        values @ weight.double().numpy().T + bias.numpy(),
    )


def test_a_batch_of_none(backend, make_weights):
    packed = pack_ffn(*make_weights(8, 9), activation="relu", backend=backend)
    assert sparse_ffn(torch.zeros(0, 8), packed).shape == (0, 8)
    linear = pack_linear(torch.ones(5, 8), backend=backend)
    assert sparse_linear(torch.zeros(0, 8), linear, threshold=0.0).shape == (0, 5)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_indices_mean_what_their_mask_means(backend, make_weights, dtype):
    weights = make_weights(70, 80)
    packed = pack_ffn(*weights, activation="silu", backend=backend)
    x = torch.randn(2, 70, generator=torch.Generator().manual_seed(0))
    indices = torch.tensor([79, 0, 33, 12], dtype=dtype)
    mask = np.zeros(80, dtype=bool)
    mask[indices.numpy()] = True
    oracle = Oracle(*weights, "silu")
    close(sparse_ffn(x, packed, active=indices), oracle.ffn(x, mask))
    close(sparse_ffn(x, packed, active=indices[:0]), oracle.ffn(x, mask & False))
    for wrong, told in (([80], "index 80 is outside of 0 to 79"), ([-1], "index -1 is outside"),
                        ([3, 5, 3], "index 3 is given twice")):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            sparse_ffn(x, packed, active=torch.tensor(wrong, dtype=dtype))


def test_inputs_that_are_not_contiguous_or_not_aligned(backend, make_weights):
    weights = make_weights(65, 70)
    oracle = Oracle(*weights, "relu")
    memory = torch.randn(40_000, generator=torch.Generator().manual_seed(0))
    strided = tuple(torch.empty(2 * m.shape[0], 3 * m.shape[1])[::2, ::3].copy_(m) for m in weights)
    packed = pack_ffn(*strided, activation="relu", backend=backend)
    mask = masks(70, 5)["by row"]
    active = torch.from_numpy(np.repeat(mask, 2, axis=1))[:, ::2]
    for x in (
        memory[1:326].view(5, 65),
        memory[: 65 * 5].view(65, 5).T,
        memory[: 5 * 200].view(5, 200)[:, 3:198:3],
        memory[:65].expand(5, 65),
    ):
        assert x.shape == (5, 65)
        close(sparse_ffn(x, packed, active=active), oracle.ffn(x.contiguous(), mask))
        linear = pack_linear(strided[1], backend=backend)
        values = above(x, 0.5)
        close(sparse_linear(x, linear, threshold=0.5), values @ weights[1].double().numpy().T)


def test_what_is_skipped_is_not_read(backend, make_weights):
    gate, up, down = make_weights(30, 40)
    mask = masks(40, 1)["random"]
    off = torch.from_numpy(~mask)
    oracle = Oracle(gate, up, down, "silu")
    for broken in (float("nan"), float("inf")):
        spoilt = [m.clone() for m in (gate, up, down)]
        spoilt[0][off], spoilt[1][off], spoilt[2][:, off] = broken, broken, broken
        packed = pack_ffn(*spoilt, activation="silu", backend=backend)
        x = torch.randn(3, 30, generator=torch.Generator().manual_seed(0))
        close(sparse_ffn(x, packed, active=~off), oracle.ffn(x, mask))
        # A row of x that needs a neuron does not bring it to the others.
        rows = torch.from_numpy(np.stack([mask, np.ones(40, dtype=bool), mask]))
        found = sparse_ffn(x, packed, active=rows)
        close(found[[0, 2]], oracle.ffn(x, mask)[[0, 2]])
        assert bool(found[1].isnan().any())


def test_nan_and_infinity_in_what_is_read(backend, make_weights):
    weights = make_weights(30, 40)
    packed = pack_ffn(*weights, activation="relu", backend=backend)
    clean = torch.randn(3, 30, generator=torch.Generator().manual_seed(0))
    dense = sparse_ffn(clean, packed)
    for broken in (float("nan"), float("inf")):
        x = clean.clone()
        x[1, 4] = broken
        for threshold in (None, 0.0):
            found = sparse_ffn(x, packed, threshold=threshold)
            assert not bool(found[1].isfinite().any())
            torch.testing.assert_close(found[[0, 2]], dense[[0, 2]])
        linear = sparse_linear(x, pack_linear(weights[1], backend=backend), threshold=0.5)
        assert not bool(linear[1].isfinite().any())
        assert bool(linear[[0, 2]].isfinite().all())
    spoilt = weights[2].clone()
    spoilt[3, 5] = float("inf")
    packed = pack_ffn(*weights[:2], spoilt, activation="silu", backend=backend)
    found = sparse_ffn(clean, packed)
    assert bool(found[:, 3].isinf().all())
    torch.testing.assert_close(
        found[:, 4:],
        sparse_ffn(clean, pack_ffn(*weights, activation="silu", backend=backend))[:, 4:],
    )


def test_a_neuron_at_the_threshold_is_skipped(backend):
    """|a| = 0.5 exactly, beside one just above."""
    gate = torch.tensor([[0.5], [0.5000001], [-2.0]])
    packed = pack_ffn(gate, torch.ones(3, 1), torch.tensor([[1.0, 10.0, 100.0]]),
                      activation="linear", backend=backend)  # fmt: skip
    found = sparse_ffn(torch.ones(1, 1), packed, threshold=0.5)
    assert found.item() == pytest.approx(10 * 0.5000001 - 200)
    linear = pack_linear(torch.tensor([[1.0, 10.0, 100.0]]), backend=backend)
    x = torch.tensor([[0.5, -0.75, 0.25]])
    assert sparse_linear(x, linear, threshold=0.5).item() == -7.5


def test_results_of_16_bits_are_rounded_to_nearest(backend):
    """x is 1 and an output's only weight, so that the sum is exact: values that have more bits than
    are kept, ties, what becomes infinite, and denormals."""
    ties = [1 + odd * 2.0**-bits for odd in (1, 3) for bits in (8, 11)]
    limits = [65519.0, 65520.0, 1e30, 2.0**-25, 3e-8]
    values = torch.tensor([*np.logspace(-9, 4.8, 400), *limits, *ties])
    both = torch.cat([values, -values]).float()
    packed = pack_linear(both[:, None], backend=backend)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        found = sparse_linear(torch.ones(1, 1, dtype=dtype), packed, threshold=0.0)
        assert torch.equal(found[0], both.to(dtype))


def test_every_bit_pattern_of_16_bits_is_read(backend):
    """Weights of all 65,536 values, denormals, infinities and NaN among them."""
    patterns = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.bfloat16, torch.float16):
        weights = patterns.view(dtype).view(-1, 1)
        if backend == "triton" and dtype == torch.bfloat16:
            # Triton's interpreter reads these as zeros.
            weights = weights[weights.float().abs().nan_to_num(1) >= torch.finfo(dtype).tiny, None]
        found = sparse_linear(
            torch.ones(1, 1), pack_linear(weights, backend=backend), threshold=0.0
        )
        assert torch.equal(found[0].nan_to_num(7.0), weights[:, 0].float().nan_to_num(7.0))


def test_int8_is_the_nearest_of_its_steps():
    weight = torch.randn(50, 60, generator=torch.Generator().manual_seed(0))
    weight[:, 7] = 0
    packed = pack_linear(weight, dtype=torch.int8, backend="reference")
    back = (packed.rows[0, :, :50].float() * packed.scales[0, :, None]).T
    step = weight.abs().amax(dim=0) / 127
    assert bool(((back - weight).abs() <= step / 2 * (1 + 1e-5)).all())
    assert packed.rows.abs().max() == 127
    with pytest.raises(ValueError, match="not finite have no int8 form"):
        pack_linear(torch.full((2, 2), float("nan")), dtype=torch.int8)


def test_wrong_arguments_are_errors(backend, make_weights):
    gate, up, down = make_weights(6, 8)
    packed = pack_ffn(gate, up, down, activation="relu", backend=backend)
    x = torch.zeros(2, 6)
    mask = torch.ones(8, dtype=torch.bool)
    for told, call in {
        "x is .6,., expected .batch, 6": lambda: sparse_ffn(x[0], packed),
        "x is .2, 5.": lambda: sparse_ffn(x[:, :5], packed),
        "x is torch.float64": lambda: sparse_ffn(x.double(), packed),
        "threshold is -1": lambda: sparse_ffn(x, packed, threshold=-1.0),
        "threshold is nan": lambda: sparse_ffn(x, packed, threshold=float("nan")),
        "mask of .7,.": lambda: sparse_ffn(x, packed, active=mask[:7]),
        "mask of .3, 8.": lambda: sparse_ffn(x, packed, active=mask.expand(3, 8)),
        "active is torch.float32": lambda: sparse_ffn(x, packed, active=mask.float()),
        "a vector of indices": lambda: sparse_ffn(x, packed, active=torch.zeros(2, 2).long()),
        "active is a list, expected a tensor": lambda: sparse_ffn(x, packed, active=[1]),
        "active is on meta": lambda: sparse_ffn(x, packed, active=mask.to("meta")),
        "x is on meta": lambda: sparse_ffn(x.to("meta"), packed),
        "no gradient": lambda: sparse_ffn(x.requires_grad_(), packed),
        "down is .8, 6., expected .6, 8.": lambda: pack_ffn(gate, up, up, activation="relu"),
        "gate is .6, 8.": lambda: pack_ffn(down, up, down, activation="relu"),
        "gate is torch.int64": lambda: pack_ffn(gate.long(), up, down, activation="relu"),
        "the kernels have gelu": lambda: pack_ffn(gate, up, down, activation="tanhh"),
        "weights of torch.float64": lambda: pack_ffn(
            gate, up, down, activation="relu", dtype=torch.float64
        ),
        "bias of up is .6,": lambda: pack_ffn(
            gate, up, down, activation="relu", biases=(None, x[0], None)
        ),
        "without a gate": lambda: pack_ffn(
            None, up, down, activation="relu", biases=(x[0], None, None)
        ),
        "bias is .3,": lambda: pack_linear(up, torch.zeros(3)),
        "is empty": lambda: pack_linear(torch.zeros(0, 3)),
    }.items():
        with pytest.raises(ValueError, match=told):
            call()


def test_the_same_call_gives_the_same_bits(backend, make_weights):
    packed = pack_ffn(*make_weights(100, 700), activation="silu", backend=backend)
    x = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    calls = [sparse_ffn(x, packed, threshold=0.1) for _ in range(3)]
    assert all(torch.equal(calls[0], other) for other in itertools.islice(calls, 1, None))
