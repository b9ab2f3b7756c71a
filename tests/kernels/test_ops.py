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


def operators_called(graph):
    return {str(node.target) for node in graph.nodes if "cold_neurons" in str(node.target)}


@pytest.mark.filterwarnings("ignore")  # torch.jit.trace is deprecated, but still used
def test_what_traces_or_transforms_sees_the_operators(block, given):
    """A plain call leaves torch's dispatcher out; none of these may miss it."""
    x, mask = given
    with torch.no_grad():
        wanted = block(x, mask)
        traced = torch.fx.experimental.proxy_tensor.make_fx(block)(x, mask)
        assert len(operators_called(traced.graph)) == 2
        assert torch.equal(traced(x, mask), wanted)
        scripted = torch.jit.trace(block, (x, mask), check_trace=False)
        assert "cold_neurons::sparse_ffn" in str(scripted.inlined_graph)
        assert torch.equal(scripted(x, mask), wanted)
        each = torch.vmap(lambda row: block(row[None], mask)[0])(x)
        torch.testing.assert_close(each, wanted)


def test_modes_see_the_operators(block, given):
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    with torch.no_grad(), Watch():
        block(*given)
    assert {"cold_neurons.sparse_ffn.default", "cold_neurons.sparse_linear.default"} <= set(seen)


def test_a_plain_call_gives_the_operators_bits(block, given):
    x, mask = given
    ffn, linear = block.ffn, block.linear
    found = torch.ops.cold_neurons.sparse_ffn(
        x, ffn.rows, None, None, None, None, mask, 0.1, "silu", ffn.backend
    )
    assert torch.equal(sparse_ffn(x, ffn, active=mask, threshold=0.1), found)
    found = torch.ops.cold_neurons.sparse_linear(
        x, linear.rows, None, linear.bias, 0.1, 20, linear.backend
    )
    assert torch.equal(sparse_linear(x, linear, threshold=0.1), found)
    # A subclass, a parameter for instance, goes the operators' way.
    given = torch.nn.Parameter(x, requires_grad=False)
    assert torch.equal(sparse_linear(given, linear, threshold=0.1), found)


def test_lazy_tensors_are_read_as_what_they_stand_for(block):
    linear = block.linear
    lazy = torch.imag(torch.complex(torch.zeros(2, 32), torch.randn(2, 32)).conj())
    assert lazy.is_neg()
    wanted = sparse_linear(lazy.resolve_neg(), linear, threshold=0.1)
    assert torch.equal(sparse_linear(lazy, linear, threshold=0.1), wanted)
    zeros = torch._efficientzerotensor(2, 32)
    wanted = sparse_linear(torch.zeros(2, 32), linear, threshold=0.1)
    assert torch.equal(sparse_linear(zeros, linear, threshold=0.1), wanted)


def test_there_is_no_forward_mode_gradient_either(block):
    forward = torch.autograd.forward_ad
    with forward.dual_level(), torch.no_grad():
        x = forward.make_dual(torch.ones(1, 32), torch.ones(1, 32))
        with pytest.raises(ValueError, match="no gradient"):
            sparse_linear(x, block.linear, threshold=0.1)
    with pytest.raises(ValueError, match="no gradient"):
        torch.func.jvp(
            lambda x: sparse_linear(x, block.linear, threshold=0.1),
            (torch.ones(1, 32),),
            (torch.ones(1, 32),),
        )


def test_the_operators_refuse_what_would_be_read_out_of_bounds(block, given):
    x, mask = given
    ffn, linear = block.ffn, block.linear
    rest = (None, "silu", ffn.backend)
    operators = torch.ops.cold_neurons
    for wrong, told in (
        ((x, ffn.rows, None, None, None, None, mask[:3]), "active is a mask of"),
        ((torch.ones(1, 4000), ffn.rows, None, None, None, None, None), "no packed weights"),
        ((x, ffn.rows.mT.contiguous().mT, None, None, None, None, None), "not as they were packed"),
        ((x, ffn.rows.char(), None, None, None, None, None), "not as they were packed"),
        ((x, ffn.rows[:1], None, None, None, None, None), "no packed weights"),
    ):
        with pytest.raises(ValueError, match=told):
            operators.sparse_ffn(*wrong, *rest)
    for outputs, threshold, told in ((70, 0.1, "no packed weights"), (20, -1.0, "threshold is")):
        with pytest.raises(ValueError, match=told):
            operators.sparse_linear(
                x, linear.rows, None, linear.bias, threshold, outputs, linear.backend
            )
    with pytest.raises(ValueError, match="x is"):
        operators.sparse_linear(x[:, :9], linear.rows, None, None, 0.1, 20, linear.backend)
