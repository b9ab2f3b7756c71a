"""Where a sparse kernel overtakes torch's dense product, as measured on the machine at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipeline.decoding.clock import seconds_from_memory
from pipeline.kernels.interface import sparse_ffn, sparse_linear
from pipeline.kernels.packed import PackedFFN, PackedLinear
from pipeline.models.skips import Chosen, Fixed, Threshold
from pipeline.models.views import FFNView

if TYPE_CHECKING:
    import torch

#: Rows of x above which a call is dense and masked, since it then reads the weights once for all
#: rows.
MOST_ROWS = 16
#: Shares and rows of x at which kernels are timed.
_SHARES = (0.0, 0.5, 0.9)
_ROWS = (1, 2, 4, 8, MOST_ROWS)

#: By number of rows of x: seconds of the dense product, and (share skipped, seconds) of the kernel,
#: by rising share.
Times = dict[int, tuple[float, list[tuple[float, float]]]]


@dataclass(frozen=True)
class Decision:
    """How one part of a block decodes, and why.

    `crossovers` gives, by the number of sequences that decode at once, the share skipped from which
    on the kernel was measured to take less time than torch's dense product, a predictor's time
    included; 1 where it never does. `expected` is the share that a token is expected to skip, None
    where that is not known. The kernel is used for up to `rows` sequences at once; 0 means always
    dense, since sparse would be slower.
    """

    layer: int
    part: str
    backend: str
    crossovers: dict[int, float]
    expected: float | None
    rows: int


def most_rows(crossovers: Mapping[int, float], expected: float | None) -> int:
    """Most rows at once for which the kernel takes less time when the share `expected` is skipped;
    `crossovers` are ordered by rows. If `expected` is not known, it is enough that the kernel wins
    at some share."""
    most = 0
    for rows, share in crossovers.items():
        if share >= 1 if expected is None else expected < share:
            break
        most = rows
    return most


def crossover(dense: float, sparse: Sequence[tuple[float, float]]) -> float:
    """The share from which on sparse takes less time than dense, on straight lines between its
    (share, seconds) points; 0 where it does from the first point on, 1 where it never does."""
    before = sparse[0]
    if before[1] <= dense:
        return 0.0
    for share, seconds in sparse[1:]:
        if seconds <= dense:
            return before[0] + (share - before[0]) * (before[1] - dense) / (before[1] - seconds)
        before = share, seconds
    return 1.0


def ffn_times(ffn: FFNView, packed: PackedFFN, rule: Threshold | Fixed | Chosen) -> Times:
    import torch

    found: Times = {}
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
                sparse.append((skipped, seconds_from_memory(run, packed.rows)))
            else:
                # A mask for all rows, or one for each row.
                shape = (packed.d_ff,) if isinstance(rule, Fixed) else (rows, packed.d_ff)
                mask = torch.rand(shape, device=x.device) >= share
                run = partial(sparse_ffn, x, packed, active=mask)
                sparse.append((share, seconds_from_memory(run, packed.rows)))
        found[rows] = seconds_from_memory(partial(_dense, ffn, x), packed.rows), sorted(sparse)
    return found


def _dense(ffn: FFNView, x: "torch.Tensor") -> "torch.Tensor":
    return ffn.output(ffn.hidden(x))


def with_choosing(
    rule: Chosen, packed: PackedFFN, rows: int, times: tuple[float, list[tuple[float, float]]]
) -> tuple[float, list[tuple[float, float]]]:
    """Times of a kernel with the predictor's own time added."""
    dense, sparse = times
    x = _input(packed, rows, packed.d)
    choosing = seconds_from_memory(partial(rule.choose, x), packed.rows)
    return dense, [(share, seconds + choosing) for share, seconds in sparse]


def linear_times(module: "torch.nn.Module", packed: PackedLinear) -> Times:
    found: Times = {}
    for rows in _ROWS:
        x = _input(packed, rows, packed.inputs)
        sparse = []
        for share in _SHARES:
            cut = float(x.abs().float().flatten().quantile(share)) if share else 0.0
            run = partial(sparse_linear, x, packed, threshold=cut)
            sparse.append((share, seconds_from_memory(run, packed.rows)))
        found[rows] = seconds_from_memory(partial(module, x), packed.rows), sparse
    return found


def _input(packed: PackedFFN | PackedLinear, rows: int, size: int) -> "torch.Tensor":
    """Inputs of `rows` sequences' tokens, (rows, size), drawn anew."""
    import torch

    return torch.randn(rows, size, device=packed.rows.device).to(packed.dtype)
