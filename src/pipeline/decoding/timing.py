"""How fast the kernels are here, against torch's dense products, by what is skipped.

All contenders take their turn in every round, in a newly drawn order. A ratio is that of two times
of the same round, and the result is the median over rounds with its 95 % bootstrap interval.
Neurons and inputs are drawn anew for every round, and on a GPU the cache is emptied before every
call, so that it holds no weights from the call before.
"""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pipeline.decoding.clock import timed
from pipeline.kernels.interface import pack_ffn, pack_linear, sparse_ffn, sparse_linear
from pipeline.models.skips import ACTIVE, CHANNELS, SLICED, THRESHOLD, UNGATED_THRESHOLD

if TYPE_CHECKING:
    import torch

#: Shares skipped at which speeds are measured.
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95)
#: Calls that take less are repeated within a measurement.
_SECONDS = 0.004
_RESAMPLES = 2000


@dataclass
class Trial:
    """An FFN with SiLU and random weights, and the draws of a round: the input `x` of `batch`
    tokens, and the neurons that are kept, as indices (`kept`), as a `mask` and as matrices of these
    neurons alone (`cut`).

    `gate` and `up` are (d_ff, d), `down` is (d, d_ff). `share` of the neurons are left out, to the
    nearest whole number; `gates`, `inputs` and `ups` are the thresholds that leave out the same
    share of |act(gate)|, |x| and |act(up)|.
    """

    gate: "torch.Tensor"
    up: "torch.Tensor"
    down: "torch.Tensor"
    draw: "torch.Generator"
    batch: int = 1
    share: float = 0.0
    x: "torch.Tensor" = field(init=False)
    kept: "torch.Tensor" = field(init=False)
    mask: "torch.Tensor" = field(init=False)
    cut: "tuple[torch.Tensor, ...]" = field(init=False)
    gates: float = field(init=False)
    ups: float = field(init=False)
    inputs: float = field(init=False)

    def renew(self) -> None:
        """Draw the input and the neurons of a new round."""
        import torch

        d_ff, d = self.gate.shape
        device = self.gate.device
        drawn = torch.randn(self.batch, d, generator=self.draw, device=device)
        self.x = drawn.to(self.gate.dtype)
        order = torch.randperm(d_ff, generator=self.draw, device=device)
        self.kept = order[round(self.share * d_ff) :].sort().values
        self.mask = torch.zeros(d_ff, dtype=torch.bool, device=device)
        self.mask[self.kept] = True
        self.cut = self.gate[self.kept], self.up[self.kept], self.down[:, self.kept].contiguous()
        sizes = _act(_linear(self.x, self.gate)), _act(_linear(self.x, self.up)), self.x
        self.gates, self.ups, self.inputs = (
            float(size.float().abs().flatten().quantile(self.share)) if self.share else 0.0
            for size in sizes
        )

    @cached_property
    def down_rows(self) -> "torch.Tensor":
        """down's columns as rows."""
        return self.down.T.contiguous()

    def dense(self) -> "torch.Tensor":
        """torch's own FFN."""
        return _ffn(self.x, self.gate, self.up, self.down)

    def dense_ungated(self) -> "torch.Tensor":
        """torch's own FFN of up and down."""
        return _linear(_act(_linear(self.x, self.up)), self.down)

    def dense_layer(self) -> "torch.Tensor":
        """torch's own product with one matrix."""
        return _linear(self.x, self.gate)

    def sliced(self) -> "torch.Tensor":
        """torch's own FFN with the matrices that were cut beforehand."""
        return _ffn(self.x, *self.cut)


def random_trial(
    d: int, d_ff: int, dtype: "torch.dtype", device: str = "cpu", batch: int = 1
) -> Trial:
    """A trial whose weights keep a token's size at about one, with its first round drawn."""
    import torch

    draw = torch.Generator(device).manual_seed(0)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        drawn = torch.randn(rows, columns, generator=draw, device=device)
        return (drawn / columns**0.5).to(dtype)

    trial = Trial(matrix(d_ff, d), matrix(d_ff, d), matrix(d, d_ff), draw, batch)
    trial.renew()
    return trial


def speeds(
    d: int,
    d_ff: int,
    dtype: "torch.dtype",
    rounds: int,
    device: str = "cpu",
    others: "Mapping[str, Callable[[Trial], torch.Tensor]] | None" = None,
    batch: int = 1,
) -> list[dict[str, Any]]:
    """Rows by share and form: `form`, `share`, `ideal` (weights of the dense product divided by
    those read), `ratio` with `low` and `high` (times as fast as dense), `seconds` and
    `dense_seconds`, `bytes_a_second`; `others` are further contenders, which know the neurons of
    the round; their ratios stand beside those of `active`. For more than one token at once there is
    only `active`, with the same neurons for all tokens."""
    trial = random_trial(d, d_ff, dtype, device, batch)
    gated = pack_ffn(trial.gate, trial.up, trial.down, activation="silu")
    ungated = pack_ffn(None, trial.up, trial.down, activation="silu")
    layer = pack_linear(trial.gate)
    matrix = d * d_ff * trial.gate.element_size()
    extra = others or {}
    # By form: its contender, the dense product, how many matrices that reads, and how many of these
    # are read whole whatever is skipped.
    forms: dict[str, tuple[Callable[[], Any], Callable[[], Any], int, int]] = {
        SLICED: (trial.sliced, trial.dense, 3, 0),
        ACTIVE: (lambda: sparse_ffn(trial.x, gated, active=trial.mask), trial.dense, 3, 0),
        THRESHOLD: (
            lambda: sparse_ffn(trial.x, gated, threshold=trial.gates), trial.dense, 3, 1
        ),
        UNGATED_THRESHOLD: (
            lambda: sparse_ffn(trial.x, ungated, threshold=trial.ups), trial.dense_ungated, 2, 1
        ),
        CHANNELS: (
            lambda: sparse_linear(trial.x, layer, threshold=trial.inputs), trial.dense_layer, 1, 0
        ),
    }  # fmt: skip
    rows = []
    for share in SHARES:
        trial.share = share
        for form, (run, dense, matrices, whole) in forms.items():
            if batch > 1 and form != ACTIVE:
                continue
            beside = extra if form == ACTIVE else {}
            found = compared(
                {"dense": dense, form: run, **{n: partial(f, trial) for n, f in beside.items()}},
                rounds,
                trial.renew,
                device,
            )
            read = (whole + (1 - share) * (matrices - whole)) * matrix
            rows.append(
                {
                    "form": form, "share": share, "ideal": matrices * matrix / read, **found[form],
                    "dense_seconds": found["dense"]["seconds"],
                    "bytes_a_second": read / found[form]["seconds"],
                    "others": {name: found[name] for name in beside},
                }
            )  # fmt: skip
    return rows


def compared(
    contenders: "Mapping[str, Callable[[], Any]]",
    rounds: int,
    renew: "Callable[[], None]" = lambda: None,
    device: str = "cpu",
    against: str = "dense",
) -> dict[str, dict[str, Any]]:
    """By contender: `ratio`, `low` and `high` of the time of the one called `against` divided by
    its own, and its median `seconds`."""
    order = list(contenders)
    draw = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in order}
    repeat = 1
    for number in range(rounds):
        renew()
        if not number:
            # A first call, which also shows how long one takes.
            timed(contenders[against], device=device)
            repeat = max(1, round(_SECONDS / timed(contenders[against], device=device)))
            for run in contenders.values():
                timed(run, device=device)
        draw.shuffle(order)
        for name in order:
            seconds[name].append(timed(contenders[name], repeat, device))
    return {
        name: median([a / b for a, b in zip(seconds[against], values, strict=True)])
        | {"seconds": statistics.median(values)}
        for name, values in seconds.items()
    }


def median(values: Sequence[float]) -> dict[str, float]:
    """The median, as `ratio`, with its 95 % percentile bootstrap interval, `low` and `high`."""
    import numpy as np

    drawn = np.random.default_rng(0).choice(values, (_RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return {"ratio": statistics.median(values), "low": float(low), "high": float(high)}


def _ffn(
    x: "torch.Tensor", gate: "torch.Tensor", up: "torch.Tensor", down: "torch.Tensor"
) -> "torch.Tensor":
    return _linear(_act(_linear(x, gate)) * _linear(x, up), down)


def _linear(x: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.nn.functional.linear(x, weight)


def _act(x: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.nn.functional.silu(x)
