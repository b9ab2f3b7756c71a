"""Triton's programs on a GPU against the reference there, and CUDA graphs of them."""

import pytest
import torch

from pipeline.kernels import pack_ffn, pack_linear, sparse_ffn, sparse_linear

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")

ERRORS = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}


@pytest.fixture
def packed(make_weights):
    """packed(dtype, d, d_ff, activation="silu") -> by backend."""

    def make(dtype, d=300, d_ff=500, activation="silu"):
        weights = [m.cuda() for m in make_weights(d, d_ff)]
        return {
            name: pack_ffn(*weights, activation=activation, dtype=dtype, backend=name)
            for name in ("triton", "reference")
        }

    return make


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int8], ids=str
)
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 7, 16, 40])
def test_ffn_agrees_with_the_reference(packed, dtype, batch):
    both = packed(dtype)
    given = torch.float32 if dtype == torch.int8 else dtype
    x = torch.randn(batch, 300, device="cuda").to(given)
    masks = torch.rand(batch, 500, device="cuda") < 0.4
    for active in (None, masks[0], masks, masks[0].nonzero().squeeze(1)):
        for threshold in (None, 0.1):
            found, wanted = (
                sparse_ffn(x, both[name], active=active, threshold=threshold)
                for name in ("triton", "reference")
            )
            torch.testing.assert_close(
                found, wanted, rtol=ERRORS[given], atol=ERRORS[given] * float(wanted.abs().max())
            )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("batch", [1, 3, 16, 40])
def test_linear_agrees_with_the_reference(dtype, batch):
    weight, bias = torch.randn(700, 300, device="cuda"), torch.randn(700, device="cuda")
    x = torch.randn(batch, 300, device="cuda").to(dtype)
    found, wanted = (
        sparse_linear(x, pack_linear(weight, bias, dtype=dtype, backend=name), threshold=0.4)
        for name in ("triton", "reference")
    )
    torch.testing.assert_close(
        found, wanted, rtol=ERRORS[dtype], atol=ERRORS[dtype] * float(wanted.abs().max())
    )


def test_a_cuda_graph_follows_its_inputs(packed):
    ffn = packed(torch.bfloat16)["triton"]
    x = torch.randn(1, 300, device="cuda").bfloat16()
    mask = torch.rand(500, device="cuda") < 0.5
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        # Tunes, which cannot be part of a graph.
        first = sparse_ffn(x, ffn, active=mask, threshold=0.05)
    torch.cuda.synchronize()
    assert torch.equal(first, sparse_ffn(x, ffn, active=mask, threshold=0.05))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = sparse_ffn(x, ffn, active=mask, threshold=0.05)
    for seed in range(3):
        torch.manual_seed(seed)
        x.copy_(torch.randn_like(x))
        mask.copy_(torch.rand(500, device="cuda") < 0.2 * (seed + 1))
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(y, sparse_ffn(x, ffn, active=mask, threshold=0.05))


def test_wrong_indices_are_errors(packed):
    ffn = packed(torch.float32)["triton"]
    x = torch.randn(1, 300, device="cuda")
    for wrong, told in (([500], "outside"), ([-1], "outside"), ([3, 3], "given twice")):
        with pytest.raises(ValueError, match=told):
            sparse_ffn(x, ffn, active=torch.tensor(wrong, device="cuda"))
    with pytest.raises(ValueError, match="active is on cpu"):
        sparse_ffn(x, ffn, active=torch.tensor([1]))
