"""Make a Hugging Face model decode through the kernels."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.kernels.activations import kernel_name
from pipeline.kernels.interface import (
    AUTO,
    check_timed,
    pack_ffn,
    pack_linear,
    sparse_ffn,
    sparse_linear,
)
from pipeline.kernels.packed import PackedFFN, PackedLinear
from pipeline.kernels.rules import (
    DENSE,
    PREFILLS,
    SPARSE,
    Chosen,
    Fixed,
    LayerRules,
    Rules,
    Threshold,
)
from pipeline.kernels.speed import timed
from pipeline.models.views import FFNView, ModelView, linear_layers, matrix, transposed, view

if TYPE_CHECKING:
    import torch

#: Rows of x above which a call is made dense, and masked: weights are read once for all of them.
MOST_ROWS = 16
#: Shares and rows of x at which kernels are timed, and the times of one measurement.
_SHARES = (0.0, 0.5, 0.9)
_ROWS = (1, 2, 4, 8, MOST_ROWS)
_TIMES = 5
#: Bytes of weights that may well stay in a processor's cache, and that take its place.
_CACHED, _SPOILED = 1 << 20, 64 << 20
#: Name of the mark that a patched model carries.
_MARK = "decodes_through_kernels"
#: And of one that neurons were cut out of, which outlives the patch.
_CUT = "neurons_cut_out"


@dataclass(frozen=True)
class Decision:
    """How one part of a block decodes, and why.

    `crossovers` are, by the number of sequences that decode at once, the shares skipped from which
    on the kernel takes less time than torch's dense product, as measured, a predictor's time
    included; 1 where it never does. `expected` is the share that is expected to be skipped by a
    token, None where that is not known. The kernel is used for `rows` sequences at once and fewer,
    0 where dense is used throughout, since sparse would lose.
    """

    layer: int
    part: str
    backend: str
    crossovers: dict[int, float]
    expected: float | None
    rows: int


class Patched:
    """A patched model: `decisions` tell what runs how."""

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
        """Have something done when the patch is removed."""
        self._ends.callback(do, *args)


def patch(
    model: Any,
    plan: Rules,
    *,
    prefill: str | None = None,
    expected: Mapping[int, float] | float | None = None,
    fall_back: bool = True,
    backend: str = AUTO,
) -> Patched:
    """Make a model's decoding go through the kernels, in place, as a plan has it.

    Neurons that the plan drops are cut out of the matrices. What it decides token by token goes
    through `sparse_ffn` and `sparse_linear` in passes that go on with a sequence, one token each.
    In passes over several tokens of a sequence (`prefill`) a plan that starts where the prompt ends
    does nothing (`dense`), and one that starts at the first token masks what dense products give
    (`sparse`); an argument overrides the plan, which then is another method. More than 16 sequences
    at once are computed so as well.

    Where the share that is expected to be skipped (the plan's own figure, or one given for all
    layers, or by layer) lies below the crossover that is measured here for 1, 2, 4, 8 and 16
    sequences at once, or the kernel never wins, the layer stays dense and masked for as many and
    more, which is what the method means and slower than the model without it. With `fall_back` off
    kernels are used in any case.

    Where kernels are used packed weights take the place of the model's own, which become views of
    them, so memory does not grow but by padding rows to a multiple of 64, and by a matrix that
    holds gate and up together (Phi-3), which is kept twice. torch multiplies by such views more
    slowly: prefill may take half as long again. While
    the patch lasts, weights that are written into the model, hooks on h and copies would not be
    seen by the kernels: `remove` it before. A copy raises TypeError, and so does a view's watch.

    ValueError for a plan that has no rules, another `prefill`, a backend that is interpreted here,
    a model that is patched already, and rules that do not fit the model or one another; its forward
    passes are then its own again.
    """
    import torch

    if not hasattr(plan, "for_kernels"):
        raise ValueError(f"a {type(plan).__name__} tells the kernels nothing: pass "
                         "pipeline.methods.decode.for_kernels(plan)")  # fmt: skip
    check_timed(backend)
    chosen = plan.prefill if prefill is None else prefill
    if chosen not in PREFILLS:
        raise ValueError(f"prefill is {chosen!r}, expected {DENSE} or {SPARSE}")
    if hasattr(model, _MARK):
        raise ValueError("this model is patched already; remove that patch first")
    shape = view(model)
    rules = plan.for_kernels(shape)
    _check(shape, rules)
    patched = Patched()
    phase = _Phase(chosen == DENSE)
    times: dict[tuple, _Times] = {}
    try:
        with torch.no_grad():
            setattr(model, _MARK, True)
            patched.at_end(delattr, model, _MARK)
            # Views of packed memory are no tensors that can be written to a file.
            model.save_pretrained = _not_saved
            patched.at_end(_saved_again, model)
            hook = model.base_model.register_forward_pre_hook(phase.before, with_kwargs=True)
            patched.at_end(hook.remove)
            for ffn, own in zip(shape.ffns, rules, strict=True):
                if own.dropped is not None and bool(own.dropped.any()):
                    ffn.slice(own.dropped)
                    setattr(model, _CUT, True)
            shape = view(model)
            for layer, own in enumerate(rules):
                given = expected.get(layer) if isinstance(expected, Mapping) else expected
                wanted = own.expected if given is None else given
                block = _Block(patched, phase, layer, wanted, fall_back, backend, times)
                # Where a plan leaves no neuron there is nothing to skip.
                if own.neurons is not None and shape.ffns[layer].d_ff:
                    block.neurons(shape.ffns[layer], own.neurons)
                named = dict(linear_layers(shape.blocks[layer]))
                for name, threshold in own.channels.items():
                    block.channels(name, named[name], threshold)
    except BaseException:
        patched.remove()
        raise
    return patched


def _check(shape: ModelView, rules: Sequence[LayerRules]) -> None:
    """ValueError for rules that do not fit the model or one another."""
    if len(rules) != len(shape.ffns):
        raise ValueError(f"rules for {len(rules)} blocks; the model has {len(shape.ffns)}")
    for layer, (own, ffn) in enumerate(zip(rules, shape.ffns, strict=True)):
        named = dict(linear_layers(shape.blocks[layer]))
        if unknown := sorted(set(own.channels) - set(named)):
            raise ValueError(f"block {layer} has no linear layer {unknown[0]}: {', '.join(named)}")
        if own.neurons is None:
            continue
        kernel_name(ffn.activation)
        modules = {p.module for p in (*ffn.inner, ffn.down)}
        if both := [name for name in own.channels if named[name] in modules]:
            raise ValueError(f"block {layer}: rules for its neurons and for channels of {both[0]}")
        if isinstance(own.neurons, Chosen) and ffn.before is None:
            raise ValueError(
                f"block {layer}: what its FFN reads passes no norm, before which a choice could be "
                "made"
            )


def _not_saved(*_args: object, **_more: object) -> None:
    raise TypeError(
        "a patched model is not saved: remove the patch first, or, where it has cut neurons out "
        "and no configuration tells of what is left, have python -m pipeline apply write the model "
        "that the plan makes"
    )


def _saved_again(model: Any) -> None:
    """A model can be saved again, unless its FFNs have sizes that no configuration tells of."""
    if not hasattr(model, _CUT):
        del model.save_pretrained


class _Phase:
    """Whether the pass at hand goes on with sequences, one token each, or reads a prompt."""

    def __init__(self, dense_prefill: bool) -> None:
        self._dense_prefill = dense_prefill
        self._prefill = True

    def before(self, _module: object, args: tuple, kwargs: dict[str, Any]) -> None:
        """A pass begins."""
        given = kwargs.get("input_ids")
        given = kwargs.get("inputs_embeds") if given is None else given
        given = args[0] if given is None else given
        self._prefill = given.shape[1] > 1

    @property
    def dense(self) -> bool:
        """True while the method does nothing."""
        return self._prefill and self._dense_prefill

    def by_kernel(self, x: "torch.Tensor", rows: int) -> bool:
        """True for what goes through a kernel that is used up to so many rows: x is (...,
        channels)."""
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


class _Block:
    """Replaces the forward passes of one block's modules."""

    def __init__(
        self,
        patched: Patched,
        phase: _Phase,
        layer: int,
        expected: float | Mapping[str, float] | None,
        fall_back: bool,
        backend: str,
        times: "dict[tuple, _Times]",
    ) -> None:
        self.patched = patched
        self.phase = phase
        self.layer = layer
        self.expected = expected
        self.fall_back = fall_back
        self.backend = backend
        #: By what was timed.
        self.times = times

    def neurons(self, ffn: FFNView, rule: Threshold | Fixed | Chosen) -> None:
        """An FFN's matrices, by the neurons that take part."""
        first, up = ffn.inner[0], ffn.inner[-1]
        packed = pack_ffn(
            first.weight if ffn.gated else None, up.weight, ffn.down.weight,
            activation=ffn.activation,
            biases=(first.bias if ffn.gated else None, up.bias, ffn.down.bias),
            backend=self.backend,
        )  # fmt: skip
        key = ("ffn", packed.rows.shape, packed.dtype, ffn.activation, type(rule).__name__)
        if key not in self.times:
            self.times[key] = _ffn_times(ffn, packed, rule)
        times = self.times[key]
        if isinstance(rule, Chosen):
            # Predictors differ in size from layer to layer.
            times = {rows: _and_choosing(rule, packed, rows, each) for rows, each in times.items()}
        rows = self._decide("ffn", packed.backend, times)
        if rows:
            for matrix_rows, projection in zip(packed.rows, ffn.inner, strict=False):
                if (projection.start, projection.stop) == (0, None):
                    self._keep(projection.module, matrix_rows[:, : packed.d])
            self._keep(ffn.down.module, packed.rows[-1][:, : packed.d].T)
        _FFN(self, ffn, packed if rows else None, rule, rows)

    def channels(self, name: str, module: "torch.nn.Module", threshold: float) -> None:
        """A linear layer, by its input channels."""
        import torch

        packed = pack_linear(matrix(module), module.bias, backend=self.backend)
        key = ("linear", packed.rows.shape, packed.dtype)
        if key not in self.times:
            self.times[key] = _linear_times(module, packed)
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
        # An instance may have one of its own already, of accelerate's for instance.
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

    def _decide(self, part: str, backend: str, times: "_Times") -> int:
        expected = self.expected
        expected = expected.get(part) if isinstance(expected, Mapping) else expected
        crossovers = {rows: crossover(*found) for rows, found in times.items()}
        rows = most_rows(crossovers, expected) if self.fall_back else MOST_ROWS
        decision = Decision(self.layer, part, backend, crossovers, expected, rows)
        self.patched.decisions.append(decision)
        return rows


class _FFN:
    """One FFN's modules: the inner ones compute nothing and hand zeros on, the last computes all;
    or, where the kernel is not used, what h is without the neurons that are skipped."""

    def __init__(
        self,
        block: _Block,
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
        #: What the FFN reads, where the kernel is to compute; act(gate)'s input, where it is not.
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
        # What an earlier pass left, if an error ended it half-way.
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


def most_rows(crossovers: Mapping[int, float], expected: float | None) -> int:
    """For how many rows at once, and fewer, the kernel takes less time where the share `expected`
    is skipped, by crossovers in the order of their rows; what is not known is enough where the
    kernel wins at any share."""
    most = 0
    for rows, share in crossovers.items():
        if share >= 1 if expected is None else expected < share:
            break
        most = rows
    return most


def crossover(dense: float, sparse: Sequence[tuple[float, float]]) -> float:
    """The share from which on sparse takes less time, of its (share, seconds) in order, straight
    lines between them; 0 where it does at the first, 1 where it does not get there."""
    before = sparse[0]
    if before[1] <= dense:
        return 0.0
    for share, seconds in sparse[1:]:
        if seconds <= dense:
            return before[0] + (share - before[0]) * (before[1] - dense) / (before[1] - seconds)
        before = share, seconds
    return 1.0


#: By rows of x: seconds of the dense product, and (share skipped, seconds) of the kernel in order.
_Times = dict[int, tuple[float, list[tuple[float, float]]]]


def _ffn_times(ffn: FFNView, packed: PackedFFN, rule: Threshold | Fixed | Chosen) -> _Times:
    import torch

    found: _Times = {}
    first = ffn.inner[0]
    for rows in _ROWS:
        x = _input(packed, rows, packed.d)
        size = ffn.act(torch.nn.functional.linear(x, first.weight, first.bias)).abs().float()
        sparse = []
        for share in _SHARES:
            if isinstance(rule, Threshold):
                # Below every value at first: a threshold of 0 skips what a ReLU makes zero.
                cut = float(size.flatten().quantile(share)) if share else None
                skipped = 0.0 if cut is None else float((size <= cut).float().mean())
                run = partial(sparse_ffn, x, packed, threshold=cut)
                sparse.append((skipped, _seconds(run, packed.rows)))
            else:
                # One set for all rows, or one for each.
                shape = (packed.d_ff,) if isinstance(rule, Fixed) else (rows, packed.d_ff)
                mask = torch.rand(shape, device=x.device) >= share
                run = partial(sparse_ffn, x, packed, active=mask)
                sparse.append((share, _seconds(run, packed.rows)))
        found[rows] = _seconds(partial(_dense, ffn, x), packed.rows), sorted(sparse)
    return found


def _dense(ffn: FFNView, x: "torch.Tensor") -> "torch.Tensor":
    return ffn.output(ffn.hidden(x))


def _and_choosing(
    rule: Chosen, packed: PackedFFN, rows: int, times: tuple[float, list[tuple[float, float]]]
) -> tuple[float, list[tuple[float, float]]]:
    """Times with the predictor's own."""
    dense, sparse = times
    choosing = _seconds(partial(rule.choose, _input(packed, rows, packed.d)), packed.rows)
    return dense, [(share, seconds + choosing) for share, seconds in sparse]


def _linear_times(module: "torch.nn.Module", packed: PackedLinear) -> _Times:
    found: _Times = {}
    for rows in _ROWS:
        x = _input(packed, rows, packed.inputs)
        sparse = []
        for share in _SHARES:
            cut = float(x.abs().float().flatten().quantile(share)) if share else 0.0
            run = partial(sparse_linear, x, packed, threshold=cut)
            sparse.append((share, _seconds(run, packed.rows)))
        found[rows] = _seconds(partial(module, x), packed.rows), sparse
    return found


def _input(packed: PackedFFN | PackedLinear, rows: int, size: int) -> "torch.Tensor":
    """Inputs of so many sequences' tokens, drawn."""
    import torch

    return torch.randn(rows, size, device=packed.rows.device).to(packed.dtype)


def _seconds(run: "Callable[[], object]", weights: "torch.Tensor") -> float:
    """Of one call, the median of a few; large weights are not in the cache before it, as those of a
    layer are not when the layers before it have been computed."""
    import torch

    cold = weights.device.type == "cpu" and weights.nbytes > _CACHED
    spoiler = torch.empty(_SPOILED if cold else 0, dtype=torch.int8)
    timed(run, device=str(weights.device))
    found = []
    for _ in range(_TIMES):
        spoiler.fill_(0)
        found.append(timed(run, device=str(weights.device)))
    return statistics.median(found)


def _give(module: "torch.nn.Module", weight: "torch.Tensor") -> None:
    import torch

    module.weight = torch.nn.Parameter(weight, requires_grad=False)


def _own_memory(module: "torch.nn.Module", trained: bool) -> None:
    """A module's weights leave the memory that they share with others'; `trained` as before."""
    _give(module, module.weight.detach().clone(memory_format=_contiguous()))
    module.weight.requires_grad_(trained)


def _contiguous() -> Any:
    import torch

    return torch.contiguous_format
