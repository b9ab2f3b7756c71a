"""torch.compile, torch.export and torch's own checks of custom operators."""

import pytest
import torch

from pipeline.kernels import pack_ffn, pack_linear, sparse_ffn, sparse_linear


class Block(torch.nn.Module):
    def __init__(self, ffn, linear):
        super().__init__()
        self.ffn, self.linear = ffn, linear

    def forward(self, x, mask):
        y = sparse_ffn(x * 2, self.ffn, active=mask, threshold=0.1)
        return sparse_linear(y + x, self.linear, threshold=0.2)


@pytest.fixture
def block(make_weights):
    draw = torch.Generator().manual_seed(5)
    return Block(
        pack_ffn(*make_weights(32, 48), activation="silu"),
        pack_linear(torch.randn(20, 32, generator=draw), torch.randn(20, generator=draw)),
    )


@pytest.fixture
def given():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(3, 32, generator=draw), torch.rand(48, generator=draw) < 0.5


def test_compiled_in_one_graph(block, given):
    # aot_eager runs all of the tracing and none of the C++ that inductor would compile.
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert torch.equal(compiled(*given), block(*given))


def test_exported(block, given):
    with torch.no_grad():
        program = torch.export.export(block, given)
        assert torch.equal(program.module()(*given), block(*given))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert "cold_neurons.sparse_ffn.default" in called
    assert "cold_neurons.sparse_linear.default" in called


def test_torchs_own_checks(block, given):
    x, mask = given
    ffn, linear = block.ffn, block.linear
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(
        torch.ops.cold_neurons.sparse_ffn.default,
        (x, ffn.rows, None, None, None, None, mask, 0.1, "silu", ffn.backend),
        test_utils=checks,
    )
    torch.library.opcheck(
        torch.ops.cold_neurons.sparse_linear.default,
        (x, linear.rows, None, linear.bias, 0.1, 20, linear.backend),
        test_utils=checks,
    )
