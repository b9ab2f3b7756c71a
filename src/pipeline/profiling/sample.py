"""What is measured token by token, on a sample of the calibration sequences: CETT thresholds and
curves, active sets and how they overlap."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.profile import Profile
from pipeline.errors import UserError, at
from pipeline.models.batches import Batch, batches
from pipeline.models.cett import Tail, curve, fit_threshold
from pipeline.models.views import EXACT_ZERO_ACTIVATIONS, FFNView, input_device, view
from pipeline.profiling.watching import watching

if TYPE_CHECKING:
    import torch

_SAMPLE_SEED = 0
#: A sample holds at least this many sequences, if there are that many.
_SEQUENCES = 16
#: Shares of (token, neuron) pairs at which the CETT curve is drawn.
_SHARES = np.array([0.01, *np.arange(0.05, 1, 0.05), 0.99])

Columns = dict[str, list]


def profile_sample(
    model: Any, sequences: Sequence[Sequence[int]], special: Sequence[int], config: Profile
) -> dict[str, Columns]:
    """Columns of tables.sampled.THRESHOLDS, NORMS, TOKENS, CETT_CURVE, ALWAYS_ACTIVE and
    PROMPT_OVERLAPS, by the tables' names.

    One forward pass over all sampled tokens at once; each layer is measured as it passes, so that
    no more than one layer's h is held.
    """
    import torch

    layout = view(model)
    device = input_device(model)
    drawn = sampled(sequences, config.cett_tokens)
    rows = [sequences[index][: longest(config.cett_tokens)] for index in drawn]
    (batch,) = batches(rows, len(rows), special, str(device))
    names = ("thresholds", "norms", "tokens", "cett_curve", "always_active", "prompt_overlaps")
    found: dict[str, Columns] = {name: {} for name in names}
    measured = _Measured(batch, [drawn[row] for row in batch.rows], config.cett)

    def receiver(layer: int, ffn: FFNView) -> Any:
        def receive(h: "torch.Tensor") -> None:
            with ffn.present(), at(f"layer {layer}"):
                tables = measured.layer(ffn, h)
            for name, columns in tables.items():
                size = len(next(iter(columns.values())))
                for column, values in {"layer": [layer] * size, **columns}.items():
                    found[name].setdefault(column, []).extend(values)

        return receive

    with torch.inference_mode(), watching() as watch:
        for layer, ffn in enumerate(layout.ffns):
            watch.hidden(ffn, receiver(layer, ffn))
        watch.run(model, batch)
    return found


def longest(tokens: int) -> int:
    """Most tokens that a sample of `tokens` takes from the start of a sequence: otherwise one long
    sequence would be the whole sample, and a few would pad all others to their length."""
    return max(2, tokens // _SEQUENCES)


def sampled(sequences: Sequence[Sequence[int]], tokens: int) -> list[int]:
    """Indices of a fixed random draw of sequences, in corpus order, whose starts (`longest`) hold
    at most `tokens` tokens; at least one. Sequences at even distances could all be of one kind of
    text in a corpus whose kinds take turns."""
    most = longest(tokens)
    order = np.random.default_rng(_SAMPLE_SEED).permutation(len(sequences))
    held = np.cumsum([min(most, len(sequences[index])) for index in order])
    count = max(1, int(np.searchsorted(held, tokens, side="right")))
    return sorted(int(index) for index in order[:count])


class _Measured:
    """Measures one layer after the other, over one batch."""

    def __init__(self, batch: Batch, sequences: Sequence[int], target: float) -> None:
        self.batch = batch
        self.sequences = sequences
        self.target = target
        places = batch.counted.nonzero()
        self.rows, self.positions = places[:, 0].cpu(), places[:, 1].cpu()
        self.pairs = list(_pairs(batch))

    def layer(self, ffn: FFNView, h: "torch.Tensor") -> dict[str, dict[str, list]]:
        """Columns of the six tables, without the layer."""
        inner, down = h.float(), ffn.down.weight.to(h.device).float()
        finite = inner.isfinite().all(dim=1)
        tail = Tail(inner[finite], down)
        _check_finite(ffn, finite, tail)
        threshold, cett = fit_threshold(tail, self.target)
        norms = ffn.down_norms().to(h.device)
        if ffn.activation in EXACT_ZERO_ACTIVATIONS:
            active = (inner != 0) & inner.isfinite()
        else:
            active = (inner.abs() > (threshold / norms).float()) & inner.isfinite()
        # Layers may lie on several devices; what is compared from here on is small.
        active = active.cpu()
        of_threshold = {"cett_threshold": [threshold], "cett": [cett]}
        return {
            "thresholds": of_threshold | {"cett_tokens": [len(tail.inner)]},
            "norms": {
                "neuron": list(range(ffn.d_ff)),
                "weight_norm": ffn.weight_norms().tolist(),
                "down_norm": norms.tolist(),
            },
            "tokens": self._tokens(inner, active, finite, tail, threshold),
            "cett_curve": {n: v.tolist() for n, v in curve(tail, _SHARES).items()},
            "always_active": self._always_active(active),
            "prompt_overlaps": self._prompt_overlaps(active),
        }

    def _tokens(
        self,
        inner: "torch.Tensor",
        active: "torch.Tensor",
        finite: "torch.Tensor",
        tail: Tail,
        threshold: float,
    ) -> dict[str, list]:
        import torch

        number = active.sum(1)
        # A non-finite h is neither active nor inactive.
        unknown = (~inner.isfinite()).sum(1).cpu()
        cett = torch.full((len(active),), float("nan"), dtype=torch.float64)
        places = finite.nonzero().flatten()[tail.kept]
        cett[places.cpu()] = tail.each(threshold).cpu()
        follows = (self.rows[1:] == self.rows[:-1]) & (
            self.positions[1:] == self.positions[:-1] + 1
        )
        overlap = _jaccard(active[1:], active[:-1])
        overlap[~follows] = float("nan")
        return {
            "sequence": [self.sequences[row] for row in self.rows.tolist()],
            "position": self.positions.tolist(),
            "active": number.tolist(),
            "sparsity": (1 - (number + unknown).double() / active.shape[1]).tolist(),
            "cett": _known(cett.tolist()),
            "overlap_previous": [None, *_known(overlap.tolist())][: len(active)],
        }

    def _always_active(self, active: "torch.Tensor") -> dict[str, list]:
        import torch

        held: dict[int, list[float]] = {}
        for row in self.rows.unique().tolist():
            mine = active[self.rows == row]
            # The first token that leaves a neuron inactive; the sequence's length where none does.
            order = torch.arange(len(mine))[:, None]
            first = torch.where(mine, len(mine), order).amin(0)
            length = 1
            while length <= len(mine):
                held.setdefault(length, []).append(float((first >= length).double().mean()))
                length *= 2
        return {
            "length": list(held),
            "share": [float(np.mean(shares)) for shares in held.values()],
            "sequences": [len(shares) for shares in held.values()],
        }

    def _prompt_overlaps(self, active: "torch.Tensor") -> dict[str, list]:
        frequency = active.double().mean(0)
        both, either = frequency.square().sum(), (2 * frequency - frequency.square()).sum()
        chance = float(both / either) if float(either) else 0.0
        names = ("sequence", "other", "first_changed", "positions", "overlap", "by_chance")
        columns: dict[str, list] = {name: [] for name in names}
        for one, other, changed, mine, theirs in self.pairs:
            overlaps = _jaccard(active[mine], active[theirs])
            overlaps = overlaps[~overlaps.isnan()]
            if len(overlaps):
                values = (self.sequences[one], self.sequences[other], changed, len(overlaps),
                          float(overlaps.mean()), chance)  # fmt: skip
                for name, value in zip(names, values, strict=True):
                    columns[name].append(value)
        return columns


def _check_finite(ffn: FFNView, finite: "torch.Tensor", tail: Tail) -> None:
    """UserError where no sampled token has a finite FFN output: no threshold could be fitted, and a
    layer without one would look as if all of its neurons were active."""
    lost = len(finite) - int(finite.sum()) + tail.nonfinite
    if lost and not len(tail.inner):
        dtype = str(ffn.down.weight.dtype).removeprefix("torch.")
        raise UserError(
            f"the FFN's outputs are finite numbers at none of {len(finite)} sampled tokens of the "
            f"calibration text; the model's numbers overflow {dtype}, or its weights are damaged: "
            "give the model another dtype, or other weights"
        )


def _pairs(batch: Batch) -> Any:
    """(row, the row of the next sequence, first position that differs, their counted tokens from
    there on, at equal positions, as indices into all counted tokens)."""
    import torch

    counted, tokens = batch.counted.cpu(), batch.tokens.cpu()
    index = torch.full(counted.shape, -1)
    index[counted] = torch.arange(int(counted.sum()))
    order = sorted(range(len(batch.rows)), key=lambda row: batch.rows[row])
    for row, after in itertools.pairwise(order):
        differs = (tokens[row] != tokens[after]).nonzero()
        if not len(differs):
            continue
        changed = int(differs[0])
        mine, theirs = index[row, changed:], index[after, changed:]
        both = (mine >= 0) & (theirs >= 0)
        if bool(both.any()):
            yield row, after, changed, mine[both], theirs[both]


def _jaccard(one: "torch.Tensor", other: "torch.Tensor") -> "torch.Tensor":
    """Intersection over union of each row, float64; not a number where nothing is active."""
    return (one & other).sum(1).double() / (one | other).sum(1).double()


def _known(values: Sequence[float]) -> list[float | None]:
    return [None if value != value else value for value in values]
