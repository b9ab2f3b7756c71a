"""Measure on the tokens that count how much of a model was skipped."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipeline.models.forward import Forward, Skipped
from pipeline.models.views import FFNView, ModelView, linear_layers
from pipeline.models.views import matrix as weights_of
from pipeline.numerics.measures import MEASURES

if TYPE_CHECKING:
    import torch

#: A matrix's place in the FFN: the first one that h needs, the other one, the one that reads h, or
#: none of these.
_FIRST, _SECOND, _DOWN, _OTHER = range(4)
_BASES = _IMPOSED, _TOTAL = "imposed", "total"

#: Disjoint sets of neurons: removed for good, those of Skipped, and those with h not zero.
_GONE, _BEFORE, _GATE, _HIDDEN, _LIVE = "gone", "before", "gate", "hidden", "live"
#: For a matrix's rows (columns, for the one that reads h): whether the sets listed are those that
#: are needed or those that are not. A neuron that is zero by itself is known by its row of the
#: first matrix.
_SETS: Mapping[tuple[int, str], tuple[bool, tuple[str, ...]]] = {
    (_FIRST, _IMPOSED): (False, (_GONE, _BEFORE)),
    (_FIRST, _TOTAL): (False, (_GONE, _BEFORE)),
    (_SECOND, _IMPOSED): (False, (_GONE, _BEFORE, _GATE)),
    (_SECOND, _TOTAL): (True, (_LIVE, _HIDDEN)),
    (_DOWN, _IMPOSED): (False, (_GONE, _BEFORE, _GATE, _HIDDEN)),
    (_DOWN, _TOTAL): (True, (_LIVE,)),
    (_OTHER, _IMPOSED): (False, ()),
    (_OTHER, _TOTAL): (False, ()),
}


@dataclass(frozen=True)
class _Matrix:
    """A linear layer, or the outputs of it that make up one matrix of an FFN.

    `left`, (outputs, inputs) bool, are the weights that pruning left; None for all.
    """

    module: "torch.nn.Module"
    role: int
    outputs: int
    inputs: int
    start: int
    left: "torch.Tensor | None"

    @property
    def weights(self) -> int:
        return self.outputs * self.inputs

    @cached_property
    def remaining(self) -> int:
        """How many weights pruning left."""
        return self.weights if self.left is None else int(self.left.sum())

    @cached_property
    def by_output(self) -> "torch.Tensor | int":
        """Weights left of each output, (outputs,), or one number for all."""
        return self.inputs if self.left is None else self.left.sum(1)

    @cached_property
    def by_input(self) -> "torch.Tensor | int":
        """Weights left of each input, (inputs,), or one number for all."""
        return self.outputs if self.left is None else self.left.sum(0)


class _Pairs:
    """(token, channel) pairs, (tokens, channels) bool, with their sums."""

    def __init__(self, marked: "torch.Tensor") -> None:
        import torch

        # Sums of bools are several times slower.
        self._marked = marked.view(torch.uint8)

    @cached_property
    def by_token(self) -> "torch.Tensor":
        """How many pairs each token has, (tokens,)."""
        import torch

        return self._marked.sum(1, dtype=torch.int32)

    @cached_property
    def by_channel(self) -> "torch.Tensor":
        """How many pairs each channel has, (channels,)."""
        # A product of ones, which float32 holds exactly up to 2^24 tokens.
        values = self.values
        return (values.new_ones(len(values)) @ values).long()

    @cached_property
    def size(self) -> int:
        """How many pairs there are."""
        return int(self.by_token.sum())

    @property
    def values(self) -> "torch.Tensor":
        """The set as numbers, 1 and 0 in float32."""
        return self._marked.float()


@dataclass
class _Sums:
    """What one layer adds up to since the last reset."""

    nonfinite: int = 0
    #: Pairs by set of neurons, counted for each neuron, (d_ff,), where matrices of the FFN are
    #: pruned.
    neurons: "dict[str, Any]" = field(default_factory=dict)
    #: By place of the matrix and basis: weights of unread channels in rows that are needed.
    unread: dict[tuple[int, str], int] = field(default_factory=dict)
    #: By place of the matrix: weights read in place of skipped ones.
    extra: dict[int, int] = field(default_factory=dict)

    def copy(self) -> "_Sums":
        """The same sums, for what is added to either to be no part of the other."""
        return _Sums(self.nonfinite, dict(self.neurons), dict(self.unread), dict(self.extra))

    def pairs(self, names: Sequence[str]) -> Any:
        """How many pairs are in all of these sets."""
        return sum(self.neurons.get(name, 0) for name in names)


class Meter:
    """Counts what a forward pass need not read, at the tokens that `forward` counts.

    A weight is read when its input channel is read, its output is needed, and pruning left it. A
    neuron that is zero by itself needs its gate (or fc1) row to be known as zero, and none of its
    remaining weights. Counts are whole numbers, and exact.
    """

    def __init__(self, layout: ModelView, forward: Forward) -> None:
        self.layout = layout
        self.forward = forward
        self._matrices = [
            _matrices(block, ffn, forward.pruned)
            for block, ffn in zip(layout.blocks, layout.ffns, strict=True)
        ]
        self._gone: dict[tuple[int, torch.device], torch.Tensor] = {}
        self.reset()

    def reset(self) -> None:
        """Start counting anew."""
        self.tokens = 0
        self._sums = [_Sums() for _ in self.layout.ffns]

    def mark(self) -> Callable[[], None]:
        """What undoes all that is counted from now on."""
        tokens, sums = self.tokens, [each.copy() for each in self._sums]

        def back() -> None:
            self.tokens, self._sums = tokens, sums

        return back

    @contextmanager
    def watching(self, model: Any) -> Iterator[None]:
        """Count during the block; masks must be hooked on before it, since hooks run in order."""
        with self.forward.watching(model), ExitStack() as ends:
            for layer, ffn in enumerate(self.layout.ffns):
                ends.callback(ffn.watch(self._counter(layer)).remove)
            yield

    def counts(self) -> list[dict[str, int]]:
        """What was counted since the last reset, layer by layer: rows of tables.samples.COUNTS
        without the task and the block."""
        rows = []
        for layer, (ffn, matrices) in enumerate(zip(self.layout.ffns, self._matrices, strict=True)):
            sums = self._sums[layer]
            inner = [matrix for matrix in matrices if matrix.role != _OTHER]
            imposed = _SETS[_DOWN, _IMPOSED][1]
            row = {
                "layer": layer,
                "tokens": self.tokens,
                "zeros": self.tokens * ffn.d_ff - _total(sums.pairs([_LIVE])),
                "skipped": _total(sums.pairs(imposed)),
                "nonfinite": sums.nonfinite,
            }
            for name, some in (("ffn", inner), ("linear", matrices)):
                for basis in _BASES:
                    spared = [self._spared(sums, place, basis, m) for place, m in enumerate(some)]
                    row[f"{name}_spared_{basis}"] = sum(spared)
            row["neurons"] = ffn.d_ff
            row["ffn_weights"] = sum(matrix.weights for matrix in inner)
            row["linear_weights"] = sum(matrix.weights for matrix in matrices)
            rows.append(row)
        return rows

    def _spared(self, sums: _Sums, place: int, basis: str, matrix: _Matrix) -> int:
        """Weights of a matrix that need not be read, over all tokens."""
        needed, names = _SETS[matrix.role, basis]
        each = matrix.by_input if matrix.role == _DOWN else matrix.by_output
        told = _total(sums.pairs(names) * each)
        without = self.tokens * matrix.remaining - told if needed else told
        pruned = self.tokens * (matrix.weights - matrix.remaining)
        return pruned + without + sums.unread.get((place, basis), 0) - sums.extra.get(place, 0)

    def _counter(self, layer: int) -> Any:
        import torch

        pruned = any(m.left is not None and m.role != _OTHER for m in self._matrices[layer])

        def count(h: "torch.Tensor") -> None:
            forward = self.forward
            if forward.counted is None:
                raise ValueError("a metered model runs within Forward.watching")
            if not layer:
                self.tokens += forward.tokens
            sums = self._sums[layer]
            # Over all tokens, the sum is enough and takes a tenth of the time.
            if not math.isfinite(float(h.sum(dtype=torch.float32))):
                sums.nonfinite += int((~forward.counted_of(h).isfinite()).sum())
            sets = self._sets(layer, forward.counted_of(h.bool()))
            for name, pairs in sets.items():
                added = pairs.by_channel if pruned else pairs.size
                # Removed neurons are gone at every token.
                added = added * forward.tokens if name == _GONE else added
                sums.neurons[name] = sums.neurons.get(name, 0) + added
            if forward.kept or forward.extra:
                self._channels(layer, sets)
            forward.skipped.pop(layer, None)

        return count

    def _sets(self, layer: int, live: "torch.Tensor") -> dict[str, _Pairs]:
        """The non-empty sets of neurons at the tokens that count."""
        import torch

        told = self.forward.skipped.get(layer, Skipped())
        marked = {_BEFORE: told.before, _GATE: told.gate, _HIDDEN: told.hidden}
        found = {
            name: self.forward.counted_of(mask) for name, mask in marked.items() if mask is not None
        }
        found[_LIVE] = live
        if self.forward.removed is not None:
            key = layer, live.device
            if key not in self._gone:
                gone = torch.from_numpy(self.forward.removed[layer]).bool()
                self._gone[key] = gone.to(live.device)[None]
            found = {name: mask & ~self._gone[key] for name, mask in found.items()}
            found[_GONE] = self._gone[key]
        return {name: _Pairs(mask) for name, mask in found.items()}

    def _channels(self, layer: int, sets: Mapping[str, _Pairs]) -> None:
        """Add what the layer's modules do not read of their inputs, and what they read instead."""
        forward, sums = self.forward, self._sums[layer]
        unread: dict[torch.nn.Module, dict[str, _Pairs]] = {}
        for place, matrix in enumerate(self._matrices[layer]):
            module = matrix.module
            if forward.extra.get(module) and not matrix.start:
                more = forward.extra[module] * forward.working
                sums.extra[place] = sums.extra.get(place, 0) + more
            if module in forward.kept:
                read = {_IMPOSED: forward.kept.pop(module), _TOTAL: forward.live.pop(module)}
                unread[module] = {
                    basis: _Pairs(~forward.counted_of(mask)) for basis, mask in read.items()
                }
            if module not in unread:
                continue
            for basis in _BASES:
                needed = _SETS[matrix.role, basis]
                more = _unread(matrix, *needed, sets, unread[module][basis])
                sums.unread[place, basis] = sums.unread.get((place, basis), 0) + more


def _unread(
    matrix: _Matrix,
    needed: bool,
    names: Sequence[str],
    sets: Mapping[str, _Pairs],
    unread: _Pairs,
) -> int:
    """Weights of unread channels in rows that are needed, where pruning left them."""
    import torch

    told = [sets[name] for name in names if name in sets]
    if not told and not needed:
        if matrix.left is None:
            return unread.size * matrix.outputs
        return _total(unread.by_channel * matrix.by_input)
    if matrix.left is None:
        rows: Any = sum(pairs.by_token.long() for pairs in told)
        return _total((rows if needed else matrix.outputs - rows) * unread.by_token)
    rows = sum(pairs.values for pairs in told)
    # Sums of ones, which float32 holds exactly up to 2^24 inputs.
    each = unread.values @ matrix.left.view(torch.uint8).float().T
    return int((each * (rows if needed else 1 - rows)).sum(dtype=torch.float64))


def _total(sums: Any) -> int:
    """A number, or the sum of a tensor's."""
    return sums if isinstance(sums, int) else int(sums.sum())


def _matrices(
    block: "torch.nn.Module",
    ffn: FFNView,
    pruned: "Mapping[torch.nn.Module, torch.Tensor]",
) -> list[_Matrix]:
    """All matrices of a block, first those of the FFN, by their outputs."""
    found = []
    projections = dict(zip((_FIRST, _SECOND), ffn.inner, strict=False))
    for role, part in [*projections.items(), (_DOWN, ffn.down)]:
        left = pruned.get(part.module)
        left = None if left is None else left[part.start : part.stop]
        outputs, inputs = part.weight.shape
        found.append(_Matrix(part.module, role, outputs, inputs, part.start, left))
    taken = {matrix.module for matrix in found}
    for _, module in linear_layers(block):
        if module not in taken:
            outputs, inputs = weights_of(module).shape
            found.append(_Matrix(module, _OTHER, outputs, inputs, 0, pruned.get(module)))
    return found


def figures(counts: Sequence[Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """The three measures, imposed and total, of rows of COUNTS: all layers, any number of blocks.

    Sums are of whole numbers, so how the items were divided changes nothing.
    """

    def per_token(name: str) -> int:
        return sum(row["tokens"] * row[name] for row in counts)

    wholes = [per_token(name) for name in ("neurons", "ffn_weights", "linear_weights")]
    found = {}
    for basis, neurons in (("imposed", "skipped"), ("total", "zeros")):
        names = (neurons, f"ffn_spared_{basis}", f"linear_spared_{basis}")
        shares = [
            sum(row[name] for row in counts) / max(1, whole)
            for name, whole in zip(names, wholes, strict=True)
        ]
        found[basis] = dict(zip(MEASURES, shares, strict=True))
    return found
