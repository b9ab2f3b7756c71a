"""Does activation sparsity go with accuracy lost? By neuron (decile), layer, condition and item.

Rows of tables.correlations.CORRELATIONS and UNITS. Deciles and layers are all that a backbone has,
no sample of them, so intervals come from the items alone; how likely an order of the units is by
chance is what the permutation within backbones says. A layer's cold neurons are as many as its
sparsity makes them, so at that level sparsity and the number removed cannot be told apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from pipeline.analysis.arms import Arm
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.curves import Losses
from pipeline.concentration import gini
from pipeline.ranking import deciles
from pipeline.tables.correlations import related
from pipeline.tables.curves import REASONING

Row = dict[str, Any]

_PERMUTATIONS = 9999
#: Facts of a unit that its loss is set against, by level.
MEASURES = {
    "neuron": ("activity",),
    "layer": ("natural_sparsity", "gini", "hot_share", "depth", "neuron_sparsity_imposed"),
}


def decile_facts(profile: pl.DataFrame) -> list[Row]:
    """Mean activation frequency of every decile of a profile's neurons, coldest first."""
    frequency = _frequency(profile)
    part = deciles(frequency, profile["layer"].to_numpy(), profile["neuron"].to_numpy())
    return [
        {"unit": number, "activity": float(frequency[part == number].mean())}
        for number in range(1, 11)
        if (part == number).any()
    ]


def layer_facts(profile: pl.DataFrame) -> list[Row]:
    """Natural sparsity, Gini, share of hot neurons and depth of every layer of a profile."""
    last = max(1, int(profile["layer"].max()))
    found = []
    for (layer,), rows in profile.group_by("layer", maintain_order=True):
        frequency = _frequency(rows)
        found.append(
            {
                "unit": layer,
                "natural_sparsity": float(1 - frequency.mean()),
                "gini": gini(frequency),
                "hot_share": float(rows["hot"].mean()),
                "depth": layer / last,
            }
        )
    return found


def _frequency(profile: pl.DataFrame) -> np.ndarray:
    return (profile["active"] / profile["tokens"].clip(1)).to_numpy()


#: Part that a method removes -> level of the question, and facts of such parts.
PARTS = {"decile": ("neuron", decile_facts), "layer": ("layer", layer_facts)}


def units(
    level: str,
    facts: Mapping[str, Sequence[Row]],
    arms: Iterable[Arm],
    losses: Mapping[str, Losses],
) -> list[tuple[Row, np.ndarray]]:
    """(row of UNITS, loss in every resample) for the arms that remove one unit each.

    `facts` are those of the units by model.
    """
    known = {(model, row["unit"]): row for model, rows in facts.items() for row in rows}
    empty = dict.fromkeys(name for names in MEASURES.values() for name in names)
    found = []
    for arm in arms:
        own = losses[arm.model]
        fact = known.get((arm.model, int(arm.level)))
        if fact is None or not own.members(REASONING, arm):
            continue
        row = own.row(arm, REASONING)
        kept = ("neuron_sparsity_imposed", "n", "loss", "loss_low", "loss_high")
        values = {name: row[name] for name in kept}
        head = {"level": level, "model": arm.model, "method": arm.method}
        found.append((head | empty | fact | values, own.draws(arm, REASONING)))
    return found


def of_units(
    level: str, found: Sequence[tuple[Row, np.ndarray]], resamples: Resamples
) -> list[Row]:
    """How every measure goes with the loss, within each backbone and pooled over them.

    Pooled is the mean over the backbones in which measure and loss vary. p is two-sided, from
    permutations of the units within their backbones.
    """
    models = list(dict.fromkeys(row["model"] for row, _ in found))
    groups = {model: [pair for pair in found if pair[0]["model"] == model] for model in models}
    groups = {model: pairs for model, pairs in groups.items() if len(pairs) > 2}
    rows = []
    for measure in MEASURES[level]:
        parts = {model: _Group(measure, pairs) for model, pairs in groups.items()}
        varying = [part for part in parts.values() if part.varies]
        for model, part in parts.items():
            method = groups[model][0][0]["method"]
            shown = _pooled([part], resamples) if part.varies else {}
            rows.append(related(level, model, method, measure, len(part.x), **shown))
        if len(varying) > 1:
            units = sum(len(part.x) for part in varying)
            pooled = _pooled(varying, resamples)
            rows.append(related(level, None, found[0][0]["method"], measure, units, **pooled))
    return rows


class _Group:
    """Measure and loss, (units,), and the loss in every resample, (resamples, units)."""

    def __init__(self, measure: str, pairs: Sequence[tuple[Row, np.ndarray]]) -> None:
        self.x = np.array([row[measure] for row, _ in pairs])
        self.y = np.array([row["loss"] for row, _ in pairs])
        self.drawn = np.stack([draws for _, draws in pairs], axis=1)
        self.varies = bool(np.ptp(self.x) > 0 and np.ptp(self.y) > 0)


def _pooled(groups: Sequence[_Group], resamples: Resamples) -> Row:
    """Rank correlation with its p, and slope with its interval, each a mean over groups.

    The interval is the slope's and not the rank correlation's: noise drawn upon noise leaves a
    slope where it is and lowers a rank correlation.
    """
    rank = float(np.mean([spearman(g.x, g.y[None])[0] for g in groups]))
    generator = np.random.default_rng([resamples.seed, 1])
    shuffled = [generator.permuted(np.tile(g.y, (_PERMUTATIONS, 1)), axis=1) for g in groups]
    null = np.mean([spearman(g.x, s) for g, s in zip(groups, shuffled, strict=True)], axis=0)
    extreme = int((np.abs(null) >= abs(rank) - 1e-12).sum())
    draws = np.mean([slope(g.x, g.drawn) for g in groups], axis=0)
    tail = (1 - resamples.confidence) / 2
    low, high = (float(end) for end in np.quantile(draws, [tail, 1 - tail]))
    return {
        "spearman": rank,
        "p": (extreme + 1) / (_PERMUTATIONS + 1),
        "effect": "slope",
        "estimate": float(np.mean([slope(g.x, g.y[None])[0] for g in groups])),
        "low": low,
        "high": high,
    }


def slope(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Least-squares slope of every row of `rows`, (rows, n), on `x`, (n,), in units of the row per
    standard deviation of x."""
    return rows @ ((x - x.mean()) / x.std()) / len(x)


def spearman(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Spearman's coefficient of `x`, (n,), with every row of `rows`, (rows, n); ties get mean
    ranks, and a row without variation gives nan."""
    one = stats.rankdata(x) - (len(x) + 1) / 2
    many = stats.rankdata(rows, axis=1) - (len(x) + 1) / 2
    size = np.sqrt((one @ one) * (many * many).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 0, many @ one / size, np.nan)


def of_conditions(rows: Sequence[Mapping[str, Any]], methods: Iterable[str]) -> list[Row]:
    """Rank correlation of achieved neuron sparsity (imposed) with loss over the levels of each of
    `methods`; descriptive, since levels are monotone by design and share their items."""
    measure = "neuron_sparsity_imposed"
    found = []
    for model in dict.fromkeys(row["model"] for row in rows):
        for method in methods:
            part = [
                (row[measure], row["loss"])
                for row in rows
                if (row["model"], row["method"], row["task"]) == (model, method, REASONING)
            ]
            if len(part) > 2:
                x, y = np.array(part).T
                varies = np.ptp(x) > 0 and np.ptp(y) > 0
                rank = float(spearman(x, y[None])[0]) if varies else None
                found.append(related("condition", model, method, measure, len(part), spearman=rank))
    return found
