"""Does activation sparsity go with accuracy lost? By neuron (decile), layer, removal and condition.

Rows of tables.correlations.CORRELATIONS and UNITS. How likely an order of the units is by chance is
what permutations within backbones say; deciles and layers are all that a backbone has, no sample of
them, so a rank correlation has no interval. Removals are compared within those of equally many
neurons: over all of them, activity and number rise together by design.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from pipeline.analysis.arms import Arm
from pipeline.analysis.curves import Losses
from pipeline.concentration import gini
from pipeline.ranking import deciles
from pipeline.tables.correlations import related
from pipeline.tables.curves import REASONING

Row = dict[str, Any]
Pair = tuple[np.ndarray, np.ndarray]

_PERMUTATIONS = 9999
#: Facts of a unit that its loss is set against, by level.
MEASURES = {"neuron": "activity", "layer": "natural_sparsity"}
#: Facts of units in tables.correlations.UNITS.
_FACTS = ("activity", "natural_sparsity", "gini", "hot_share", "depth")
#: Removals count as equally many within so large a share of the model's neurons.
_EQUAL = 0.01
#: Fewer removals of equally many neurons tell nothing of an order.
_FEWEST = 3


def decile_facts(profile: pl.DataFrame, by_layer: bool) -> list[Row]:
    """Mean activation frequency of every decile of a profile's neurons, coldest first; deciles are
    those of each layer, or of the model."""
    frequency = _frequency(profile)
    layers, neurons = profile["layer"].to_numpy(), profile["neuron"].to_numpy()
    part = np.zeros(len(frequency), dtype=int)
    for group in [layers == layer for layer in np.unique(layers)] if by_layer else [layers >= 0]:
        part[group] = deciles(frequency[group], layers[group], neurons[group])
    return [
        {"unit": number, "activity": float(frequency[part == number].mean())}
        for number in range(1, 11)
        if (part == number).any()
    ]


def layer_facts(profile: pl.DataFrame, _by_layer: bool) -> list[Row]:
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
) -> list[Row]:
    """Rows of UNITS for the arms that remove one unit each; `facts` are those of the units by
    model."""
    known = {(model, row["unit"]): row for model, rows in facts.items() for row in rows}
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
        found.append(head | dict.fromkeys(_FACTS) | fact | values)
    return found


def of_units(level: str, found: Sequence[Row], seed: int) -> list[Row]:
    """How the level's measure goes with the loss, within each backbone and pooled over them.

    Pooled is the mean over the backbones in which measure and loss vary. p is two-sided, from
    permutations of the units within their backbones.
    """
    measure = MEASURES[level]
    groups = {
        model: [row for row in found if row["model"] == model]
        for model in dict.fromkeys(row["model"] for row in found)
    }
    pairs = {
        model: (np.array([r[measure] for r in rows]), np.array([r["loss"] for r in rows]))
        for model, rows in groups.items()
        if len(rows) > 2
    }
    rows = []
    for model, pair in pairs.items():
        method = groups[model][0]["method"]
        rows.append(related(level, model, method, measure, len(pair[0]), **_ranked([pair], seed)))
    varying = [pair for pair in pairs.values() if _varies(pair)]
    if len(varying) > 1:
        total = sum(len(pair[0]) for pair in varying)
        pooled = _ranked(varying, seed)
        rows.append(related(level, None, found[0]["method"], measure, total, **pooled))
    return rows


def of_removals(removals: Sequence[Row], seed: int) -> list[Row]:
    """How the activity removed goes with the loss within removals of equally many neurons, in each
    backbone and over all of them.

    Draws of one condition are one removal, their mean: they take about the same activity and cost
    about the same, so that a p which counted each would be too small. Only here is there a p, from
    permutations within such strata. Beside it, for description: the rank correlations over all
    removals of a backbone with activity and with number, and the partial one with activity given
    the number.
    """
    rows = []
    whole: dict[str, list[Pair]] = {}
    for model in dict.fromkeys(row["model"] for row in removals):
        own = _conditions([row for row in removals if row["model"] == model])
        strata = [pair for pair in _strata(own) if _varies(pair)]
        rows += _descriptive(model, own)
        if strata:
            whole[model] = strata
            rows.append(_within(model, strata, seed))
    if len(whole) > 1:
        rows.append(_within(None, [pair for strata in whole.values() for pair in strata], seed))
    return rows


def _within(model: str | None, strata: Sequence[Pair], seed: int) -> Row:
    found = _ranked(strata, seed) | {"strata": len(strata)}
    total = sum(len(x) for x, _ in strata)
    return related("removal", model, "", "activity_removed", total, **found)


def _conditions(removals: Sequence[Row]) -> list[Row]:
    """One row a method and level whose loss is known, the mean of its draws."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in removals:
        if row["loss"] is not None:
            groups.setdefault((row["method"], row["level"]), []).append(row)
    names = ("removed", "neurons", "activity_removed", "loss")
    return [
        {name: float(np.mean([row[name] for row in draws])) for name in names}
        for draws in groups.values()
    ]


def _strata(removals: Sequence[Row]) -> list[Pair]:
    """(activity removed, loss) of the removals of equally many neurons, a pair a stratum."""
    groups: dict[int, list[Row]] = {}
    for row in removals:
        groups.setdefault(round(row["removed"] / row["neurons"] / _EQUAL), []).append(row)
    return [
        (np.array([r["activity_removed"] for r in own]), np.array([r["loss"] for r in own]))
        for _, own in sorted(groups.items())
        if len(own) >= _FEWEST
    ]


def _descriptive(model: str, removals: Sequence[Row]) -> list[Row]:
    """Rank correlations over all removals of a model, without p: they are nested by design."""
    if len(removals) < _FEWEST:
        return []
    activity, number, loss = (
        stats.rankdata([row[name] for row in removals])
        for name in ("activity_removed", "removed", "loss")
    )
    if min(np.ptp(activity), np.ptp(number), np.ptp(loss)) == 0:
        return []
    with_activity, with_number, between = (
        float(np.corrcoef(a, b)[0, 1])
        for a, b in ((activity, loss), (number, loss), (activity, number))
    )
    apart = np.sqrt((1 - with_number**2) * (1 - between**2))
    # Two that rank alike leave rounding errors alone.
    partial = (with_activity - with_number * between) / apart if apart > 1e-6 else None
    told = {
        "activity_removed, pooled": with_activity,
        "neurons removed, pooled": with_number,
        "activity_removed given the number": partial,
    }
    return [
        related("removal", model, "", measure, len(removals), spearman=value)
        for measure, value in told.items()
    ]


def _varies(pair: Pair) -> bool:
    return bool(np.ptp(pair[0]) > 0 and np.ptp(pair[1]) > 0)


def _ranked(groups: Sequence[Pair], seed: int) -> Row:
    """Rank correlation, the mean over groups by their number of units, with its p; nulls where
    nothing varies."""
    if not all(map(_varies, groups)):
        return {}
    sizes = np.array([len(x) for x, _ in groups])
    rank = float(np.average([spearman(x, y[None])[0] for x, y in groups], weights=sizes))
    generator = np.random.default_rng([seed, 1])
    null = np.average(
        [
            spearman(x, generator.permuted(np.tile(y, (_PERMUTATIONS, 1)), axis=1))
            for x, y in groups
        ],
        axis=0,
        weights=sizes,
    )
    extreme = int((np.abs(null) >= abs(rank) - 1e-12).sum())
    return {"spearman": rank, "p": (extreme + 1) / (_PERMUTATIONS + 1)}


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
                rank = float(spearman(x, y[None])[0]) if _varies((x, y)) else None
                found.append(related("condition", model, method, measure, len(part), spearman=rank))
    return found
