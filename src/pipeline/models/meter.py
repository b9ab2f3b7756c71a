"""Measure on the tokens that count how much of a model was skipped."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.models.forward import Forward, Skipped
from pipeline.models.views import FFNView, ModelView, counted, linear_layers
from pipeline.models.views import matrix as weights_of

if TYPE_CHECKING:
    import torch

#: What a matrix is to the neurons: the first one that h needs, the other one, the one that reads h,
#: or none of these.
_FIRST, _SECOND, _DOWN, _OTHER = range(4)


@dataclass(frozen=True)
class _Matrix:
    """A linear layer, or those of its outputs that are one matrix of an FFN."""

    module: "torch.nn.Module"
    role: int
    outputs: int
    inputs: int
    start: int = 0

    @property
    def weights(self) -> int:
        return self.outputs * self.inputs


class Meter:
    """Counts what a forward pass need not read, at the tokens that `forward` counts.

    A weight is read when its input channel is read and its output is needed. A neuron that is zero
    by itself needs its gate (or fc1) row to be known as zero, and none of its remaining weights.
    Weights that pruning removed are never read. Counts are whole numbers, exact up to 2^24 weights
    a token and matrix where weights were pruned.
    """

    def __init__(self, shape: ModelView, forward: Forward) -> None:
        self.shape = shape
        self.forward = forward
        self._matrices = [
            _matrices(block, ffn) for block, ffn in zip(shape.blocks, shape.ffns, strict=True)
        ]
        self.reset()

    def reset(self) -> None:
        """Start counting anew."""
        self.tokens = 0
        self._rows = [dict.fromkeys(_COUNTED, 0) for _ in self.shape.ffns]

    @contextmanager
    def watching(self, model: Any) -> Iterator[None]:
        """Count during the block; masks must be hooked on before it, since hooks run in order."""
        with self.forward.watching(model), ExitStack() as ends:
            for layer, ffn in enumerate(self.shape.ffns):
                ends.callback(ffn.watch(self._counter(layer)).remove)
            yield

    def counts(self) -> list[dict[str, int]]:
        """What was counted since the last reset, layer by layer: rows of tables.samples.COUNTS
        without the task and the block."""
        rows = []
        for layer, (ffn, matrices) in enumerate(zip(self.shape.ffns, self._matrices, strict=True)):
            inner = [m.weights for m in matrices if m.role != _OTHER]
            rows.append(
                {
                    "layer": layer,
                    "tokens": self.tokens,
                    **self._rows[layer],
                    "neurons": ffn.d_ff,
                    "ffn_weights": sum(inner),
                    "linear_weights": sum(m.weights for m in matrices),
                }
            )
        return rows

    def _counter(self, layer: int) -> Any:
        def count(h: "torch.Tensor") -> None:
            mask = self.forward.counted
            if mask is None:
                raise ValueError("a metered model runs within Forward.watching")
            inner = counted(h, mask)
            if not layer:
                self.tokens += len(inner)
            row = self._rows[layer]
            bases = self._skipped(layer, inner == 0, mask)
            row["zeros"] += bases["total"][_DOWN].size
            row["skipped"] += bases["imposed"][_DOWN].size
            row["nonfinite"] += int((~inner.isfinite()).sum())
            for matrix in self._matrices[layer]:
                for basis, sets in bases.items():
                    skipped = sets.get(matrix.role, _Neurons.none())
                    spared = self._spared(matrix, skipped, len(inner), mask)
                    row[f"linear_spared_{basis}"] += spared
                    if matrix.role != _OTHER:
                        row[f"ffn_spared_{basis}"] += spared

        return count

    def _skipped(
        self, layer: int, zero: "torch.Tensor", mask: "torch.Tensor"
    ) -> "dict[str, dict[int, _Neurons]]":
        """By basis and role: the neurons whose rows, or columns, of a matrix are not needed."""
        import torch

        told = self.forward.skipped.get(layer, Skipped())
        before = _Neurons.of(told.before, mask)
        if self.forward.removed is not None:
            gone = torch.from_numpy(self.forward.removed[layer]).to(zero.device)
            before = before | _Neurons(gone.expand_as(zero), len(zero) * int(gone.sum()))
        known = before | _Neurons.of(told.gate, mask)
        hidden = _Neurons.of(told.hidden, mask)
        zeros = _Neurons(zero)
        late = zeros if hidden.mask is None else _Neurons(zero & ~hidden.mask)
        return {
            "imposed": {_FIRST: before, _SECOND: known, _DOWN: known | hidden},
            # A neuron that is zero by itself is known by its row of the first matrix.
            "total": {_FIRST: before, _SECOND: late, _DOWN: zeros},
        }

    def _spared(
        self, matrix: _Matrix, skipped: "_Neurons", tokens: int, mask: "torch.Tensor"
    ) -> int:
        """Weights of a matrix that need not be read, over all tokens."""
        down = matrix.role == _DOWN
        kept = None if down else self.forward.kept.get(matrix.module)
        left = self.forward.pruned.get(matrix.module)
        more = 0 if matrix.start else self._extra(matrix.module, mask)
        if left is None and kept is None:
            return skipped.size * (matrix.outputs if down else matrix.inputs) - more
        needed = None if skipped.mask is None else ~skipped.mask
        outputs = None if down else needed
        inputs = needed if down else None if kept is None else counted(kept, mask)
        if left is not None:
            rows = left[matrix.start : matrix.start + matrix.outputs]
            if inputs is None:
                each = rows.sum(1).expand(tokens, -1)
            else:
                each = inputs.to(rows.dtype) @ rows.T
            read = int((each if outputs is None else each * outputs).double().sum())
        elif inputs is not None and outputs is not None:
            read = int((inputs.sum(1) * outputs.sum(1)).sum())
        else:
            read = 0 if inputs is None else int(inputs.sum()) * matrix.outputs
        return tokens * matrix.weights - read - more

    def _extra(self, module: "torch.nn.Module", mask: "torch.Tensor") -> int:
        """Weights that a module reads in the place of skipped ones, over all tokens."""
        extra = self.forward.extra.get(module, 0)
        sparse = self.forward.sparse
        return extra and extra * int((mask if sparse is None else mask & sparse).sum())


class _Neurons:
    """A set of (token, neuron) pairs: `mask`, (tokens, d_ff) bool or None for none, and its size,
    counted once."""

    def __init__(self, mask: "torch.Tensor | None", size: int | None = None) -> None:
        self.mask = mask
        self._size = 0 if mask is None else size

    @staticmethod
    def of(told: "torch.Tensor | None", mask: "torch.Tensor") -> "_Neurons":
        """What a method told, at the tokens that count."""
        return _Neurons(None if told is None else counted(told, mask))

    @staticmethod
    def none() -> "_Neurons":
        """The empty set."""
        return _Neurons(None)

    @property
    def size(self) -> int:
        """Pairs in the set."""
        if self._size is None:
            self._size = 0 if self.mask is None else int(self.mask.sum())
        return self._size

    def __or__(self, other: "_Neurons") -> "_Neurons":
        if self.mask is None or other.mask is None:
            return other if self.mask is None else self
        return _Neurons(self.mask | other.mask)


_COUNTED = (
    "zeros",
    "skipped",
    "nonfinite",
    "ffn_spared_imposed",
    "ffn_spared_total",
    "linear_spared_imposed",
    "linear_spared_total",
)


def _matrices(block: "torch.nn.Module", ffn: FFNView) -> list[_Matrix]:
    """All matrices of a block; those of the FFN by their outputs."""
    found = []
    projections = dict(zip((_FIRST, _SECOND), ffn.inner, strict=False))
    for role, part in [*projections.items(), (_DOWN, ffn.down)]:
        found.append(_Matrix(part.module, role, part.out_features, part.in_features, part.start))
    taken = {matrix.module for matrix in found}
    for _, module in linear_layers(block):
        if module not in taken:
            found.append(_Matrix(module, _OTHER, *weights_of(module).shape))
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


#: The three measures of achieved sparsity.
MEASURES = ("neuron_sparsity", "ffn_weight_sparsity", "model_weight_sparsity")
