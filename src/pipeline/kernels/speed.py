"""How fast the kernels are here, against torch's dense products, by what is skipped.

All contenders take their turn in every round, in an order drawn anew; a ratio is that of two times
of one round, and what is told is the median over rounds with its 95 % bootstrap interval. Masks are
drawn anew for every round, so that no weights are in the cache from the one before.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.kernels.interface import pack_ffn, pack_linear, sparse_ffn, sparse_linear
from pipeline.kernels.packed import PackedFFN
from pipeline.kernels.rules import ACTIVE, CHANNELS, SLICED, THRESHOLD

if TYPE_CHECKING:
    import torch

#: Shares skipped at which speeds are measured.
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95)
#: Calls that take less are made several times a measurement.
_SECONDS = 0.004
_RESAMPLES = 2000


@dataclass
class Weights:
    """An FFN with SiLU and random weights, and one token's input; `kept` are the neurons of the
    round, `cut` the matrices without the others."""

    gate: "torch.Tensor"
    up: "torch.Tensor"
    down: "torch.Tensor"
    x: "torch.Tensor"
    kept: "torch.Tensor | None" = None
    mask: "torch.Tensor | None" = None
    cut: "tuple[torch.Tensor, ...]" = field(default_factory=tuple)

    @property
    def element_size(self) -> int:
        """Bytes of a weight."""
        return self.gate.element_size()

    def dense(self) -> "torch.Tensor":
        """torch's own."""
        return _ffn(self.x, self.gate, self.up, self.down)

    def sliced(self) -> "torch.Tensor":
        """torch's own, of the matrices that were cut before."""
        return _ffn(self.x, *self.cut)

    def renew(self, share: float, draw: "torch.Generator") -> None:
        """Draw the neurons of a round."""
        import torch

        shape = self.gate.shape[0]
        self.mask = torch.rand(shape, generator=draw, device=self.gate.device) >= share
        self.kept = self.mask.nonzero().squeeze(1)
        self.cut = self.gate[self.kept], self.up[self.kept], self.down[:, self.kept].contiguous()


def random_weights(
    d: int, d_ff: int, dtype: "torch.dtype", device: str = "cpu"
) -> tuple[Weights, "torch.Generator"]:
    """Weights that keep a token's size about one, and what drew them."""
    import torch

    draw = torch.Generator(device).manual_seed(0)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        drawn = torch.randn(rows, columns, generator=draw, device=device)
        return (drawn / columns**0.5).to(dtype)

    x = torch.randn(1, d, generator=draw, device=device).to(dtype)
    return Weights(matrix(d_ff, d), matrix(d_ff, d), matrix(d, d_ff), x), draw


def speeds(
    d: int,
    d_ff: int,
    dtype: "torch.dtype",
    rounds: int,
    device: str = "cpu",
    others: "Mapping[str, Callable[[Weights], torch.Tensor]] | None" = None,
) -> list[dict[str, Any]]:
    """Rows by form and share: `form`, `share`, `ideal` (weights of the dense product divided by
    those read), `ratio` with `low` and `high` (times as fast as dense), `seconds` and
    `dense_seconds`, `bytes_a_second`; `others` are the ratios of further contenders, which know the
    neurons of the round, beside `active`."""
    weights, draw = random_weights(d, d_ff, dtype, device)
    packed = pack_ffn(weights.gate, weights.up, weights.down, activation="silu")
    linear = pack_linear(weights.gate)
    x = weights.x
    first = _act(x @ weights.gate.T).abs().float()
    whole = 3 * d * d_ff * weights.element_size
    extra = others or {}
    rows = []
    for share in SHARES:
        gates, inputs = (
            float(values.float().abs().flatten().quantile(share)) if share else 0.0
            for values in (first, x)
        )
        contenders: dict[str, Callable[[], Any]] = {
            "dense": weights.dense,
            SLICED: weights.sliced,
            ACTIVE: partial(_active, weights, packed),
            **{name: partial(run, weights) for name, run in extra.items()},
        }
        found = compared(contenders, rounds, partial(weights.renew, share, draw))
        told = {name: found[name] for name in extra}
        read = (1 - share) * whole
        rows.append(_row(SLICED, share, whole / read, read, found))
        rows.append(_row(ACTIVE, share, whole / read, read, found) | {"others": told})
        run: dict[str, Callable[[], Any]] = {
            "dense": weights.dense,
            THRESHOLD: partial(sparse_ffn, x, packed, threshold=gates),
        }
        read = (1 - share * 2 / 3) * whole
        rows.append(_row(THRESHOLD, share, whole / read, read, compared(run, rounds)))
        run = {
            "dense": partial(_linear, x, weights.gate),
            CHANNELS: partial(sparse_linear, x, linear, threshold=inputs),
        }
        read = (1 - share) * whole / 3
        rows.append(_row(CHANNELS, share, whole / 3 / read, read, compared(run, rounds)))
    return rows


def compared(
    contenders: "Mapping[str, Callable[[], Any]]",
    rounds: int,
    renew: "Callable[[], None]" = lambda: None,
) -> dict[str, dict[str, Any]]:
    """By contender: `ratio`, `low` and `high` of the time of `dense` divided by its own, and its
    median `seconds`."""
    order = list(contenders)
    draw = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in order}
    repeat = 1
    for number in range(rounds):
        renew()
        if not number:
            # A first time, which also tells how long it takes.
            timed(contenders["dense"])
            repeat = max(1, round(_SECONDS / timed(contenders["dense"])))
            for run in contenders.values():
                timed(run)
        draw.shuffle(order)
        for name in order:
            seconds[name].append(timed(contenders[name], repeat))
    return {
        name: interval([a / b for a, b in zip(seconds["dense"], values, strict=True)])
        | {"seconds": statistics.median(values)}
        for name, values in seconds.items()
    }


def timed(run: "Callable[[], Any]", repeat: int = 1) -> float:
    """Seconds of one call."""
    import torch

    def wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    with torch.inference_mode():
        wait()
        begin = time.perf_counter()
        for _ in range(repeat):
            run()
        wait()
    return (time.perf_counter() - begin) / repeat


def interval(values: Sequence[float]) -> dict[str, float]:
    """The median, as `ratio`, with its 95 % percentile bootstrap interval, `low` and `high`."""
    import numpy as np

    drawn = np.random.default_rng(0).choice(values, (_RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return {"ratio": statistics.median(values), "low": float(low), "high": float(high)}


def _active(weights: Weights, packed: PackedFFN) -> "torch.Tensor":
    return sparse_ffn(weights.x, packed, active=weights.mask)


def _row(
    form: str, share: float, ideal: float, read: float, found: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "form": form, "share": share, "ideal": ideal, **found[form],
        "dense_seconds": found["dense"]["seconds"],
        "bytes_a_second": read / found[form]["seconds"],
    }  # fmt: skip


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
