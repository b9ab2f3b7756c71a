"""The modules of a model that decodes through the kernels, and how the model's own are restored."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.decoding.crossover import (
    MOST_ROWS,
    Decision,
    Times,
    crossover,
    ffn_times,
    linear_times,
    most_rows,
    with_choosing,
)
from pipeline.kernels.interface import pack_ffn, pack_linear, sparse_ffn, sparse_linear
from pipeline.kernels.packed import PackedFFN
from pipeline.models.skips import Chosen, Fixed, Threshold
from pipeline.models.views import FFNView, matrix, transposed

if TYPE_CHECKING:
    import torch


class Patched:
    """A patched model; `decisions` say how each part of it runs."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self._ends = ExitStack()

    def remove(self) -> None:
        """Give the model its own forward passes back, and weights in memory of their own, so that
        it can be copied, and saved where no neurons were cut out. What the plan pruned, quantized,
        folded or dropped stays so."""
        self._ends.close()

    def report(self) -> list[dict[str, Any]]:
        """The decisions as plain values."""
        return [asdict(decision) for decision in self.decisions]

    def at_end(self, do: "Callable[..., object]", *args: Any) -> None:
        """Register a function to be called when the patch is removed."""
        self._ends.callback(do, *args)


class Phase:
    """Whether the current pass continues sequences by one token each or reads a prompt."""

    def __init__(self, dense_prefill: bool) -> None:
        self._dense_prefill = dense_prefill
        self._prefill = True

    def before(self, _module: object, args: tuple, kwargs: dict[str, Any]) -> None:
        """Note at the start of a pass whether it reads a prompt."""
        given = kwargs.get("input_ids")
        given = kwargs.get("inputs_embeds") if given is None else given
        given = args[0] if given is None else given
        self._prefill = given.shape[1] > 1

    @property
    def dense(self) -> bool:
        """True while the method is not at work."""
        return self._prefill and self._dense_prefill

    def by_kernel(self, x: "torch.Tensor", rows: int) -> bool:
        """True where x, (..., channels), goes through a kernel that is used for up to `rows`
        rows."""
        return not self._prefill and x.numel() <= rows * x.shape[-1]


class _Forward:
    """A module's forward pass that stands in for its own."""

    def __init__(self, call: "Callable[[torch.Tensor], torch.Tensor]") -> None:
        self._call = call

    def __call__(self, x: "torch.Tensor") -> "torch.Tensor":
        return self._call(x)

    def __deepcopy__(self, _memo: object) -> "_Forward":
        raise TypeError("a patched model cannot be copied, since the copy would read its weights; "
                        "remove the patch first")  # fmt: skip


class BlockPatch:
    """Replaces the forward passes of one block's modules."""

    def __init__(
        self,
        patched: Patched,
        phase: Phase,
        layer: int,
        expected: float | Mapping[str, float] | None,
        fall_back: bool,
        backend: str,
        times: "dict[tuple, Times]",
    ) -> None:
        self.patched = patched
        self.phase = phase
        self.layer = layer
        self.expected = expected
        self.fall_back = fall_back
        self.backend = backend
        #: Times by what was timed, so that equal layers are timed once.
        self.times = times

    def neurons(self, ffn: FFNView, rule: Threshold | Fixed | Chosen) -> None:
        """Patch an FFN to compute only the neurons that take part."""
        first, up = ffn.inner[0], ffn.inner[-1]
        packed = pack_ffn(
            first.weight if ffn.gated else None, up.weight, ffn.down.weight,
            activation=ffn.activation,
            biases=(first.bias if ffn.gated else None, up.bias, ffn.down.bias),
            backend=self.backend,
        )  # fmt: skip
        key = ("ffn", packed.rows.shape, packed.dtype, ffn.activation, type(rule).__name__)
        if key not in self.times:
            self.times[key] = ffn_times(ffn, packed, rule)
        times = self.times[key]
        if isinstance(rule, Chosen):
            # Predictors differ in size from layer to layer.
            times = {rows: with_choosing(rule, packed, rows, each) for rows, each in times.items()}
        rows = self._decide("ffn", packed.backend, times)
        if rows:
            for matrix_rows, projection in zip(packed.rows, ffn.inner, strict=False):
                if (projection.start, projection.stop) == (0, None):
                    self._keep(projection.module, matrix_rows[:, : packed.d])
            self._keep(ffn.down.module, packed.rows[-1][:, : packed.d].T)
        _FFN(self, ffn, packed if rows else None, rule, rows)

    def channels(self, name: str, module: "torch.nn.Module", threshold: float) -> None:
        """Patch a linear layer to read only input channels above the threshold."""
        import torch

        packed = pack_linear(matrix(module), module.bias, backend=self.backend)
        key = ("linear", packed.rows.shape, packed.dtype)
        if key not in self.times:
            self.times[key] = linear_times(module, packed)
        rows = self._decide(name, packed.backend, self.times[key])
        own, phase = module.forward, self.phase
        kept = packed if rows else None
        if rows:
            self._keep(module, packed.rows[0][:, : packed.outputs].T)
        # What is not used is not kept in memory.
        del packed

        def forward(x: "torch.Tensor") -> "torch.Tensor":
            if phase.dense:
                return own(x)
            if kept is not None and phase.by_kernel(x, rows):
                y = sparse_linear(x.reshape(-1, x.shape[-1]), kept, threshold=threshold)
                return y.reshape(*x.shape[:-1], kept.outputs)
            return own(torch.where(_within(x, threshold), 0, x))

        self.instead(module, forward)

    def instead(self, module: "torch.nn.Module", forward: "Callable") -> None:
        """Replace a module's forward pass until the patch is removed."""
        # An instance may already have a forward pass of its own, accelerate's for instance.
        before = vars(module).get("forward")
        module.forward = _Forward(forward)
        if before is None:
            self.patched.at_end(delattr, module, "forward")
        else:
            self.patched.at_end(setattr, module, "forward", before)

    def _keep(self, module: "torch.nn.Module", weight: "torch.Tensor") -> None:
        """A module's weights become a view, (outputs, inputs), of packed ones."""
        self.patched.at_end(_own_memory, module, module.weight.requires_grad)
        _give(module, weight.T if transposed(module) else weight)

    def _decide(self, part: str, backend: str, times: "Times") -> int:
        expected = self.expected
        expected = expected.get(part) if isinstance(expected, Mapping) else expected
        crossovers = {rows: crossover(*found) for rows, found in times.items()}
        rows = most_rows(crossovers, expected) if self.fall_back else MOST_ROWS
        decision = Decision(self.layer, part, backend, crossovers, expected, rows)
        self.patched.decisions.append(decision)
        return rows


class _FFN:
    """One FFN's modules. Where the kernel is used, the inner modules compute nothing and hand on
    zeros, and the last computes the whole FFN; elsewhere the dense modules run, with skipped
    neurons zero in h."""

    def __init__(
        self,
        block: BlockPatch,
        ffn: FFNView,
        packed: PackedFFN | None,
        rule: Threshold | Fixed | Chosen,
        rows: int,
    ) -> None:
        self.phase = block.phase
        self.ffn = ffn
        self.packed = packed
        self.rule = rule
        self.rows = rows
        #: What the FFN reads, for a pass through the kernel; the input of act(gate), for a dense
        #: one.
        self.x: torch.Tensor | None = None
        self.first: torch.Tensor | None = None
        self.residual: torch.Tensor | None = None
        if isinstance(rule, Chosen) and ffn.before is not None:
            block.patched.at_end(ffn.before.register_forward_pre_hook(self._hold).remove)
        for module in dict.fromkeys(p.module for p in ffn.inner):
            block.instead(module, partial(self._inner, module, module.forward))
        down = ffn.down.module
        block.instead(down, partial(self._down, down.forward))
        # Views refuse to watch or change an h that is not computed.
        down.computed_by_kernel = True
        block.patched.at_end(delattr, down, "computed_by_kernel")

    def _hold(self, _module: object, given: tuple) -> None:
        self.residual = None if self.phase.dense else given[0]

    def _inner(
        self, module: "torch.nn.Module", own: "Callable", x: "torch.Tensor"
    ) -> "torch.Tensor":
        if self.phase.by_kernel(x, self.rows):
            self.x = x
            return x.new_zeros(1).expand(*x.shape[:-1], matrix(module).shape[0])
        # Left over from an earlier pass that an error ended half-way.
        self.x = None
        y: torch.Tensor = own(x)
        first = self.ffn.inner[0]
        if isinstance(self.rule, Threshold) and module is first.module and not self.phase.dense:
            self.first = y[..., first.start : first.stop]
        return y

    def _down(self, own: "Callable", h: "torch.Tensor") -> "torch.Tensor":
        import torch

        x, first, residual = self.x, self.first, self.residual
        self.x = self.first = self.residual = None
        rule = self.rule
        if x is not None and (packed := self.packed) is not None:
            x = x.reshape(-1, packed.d)
            if isinstance(rule, Threshold):
                y = sparse_ffn(x, packed, threshold=rule.value)
            else:
                y = sparse_ffn(x, packed, active=_taking_part(rule, residual))
            return y.reshape(*h.shape[:-1], packed.d)
        if self.phase.dense:
            return own(h)
        if isinstance(rule, Threshold):
            skipped = _within(self.ffn.act(first), rule.value)
        else:
            skipped = ~_taking_part(rule, residual)
        if skipped.dim() > 1:
            skipped = skipped.reshape(h.shape)
        return own(torch.where(skipped, 0, h))


def _within(x: "torch.Tensor", threshold: float) -> "torch.Tensor":
    # As float32, like the kernels: torch would round the threshold to x's type.
    return x.abs().float() <= threshold


def _taking_part(rule: Fixed | Chosen, residual: "torch.Tensor | None") -> "torch.Tensor":
    if isinstance(rule, Fixed):
        return rule.kept
    if residual is None:
        raise ValueError("no residual stream was seen before this FFN")
    return rule.choose(residual.reshape(-1, residual.shape[-1]))


def _give(module: "torch.nn.Module", weight: "torch.Tensor") -> None:
    import torch

    module.weight = torch.nn.Parameter(weight, requires_grad=False)


def _own_memory(module: "torch.nn.Module", trained: bool) -> None:
    """Give a module's weights memory of their own, instead of a view of packed weights; `trained`
    says whether they require gradients, as before."""
    _give(module, module.weight.detach().clone(memory_format=_contiguous()))
    module.weight.requires_grad_(trained)


def _contiguous() -> Any:
    import torch

    return torch.contiguous_format
