"""Does activity sparsity go with accuracy lost? By neuron (decile), layer, removal and condition.

Permutations within backbones say how likely an order of the units is by chance. A rank correlation
has no interval, since the deciles or layers of a backbone are all that it has and not a sample.
Removals are compared within those of equally many neurons: over all of them, the activity removed
rises with the number of neurons by design.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.analysis.base import StudyAnalysis
from pipeline.analysis.material import Material
from pipeline.config.orders import START
from pipeline.tables.correlations import CORRELATIONS, related
from pipeline.tables.curves import REASONING

Row = dict[str, Any]
Pair = tuple[np.ndarray, np.ndarray]

_PERMUTATIONS = 9999
#: Facts of a unit that its loss is set against, by level.
PART_MEASURES = {"neuron": "activity", "layer": "natural_sparsity"}
#: Removals count as equally large when their shares of the model's neurons round to the same
#: multiple of this.
_EQUAL = 0.01
#: With fewer removals of equally many neurons there is no order to speak of.
_FEWEST = 3


def correlations(
    study: Material, curves: Sequence[Row], units: Sequence[Row], removals: Sequence[Row]
) -> list[Row]:
    """Rows of CORRELATIONS. A model that is not clear of chance has nothing to lose, and no
    correlation but over the levels of its methods."""
    orders = study.orders.all
    rows: list[Row] = []
    for level, method in dict.fromkeys((row["level"], row["method"]) for row in units):
        removed = [row for row in units if row["method"] == method]
        rows += of_units(level, _clear(study, removed), study.seed)
    # Methods that only remove neurons, from the first token on.
    pure = {order.method for order in orders if order.sparse_from == START}
    removed = [row for row in removals if row["method"] in pure]
    rows += of_removals(_clear(study, removed), study.seed)
    parted = {part.method for part in study.parted}
    whole = [order.method for order in orders if order.method not in parted]
    return rows + of_conditions(curves, whole)


def _clear(study: Material, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["model"] in study.clear_of_chance]


def of_units(level: str, units: Sequence[Row], seed: int) -> list[Row]:
    """How the level's measure goes with the loss, within each backbone and pooled over them.

    Pooled is the mean over the backbones in which measure and loss vary. p is two-sided, from
    permutations of the units within their backbones.
    """
    measure = PART_MEASURES[level]
    groups = {
        model: [row for row in units if row["model"] == model]
        for model in dict.fromkeys(row["model"] for row in units)
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
        rows.append(related(level, None, units[0]["method"], measure, total, **pooled))
    return rows


def of_removals(removals: Sequence[Row], seed: int) -> list[Row]:
    """How the activity removed goes with the loss within removals of equally many neurons, in each
    backbone and over all of them.

    The draws of one condition count as one removal, their mean: they take about the same activity
    and cost about the same, so a p that counted each of them would be too small. Only these rows
    have a p, from permutations within such strata. The other rows are descriptive: the rank
    correlations of the loss over all removals of a backbone with activity and with number, and the
    partial one with activity given the number.
    """
    rows = []
    whole: dict[str, list[Pair]] = {}
    for model in dict.fromkeys(row["model"] for row in removals):
        conditions = _conditions([row for row in removals if row["model"] == model])
        strata = [pair for pair in _strata(conditions) if _varies(pair)]
        rows += _descriptive(model, conditions)
        if strata:
            whole[model] = strata
            rows.append(_within(model, strata, seed))
    if len(whole) > 1:
        rows.append(_within(None, [pair for strata in whole.values() for pair in strata], seed))
    return rows


def _within(model: str | None, strata: Sequence[Pair], seed: int) -> Row:
    ranked = _ranked(strata, seed) | {"strata": len(strata)}
    total = sum(len(x) for x, _ in strata)
    return related("removal", model, "", "activity_removed", total, **ranked)


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
        (np.array([r["activity_removed"] for r in stratum]), np.array([r["loss"] for r in stratum]))
        for _, stratum in sorted(groups.items())
        if len(stratum) >= _FEWEST
    ]


def _descriptive(model: str, removals: Sequence[Row]) -> list[Row]:
    """Rank correlations over all removals of a model, without p: they are nested by design."""
    from scipy import stats

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
    # Where the two rank alike, only rounding errors are left.
    partial = (with_activity - with_number * between) / apart if apart > 1e-6 else None
    described = {
        "activity_removed, pooled": with_activity,
        "neurons removed, pooled": with_number,
        "activity_removed given the number": partial,
    }
    return [
        related("removal", model, "", measure, len(removals), spearman=value)
        for measure, value in described.items()
    ]


def _varies(pair: Pair) -> bool:
    return bool(np.ptp(pair[0]) > 0 and np.ptp(pair[1]) > 0)


def _ranked(groups: Sequence[Pair], seed: int) -> Row:
    """Rank correlation as the mean over groups, weighted by their numbers of units, with its p and
    the smallest p that could occur; nulls where nothing varies."""
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
    # Rising and falling order everywhere are the two most extreme of all orders.
    least = 2 / math.prod(math.factorial(int(size)) for size in sizes)
    p = (extreme + 1) / (_PERMUTATIONS + 1)
    return {"spearman": rank, "p": p, "least_p": max(least, 1 / (_PERMUTATIONS + 1))}


def spearman(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Spearman's coefficient of `x`, (n,), with every row of `rows`, (rows, n); ties get mean
    ranks, and a row without variation gives nan."""
    from scipy import stats

    one = stats.rankdata(x) - (len(x) + 1) / 2
    many = stats.rankdata(rows, axis=1) - (len(x) + 1) / 2
    size = np.sqrt((one @ one) * (many * many).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 0, many @ one / size, np.nan)


def of_conditions(rows: Sequence[Mapping[str, Any]], methods: Iterable[str]) -> list[Row]:
    """Rank correlation of achieved neuron sparsity (imposed) with loss over the levels of each of
    `methods`; descriptive, since levels are monotone by design and share their items."""
    measure = "neuron_sparsity_imposed"
    described = []
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
                described.append(
                    related("condition", model, method, measure, len(part), spearman=rank)
                )
    return described


ANALYSIS = StudyAnalysis(CORRELATIONS, correlations, ("curves", "units", "removals"))
