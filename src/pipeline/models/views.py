"""The FFN view: one shape for the feed-forward blocks of every supported architecture."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.numerics.roots import norms, roots, sums_of_squares
from pipeline.registry import ARCHITECTURES
from pipeline.store.digest import of_bytes, of_value

if TYPE_CHECKING:
    import torch

#: What the fingerprint of a model in memory begins with, and how many numbers of a tensor it is of.
IN_MEMORY, _SAMPLED = "memory:", 4096
#: Activation functions, by Hugging Face name, whose outputs hold exact zeros.
EXACT_ZERO_ACTIVATIONS = frozenset({"relu", "relu2", "relu6", "relu_squared"})


@dataclass(frozen=True)
class Projection:
    """One matrix of an FFN: all of a module's outputs, or those from `start` to `stop`.

    The module is a Linear, or a Conv1D, which keeps its matrix transposed. Writing into `weight` or
    `bias` writes into the module.
    """

    module: "torch.nn.Module"
    start: int = 0
    stop: int | None = None

    @property
    def weight(self) -> "torch.Tensor":
        """(outputs, inputs), whatever way the module keeps it."""
        return matrix(self.module)[self.start : self.stop]

    @property
    def bias(self) -> "torch.Tensor | None":
        """(outputs,), or None."""
        bias: torch.Tensor | None = self.module.bias
        return None if bias is None else bias[self.start : self.stop]

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.weight.shape[0]


@dataclass(frozen=True)
class FFNView:
    """One block's FFN. Neuron i is row i of every `inner` matrix with column i of `down`.

    `inner` is (gate, up) when gated, else (fc1,). The input of `down`, shape (..., d_ff), is h.
    `before` is the norm whose output the FFN reads and whose input is the residual stream; None
    where the FFN reads the stream itself.
    """

    inner: tuple[Projection, ...]
    down: Projection
    activation: str
    owner: "torch.nn.Module"
    before: "torch.nn.Module | None"

    @property
    def gated(self) -> bool:
        """True when a gate projection multiplies the up projection."""
        return len(self.inner) == 2

    @property
    def d_ff(self) -> int:
        """Number of neurons."""
        return self.down.in_features

    @contextmanager
    def present(self) -> Iterator[None]:
        """The weights are in memory during the block, wherever the model keeps them."""
        from accelerate.utils import align_module_device

        with ExitStack() as ends:
            for projection in (*self.inner, self.down):
                ends.enter_context(align_module_device(projection.module))
            yield

    def watch(self, receive: "Callable[[torch.Tensor], None]") -> Any:
        """Hand h of every forward pass to `receive`; returns a handle that stops this."""
        self._computes_h()
        return self.down.module.register_forward_pre_hook(
            lambda _module, inputs: receive(inputs[0])
        )

    def replace(self, change: "Callable[[torch.Tensor], torch.Tensor]") -> Any:
        """Replace h by `change(h)` in every forward pass; returns a handle that stops this."""
        self._computes_h()
        return self.down.module.register_forward_pre_hook(
            lambda _, inputs: (change(inputs[0]), *inputs[1:])
        )

    def _computes_h(self) -> None:
        if hasattr(self.down.module, "computed_by_kernel"):
            raise TypeError(
                "this model decodes through the kernels, and has no h; remove the patch"
            )

    def hidden(self, x: "torch.Tensor") -> "torch.Tensor":
        """h, (..., d_ff), of the FFN's input x, (..., d_model), from the matrices alone."""
        import torch

        first, *rest = (torch.nn.functional.linear(x, p.weight, p.bias) for p in self.inner)
        return self.act(first) * rest[0] if rest else self.act(first)

    @cached_property
    def act(self) -> "Callable[[torch.Tensor], torch.Tensor]":
        """The activation function."""
        from transformers.activations import ACT2FN

        function: Callable[[torch.Tensor], torch.Tensor] = ACT2FN[self.activation]
        return function

    @property
    def act_module(self) -> "torch.nn.Module | None":
        """The module that computes the activation function; None unless there is just one."""
        kind = type(self.act)
        found = [module for module in self.owner.modules() if type(module) is kind]
        return found[0] if len(found) == 1 else None

    def output(self, h: "torch.Tensor") -> "torch.Tensor":
        """The FFN's output, (..., d_model), of h."""
        import torch

        return torch.nn.functional.linear(h, self.down.weight, self.down.bias)

    def down_norms(self) -> "torch.Tensor":
        """||W_down[:, i]||_2 of every neuron, (d_ff,), float64."""
        return norms(self.down.weight, 0)

    def weight_norms(self) -> "torch.Tensor":
        """L2 norm of all weights of every neuron, biases left out, (d_ff,), float64."""
        squares = sums_of_squares(self.down.weight, 0)
        for projection in self.inner:
            squares = squares + sums_of_squares(projection.weight, 1)
        return roots(squares)

    def zero(self, dropped: "torch.Tensor") -> None:
        """Remove neurons in place by zeroing weights and biases; `dropped` is (d_ff,) bool."""
        import torch

        with torch.no_grad():
            for projection in self.inner:
                projection.weight[dropped] = 0
                if projection.bias is not None:
                    projection.bias[dropped] = 0
            self.down.weight[:, dropped] = 0

    def slice(self, dropped: "torch.Tensor") -> None:
        """Remove neurons in place by cutting them out of the matrices; equals `zero` up to the
        order of summation, and costs less time. The form to time static plans in.

        This view does not fit the model afterwards; take a new one. A Conv1D must have at least one
        input, so where nothing would be left, a neuron of zeros stays.
        """
        import torch

        kept = ~dropped
        if not bool(kept.any()) and transposed(self.down.module):
            self.zero(dropped)
            kept[0] = True
        with torch.no_grad():
            for module in dict.fromkeys(projection.module for projection in self.inner):
                rows = torch.ones(matrix(module).shape[0], dtype=torch.bool, device=kept.device)
                for projection in self.inner:
                    if projection.module is module:
                        rows[projection.start : projection.stop] = kept
                _cut(module, rows, ...)
            _cut(self.down.module, ..., kept)


def matrix(module: "torch.nn.Module") -> "torch.Tensor":
    """The weights of a Linear or Conv1D, (outputs, inputs)."""
    weight: torch.Tensor = module.weight
    return weight.T if transposed(module) else weight


def transposed(module: "torch.nn.Module") -> bool:
    """True for a Conv1D."""
    return hasattr(module, "nf")


def _cut(module: "torch.nn.Module", rows: Any, columns: Any) -> None:
    """Keep some outputs, or some inputs, of a Linear or Conv1D; `...` keeps all."""
    import torch

    kept = matrix(module)[rows] if columns is ... else matrix(module)[:, columns]
    turned = transposed(module)
    module.weight = torch.nn.Parameter((kept.T if turned else kept).clone().contiguous())
    if module.bias is not None and rows is not ...:
        module.bias = torch.nn.Parameter(module.bias[rows].clone())
    names = ("nf", "nx") if turned else ("out_features", "in_features")
    for name, size in zip(names, kept.shape, strict=True):
        setattr(module, name, size)


@dataclass(frozen=True)
class ModelView:
    """All FFNs of a model in order, and its transformer blocks."""

    ffns: Sequence[FFNView]
    blocks: "Sequence[torch.nn.Module]"

    @property
    def ffn_weights(self) -> int:
        """FFN weight elements of all blocks, biases left out."""
        return sum(p.weight.numel() for ffn in self.ffns for p in (*ffn.inner, ffn.down))

    @property
    def linear_weights(self) -> int:
        """Weight elements of all linear layers of all blocks, biases left out."""
        return sum(m.weight.numel() for block in self.blocks for _, m in linear_layers(block))


def linear_layers(block: "torch.nn.Module") -> "Iterator[tuple[str, torch.nn.Module]]":
    """(name in the block, module) of a block's linear layers, in the order of definition."""
    import torch
    from transformers.pytorch_utils import Conv1D

    for name, module in block.named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D):
            yield name, module


def fingerprint(model: Any) -> str:
    """What tells the weights of a model in memory from others', whatever files they came from: a
    digest of names, shapes, types and of evenly spaced numbers of every tensor, so that it costs
    little. Some change of single weights is not seen."""
    import torch

    told = {}
    for name, values in model.state_dict().items():
        flat = values.detach().reshape(-1)
        some = flat[:: max(1, flat.numel() // _SAMPLED)].contiguous().cpu()
        told[name] = [
            list(values.shape),
            str(values.dtype),
            of_bytes(some.view(torch.uint8).numpy().tobytes()),
        ]
    return IN_MEMORY + of_value(told)


def whole(model: Any) -> ModelView:
    """The view of a model in memory that can be fitted on and pruned; UserError for another."""
    views = view(model)
    devices = sorted({str(parameter.device) for parameter in model.parameters()})
    if len(devices) > 1 or devices == ["meta"]:
        raise UserError(
            f"the model lies on {', '.join(devices)}, and all of it is needed on one device; load "
            "it without device_map, or with one device"
        )
    if getattr(model.config, "quantization_config", None) is not None:
        raise UserError(
            "the model's weights are quantized already, so they cannot be read as numbers; load it "
            "without quantization_config"
        )
    return views


def input_device(model: Any) -> "torch.device":
    """The device for a model's input tokens: that of its first parameter, or the CPU when that is
    on disk."""
    import torch

    device: torch.device = next(model.parameters()).device
    return torch.device("cpu") if device.type == "meta" else device


def view(model: Any) -> ModelView:
    """The FFN view of a loaded model; UserError for an architecture without one, and where the
    model's modules are not those that the view looks for."""
    name = type(model).__name__
    entry = ARCHITECTURES.load(supported(name))
    try:
        found: ModelView = entry(model)
    except AttributeError as error:
        raise UserError(
            f"{name}: the FFN view of this architecture does not fit the model: {error}"
        ) from error
    return found


def supported(architecture: str) -> str:
    """`architecture` itself; raises UserError when no FFN view is registered for it."""
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"architecture {architecture!r} has no FFN view: profiling needs to know which linear "
            f"layers hold the FFN neurons. Supported: {', '.join(sorted(ARCHITECTURES))}. What was "
            "proved of each is in docs/architectures.json; docs/models.md explains it"
        )
    return architecture


def part(model: Any, index: int, owner: Any, name: str) -> Any:
    """Attribute `name` of the module that holds block `index`'s FFN; UserError, naming both, where
    it is missing."""
    if not hasattr(owner, name):
        found = ", ".join(sorted(child for child, _ in owner.named_children())) or "nothing"
        raise UserError(
            f"{type(model).__name__}: block {index} has no {name}, which the FFN view of this "
            f"architecture looks for; it has: {found}"
        )
    return getattr(owner, name)
