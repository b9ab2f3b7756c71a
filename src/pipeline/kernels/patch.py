"""Make a Hugging Face model decode through the kernels."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.kernels.interface import (
    AUTO,
    pack_ffn,
    pack_linear,
    sparse_ffn,
    sparse_linear,
)
from pipeline.kernels.packed import PackedFFN, PackedLinear
from pipeline.kernels.rules import Chosen, LayerRules, Threshold
from pipeline.kernels.speed import timed
from pipeline.models.views import FFNView, ModelView, linear_layers, matrix, transposed, view

if TYPE_CHECKING:
    import torch

#: Rows of x from which on a call counts as prefill.
PREFILL_ROWS = 17
#: Shares at which kernels are timed, and the times of one measurement.
_SHARES = (0.0, 0.5, 0.9)
_TIMES = 5


class Rules(Protocol):
    """A plan, or whatever else can say what a model skips."""

    def for_kernels(self, shape: ModelView) -> Sequence[LayerRules]:
        """Change the weights as the plan has it, and tell the rules of every block."""


@dataclass(frozen=True)
class Decision:
    """How one part of a block decodes, and why.

    `crossover` is the share skipped from which on the kernel takes less time than torch's dense
    product, as measured; `expected` the share that the caller expects. `kernel` is False where
    dense is used, since sparse would lose.
    """

    layer: int
    part: str
    backend: str
    crossover: float
    expected: float | None
    kernel: bool


class Patched:
    """A patched model: `decisions` tell what runs how. `remove` gives the model its own forward
    passes back; neurons that were dropped stay away."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.ends = ExitStack()

    def remove(self) -> None:
        """Decode as before."""
        self.ends.close()

    def report(self) -> list[dict[str, Any]]:
        """The decisions as plain values."""
        return [asdict(decision) for decision in self.decisions]


def patch(
    model: Any,
    plan: Rules,
    *,
    prefill: str = "dense",
    expected: Mapping[int, float] | float | None = None,
    fall_back: bool = True,
    backend: str = AUTO,
) -> Patched:
    """Make a model's decoding go through the kernels, in place, as a plan has it.

    Neurons that the plan drops are cut out of the matrices. What it decides token by token goes
    through `sparse_ffn` and `sparse_linear`. Calls of 17 rows and more are prefill: `dense` leaves
    them to the model, which is the plan's meaning only where it starts at the continuation;
    `sparse` sends them through the kernels as well. Where the share that is expected to be skipped
    (one for all, or by layer) lies below the crossover that is measured here, the layer stays
    dense, masked as the plan has it; without an expectation, or with `fall_back` off, kernels are
    used throughout.

    Packed weights take the place of the model's own, which become views of them, so memory does
    not grow, but for a matrix that holds gate and up together (Phi-3). ValueError for another
    `prefill` and for what the kernels do not serve.
    """
    import torch

    if prefill not in ("dense", "sparse"):
        raise ValueError(f"prefill is {prefill!r}, expected dense or sparse")
    shape = view(model)
    rules = plan.for_kernels(shape)
    patched = Patched()
    timed: dict[tuple, float] = {}
    with torch.no_grad():
        for layer, own in enumerate(rules):
            if own.dropped is not None and bool(own.dropped.any()):
                shape.ffns[layer].slice(own.dropped)
        shape = view(model)
        for layer, own in enumerate(rules):
            wanted = expected.get(layer) if isinstance(expected, Mapping) else expected
            parts = _Block(patched, layer, wanted, fall_back, prefill == "dense", backend, timed)
            # Where a plan leaves no neuron there is nothing to skip.
            if own.neurons is not None and shape.ffns[layer].d_ff:
                parts.neurons(shape.ffns[layer], own.neurons)
            named = dict(linear_layers(shape.blocks[layer]))
            for name, threshold in own.channels.items():
                parts.channels(name, named[name], threshold)
    return patched


class _Block:
    """Replaces the forward passes of one block's modules."""

    def __init__(
        self,
        patched: Patched,
        layer: int,
        expected: float | None,
        fall_back: bool,
        dense_prefill: bool,
        backend: str,
        timed: dict[tuple, float],
    ) -> None:
        self.patched = patched
        self.layer = layer
        self.expected = expected
        self.fall_back = fall_back
        self.dense_prefill = dense_prefill
        self.backend = backend
        self.timed = timed

    def neurons(self, ffn: FFNView, rule: Threshold | Chosen) -> None:
        """An FFN's matrices, by the neurons that take part."""
        first, up = ffn.inner[0], ffn.inner[-1]
        packed = pack_ffn(
            first.weight if ffn.gated else None, up.weight, ffn.down.weight,
            activation=ffn.activation,
            biases=(first.bias if ffn.gated else None, up.bias, ffn.down.bias),
            backend=self.backend,
        )  # fmt: skip
        for rows, projection in zip(packed.rows, ffn.inner, strict=False):
            if (projection.start, projection.stop) == (0, None):
                _keep(projection.module, rows[:, : packed.d])
        _keep(ffn.down.module, packed.rows[-1][:, : packed.d].T)
        crossover = self._crossover(
            ("ffn", packed.rows.shape, packed.dtype, type(rule).__name__),
            lambda: _ffn_times(ffn, packed, rule),
        )
        state: dict[str, Any] = {}
        if isinstance(rule, Chosen):
            self._hold_residual(ffn, state)
        if self._decide("ffn", packed.backend, crossover):
            self._through_kernel(ffn, packed, rule, state)
        else:
            self._masked(ffn, rule, state)

    def channels(self, name: str, module: "torch.nn.Module", threshold: float) -> None:
        """A linear layer, by its input channels."""
        weight = matrix(module)
        packed = pack_linear(weight, module.bias, backend=self.backend)
        _keep(module, packed.rows[0][:, : packed.outputs].T)
        crossover = self._crossover(
            ("linear", packed.rows.shape, packed.dtype), lambda: _linear_times(module, packed)
        )
        own = module.forward
        if self._decide(name, packed.backend, crossover):

            def forward(x: "torch.Tensor") -> "torch.Tensor":
                if not self._sparse(x):
                    return own(x)
                y = sparse_linear(x.reshape(-1, x.shape[-1]), packed, threshold=threshold)
                return y.reshape(*x.shape[:-1], packed.outputs)
        else:

            def forward(x: "torch.Tensor") -> "torch.Tensor":
                return own(x * ~(x.abs() <= threshold) if self._sparse(x) else x)

        self._instead(module, forward)

    def _sparse(self, x: "torch.Tensor") -> bool:
        return not self.dense_prefill or x.numel() < PREFILL_ROWS * x.shape[-1]

    def _decide(self, part: str, backend: str, crossover: float) -> bool:
        loses = self.fall_back and self.expected is not None and self.expected < crossover
        self.patched.decisions.append(
            Decision(self.layer, part, backend, crossover, self.expected, not loses)
        )
        return not loses

    def _crossover(self, key: tuple, times: "Callable[[], tuple[float, list[float]]]") -> float:
        """Measured once for all layers of one shape."""
        if key not in self.timed:
            self.timed[key] = crossover(*times())
        return self.timed[key]

    def _instead(self, module: "torch.nn.Module", forward: "Callable") -> None:
        module.forward = forward
        self.patched.ends.callback(delattr, module, "forward")

    def _hold_residual(self, ffn: FFNView, state: dict[str, Any]) -> None:
        if ffn.before is None:
            raise ValueError("what is read before this FFN passes no norm, so it cannot be held")
        hook = ffn.before.register_forward_pre_hook(
            lambda _module, given: state.__setitem__("residual", given[0])
        )
        self.patched.ends.callback(hook.remove)

    def _through_kernel(
        self, ffn: FFNView, packed: PackedFFN, rule: Threshold | Chosen, state: dict[str, Any]
    ) -> None:
        """The inner matrices compute nothing and hand zeros on; the last one computes all."""
        for module in dict.fromkeys(p.module for p in ffn.inner):
            self._instead(module, self._deferred(module, state))
        own = ffn.down.module.forward

        def forward(h: "torch.Tensor") -> "torch.Tensor":
            if "x" not in state:
                return own(h)
            x = state.pop("x").reshape(-1, packed.d)
            if isinstance(rule, Threshold):
                y = sparse_ffn(x, packed, threshold=rule.value)
            else:
                y = sparse_ffn(x, packed, active=_chosen(rule, state))
            return y.reshape(*h.shape[:-1], packed.d)

        self._instead(ffn.down.module, forward)

    def _deferred(self, module: "torch.nn.Module", state: dict[str, Any]) -> "Callable":
        own = module.forward
        outputs = matrix(module).shape[0]

        def forward(x: "torch.Tensor") -> "torch.Tensor":
            if not self._sparse(x):
                return own(x)
            state["x"] = x
            return x.new_zeros(1).expand(*x.shape[:-1], outputs)

        return forward

    def _masked(self, ffn: FFNView, rule: Threshold | Chosen, state: dict[str, Any]) -> None:
        """Dense, and zero where the rule skips."""
        first = ffn.inner[0]

        def hold(_module: object, _given: tuple, y: "torch.Tensor") -> None:
            state["first"] = ffn.act(y[..., first.start : first.stop])

        def change(h: "torch.Tensor") -> "torch.Tensor":
            if not self._sparse(h):
                return h
            if isinstance(rule, Threshold):
                return h * ~(state.pop("first").abs() <= rule.value)
            return h * _chosen(rule, state).reshape(h.shape)

        if isinstance(rule, Threshold):
            self.patched.ends.callback(first.module.register_forward_hook(hold).remove)
        self.patched.ends.callback(ffn.replace(change).remove)


def crossover(dense: float, sparse: list[float]) -> float:
    """The share from which on sparse takes less time, of its times at _SHARES, straight lines
    between them; 1 where it does not get there."""
    before = 0.0, sparse[0]
    if sparse[0] <= dense:
        return 0.0
    for share, seconds in zip(_SHARES[1:], sparse[1:], strict=True):
        if seconds <= dense:
            return before[0] + (share - before[0]) * (before[1] - dense) / (before[1] - seconds)
        before = share, seconds
    return 1.0


def _ffn_times(
    ffn: FFNView, packed: PackedFFN, rule: Threshold | Chosen
) -> tuple[float, list[float]]:
    """Seconds of the dense FFN for one token, and of the kernel at _SHARES, the predictor's
    included."""
    import torch

    x = torch.randn(1, packed.d, device=packed.rows.device).to(packed.dtype)
    first = ffn.inner[0]
    size = ffn.act(torch.nn.functional.linear(x, first.weight, first.bias)).abs().float()
    found = []
    for share in _SHARES:
        if isinstance(rule, Threshold):
            cut = float(size.quantile(share)) if share else 0.0
            found.append(_seconds(partial(sparse_ffn, x, packed, threshold=cut)))
        else:
            mask = torch.rand(1, packed.d_ff, device=x.device) >= share
            predictor = _seconds(partial(rule.choose, x))
            found.append(predictor + _seconds(partial(sparse_ffn, x, packed, active=mask)))
    return _seconds(lambda: ffn.output(ffn.hidden(x))), found


def _linear_times(module: "torch.nn.Module", packed: PackedLinear) -> tuple[float, list[float]]:
    import torch

    x = torch.randn(1, packed.inputs, device=packed.rows.device).to(packed.dtype)
    cuts = [float(x.abs().float().quantile(share)) if share else 0.0 for share in _SHARES]
    found = [_seconds(partial(sparse_linear, x, packed, threshold=cut)) for cut in cuts]
    return _seconds(partial(module, x)), found


def _seconds(run: "Callable[[], object]") -> float:
    timed(run)
    return statistics.median(timed(run) for _ in range(_TIMES))


def _chosen(rule: Chosen, state: dict[str, Any]) -> "torch.Tensor":
    residual = state.pop("residual")
    return rule.choose(residual.reshape(-1, residual.shape[-1]))


def _keep(module: "torch.nn.Module", weight: "torch.Tensor") -> None:
    """A module's weights become a view, (outputs, inputs), of packed ones."""
    import torch

    turned = weight.T if transposed(module) else weight
    module.weight = torch.nn.Parameter(turned, requires_grad=False)
