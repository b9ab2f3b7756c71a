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
from pipeline.profiling.active import ActiveSets
from pipeline.profiling.watching import watching

if TYPE_CHECKING:
    import torch

_SAMPLE_SEED = 0
#: Most tokens of the sample's batch, padding included, as a multiple of the sample's.
_PADDED = 2
#: Shares of (token, neuron) pairs at which the CETT curve is drawn.
_SHARES = np.array([0.01, *np.arange(0.05, 1, 0.05), 0.99])

Columns = dict[str, list]


def profile_sample(
    model: Any, sequences: Sequence[Sequence[int]], special: Sequence[int], config: Profile
) -> dict[str, Columns]:
    """Columns of tables.sampled.THRESHOLDS, NORMS, TOKENS, CETT_CURVE, ALWAYS_ACTIVE and
    PROMPT_OVERLAPS, by the tables' names.

    One forward pass over all sampled tokens in one batch; each layer is measured as it passes, so
    that no more than one layer's h is held. A second batch would need all layers' at once, since a
    threshold is of all tokens.
    """
    import torch

    layout = view(model)
    device = input_device(model)
    drawn = sampled(sequences, config.cett_tokens, _PADDED * config.cett_tokens)
    rows = [sequences[index][: config.cett_tokens] for index in drawn]
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


def sampled(
    sequences: Sequence[Sequence[int]], tokens: int, padded: int | None = None
) -> list[int]:
    """Indices of a fixed random draw of whole sequences, in corpus order, that hold at most
    `tokens` tokens, and at most `padded` once they are padded to one length. Where none is that
    short, the first drawn one, of which `tokens` tokens are the sample.

    One that does not fit is passed over until half of the tokens are drawn, and then ends the draw:
    otherwise a long one would end it early, or the last places would go to the shortest ones.
    Sequences at even distances could all be of one kind of text in a corpus whose kinds take turns.
    """
    order = np.random.default_rng(_SAMPLE_SEED).permutation(len(sequences)).tolist()
    drawn: list[int] = []
    held = most = 0
    for index in order:
        length = len(sequences[index])
        wide = (len(drawn) + 1) * max(most, length)
        if held + length <= tokens and (padded is None or wide <= padded):
            drawn.append(index)
            held, most = held + length, max(most, length)
        elif 2 * held >= tokens:
            break
    return sorted(drawn or order[:1])


class _Measured:
    """Measures one layer after the other, over one batch."""

    def __init__(self, batch: Batch, sequences: Sequence[int], target: float) -> None:
        self.batch = batch
        self.sequences = sequences
        self.target = target
        places = batch.counted.nonzero()
        self.rows, self.positions = places.cpu().numpy().T
        self.pairs = list(_pairs(batch))

    def layer(self, ffn: FFNView, h: "torch.Tensor") -> dict[str, dict[str, list]]:
        """Columns of the six tables, without the layer."""
        inner, down = h.float(), ffn.down.weight.to(h.device).float()
        finite = _finite(inner)
        every = bool(finite.all())
        tail = Tail(inner if every else inner[finite], down)
        _check_finite(ffn, finite, tail)
        drawn = curve(tail, _SHARES)
        points = list(zip(drawn["threshold"].tolist(), drawn["cett"].tolist(), strict=True))
        threshold, cett = fit_threshold(tail, self.target, points)
        norms = ffn.down_norms().to(h.device)
        if ffn.activation in EXACT_ZERO_ACTIVATIONS:
            active = inner != 0
        else:
            active = inner.abs() > (threshold / norms).float()
        # A non-finite h is neither active nor inactive.
        unknown = np.zeros(len(inner), dtype=np.int64)
        if not every:
            active &= inner.isfinite()
            unknown = (~inner.isfinite()).sum(1).cpu().numpy()
        sets = ActiveSets(active)
        cett_of = np.full(len(inner), np.nan)
        cett_of[finite.nonzero().flatten()[tail.kept].cpu()] = tail.each(threshold).cpu()
        of_threshold = {"cett_threshold": [threshold], "cett": [cett]}
        return {
            "thresholds": of_threshold | {"cett_tokens": [len(tail.inner)]},
            "norms": {
                "neuron": list(range(ffn.d_ff)),
                "weight_norm": ffn.weight_norms().tolist(),
                "down_norm": norms.tolist(),
            },
            "tokens": self._tokens(sets, unknown, cett_of),
            "cett_curve": {name: values.tolist() for name, values in drawn.items()},
            "always_active": self._always_active(sets),
            "prompt_overlaps": self._prompt_overlaps(sets),
        }

    def _tokens(self, sets: ActiveSets, unknown: np.ndarray, cett: np.ndarray) -> dict[str, list]:
        """`unknown` are the neurons of each token that are neither active nor inactive."""
        tokens = np.arange(len(self.rows))
        overlap = np.full(len(tokens), np.nan)
        overlap[1:] = sets.overlaps(tokens[1:], tokens[:-1])
        follows = (np.diff(self.rows) == 0) & (np.diff(self.positions) == 1)
        overlap[1:][~follows] = np.nan
        return {
            "sequence": [self.sequences[row] for row in self.rows.tolist()],
            "position": self.positions.tolist(),
            "active": sets.number.tolist(),
            "sparsity": (1 - (sets.number + unknown) / sets.neurons).tolist(),
            "cett": _known(cett),
            "overlap_previous": _known(overlap),
        }

    def _always_active(self, sets: ActiveSets) -> dict[str, list]:
        held: dict[int, list[float]] = {}
        for row in np.unique(self.rows):
            shares = sets.always(np.flatnonzero(self.rows == row))
            length = 1
            while length <= len(shares):
                held.setdefault(length, []).append(float(shares[length - 1]))
                length *= 2
        return {
            "length": list(held),
            "share": [float(np.mean(shares)) for shares in held.values()],
            "sequences": [len(shares) for shares in held.values()],
        }

    def _prompt_overlaps(self, sets: ActiveSets) -> dict[str, list]:
        both = np.square(sets.frequency).sum()
        either = (2 * sets.frequency).sum() - both
        chance = float(both / either) if either else 0.0
        names = ("sequence", "other", "first_changed", "positions", "overlap", "by_chance")
        columns: dict[str, list] = {name: [] for name in names}
        for one, other, changed, mine, theirs in self.pairs:
            overlaps = sets.overlaps(mine, theirs)
            overlaps = overlaps[~np.isnan(overlaps)]
            if len(overlaps):
                values = (self.sequences[one], self.sequences[other], changed, len(overlaps),
                          float(overlaps.mean()), chance)  # fmt: skip
                for name, value in zip(names, values, strict=True):
                    columns[name].append(value)
        return columns


def _finite(values: "torch.Tensor") -> "torch.Tensor":
    """Which tokens' values, (tokens, channels), are all finite numbers; the least and the largest
    of values that hold one that is not a number is not a number."""
    return values.amax(1).isfinite() & values.amin(1).isfinite()


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
            yield row, after, changed, mine[both].numpy(), theirs[both].numpy()


def _known(values: np.ndarray) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
