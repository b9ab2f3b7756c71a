"""Does activation sparsity go with accuracy lost? By neuron (decile), layer, condition and item.

Rows of tables.correlations.CORRELATIONS and UNITS. Deciles and layers are all that a backbone has,
no sample of them, so intervals come from the items alone; how likely an order of the units is by
chance is what the permutation within backbones says.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from pipeline.analysis.arms import DENSE, REASONING, Arm
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.curves import Losses
from pipeline.ranking import deciles

Row = dict[str, Any]

_PERMUTATIONS = 9999
#: Facts of a unit that its loss is set against, by level.
MEASURES = {
    "neuron": ("activity",),
    "layer": ("natural_sparsity", "gini", "hot_share", "depth"),
}


def decile_facts(neurons: pl.DataFrame, classes: pl.DataFrame) -> list[Row]:
    """Mean activation frequency of every decile of a profile's neurons, coldest first."""
    frequency = (neurons["active"] / neurons["tokens"].clip(1)).to_numpy()
    part = deciles(frequency, neurons["layer"].to_numpy(), neurons["neuron"].to_numpy())
    return [
        {"unit": number, "activity": float(frequency[part == number].mean())}
        for number in range(1, 11)
        if (part == number).any()
    ]


def layer_facts(neurons: pl.DataFrame, classes: pl.DataFrame) -> list[Row]:
    """Natural sparsity, Gini, share of hot neurons and depth of every layer of a profile."""
    joined = neurons.join(classes, on=["layer", "neuron"], validate="1:1").sort("layer", "neuron")
    last = max(1, int(joined["layer"].max()))
    found = []
    for (layer,), rows in joined.group_by("layer", maintain_order=True):
        frequency = (rows["active"] / rows["tokens"].clip(1)).to_numpy()
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


#: Part that a method removes -> level of the question, and facts of such parts.
PARTS = {"decile": ("neuron", decile_facts), "layer": ("layer", layer_facts)}


def gini(values: np.ndarray) -> float:
    """Gini coefficient of non-negative values: 0 when all are equal, near 1 when one has all."""
    ordered = np.sort(values)
    if ordered.size == 0 or ordered[-1] == 0:
        return 0.0
    places = np.arange(1, ordered.size + 1)
    return float((2 * places - ordered.size - 1) @ ordered / (ordered.size * ordered.sum()))


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
        if fact is None or REASONING not in own.tasks:
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
    """Rank correlation of every measure with the loss, within each backbone and pooled over them.

    Pooled is the mean of the backbones' coefficients; p is two-sided, from permutations of the
    units within their backbones.
    """
    models = list(dict.fromkeys(row["model"] for row, _ in found))
    groups = {model: [pair for pair in found if pair[0]["model"] == model] for model in models}
    groups = {model: pairs for model, pairs in groups.items() if len(pairs) > 2}
    rows = []
    for measure in MEASURES[level]:
        for chosen in [[model] for model in groups] + ([list(groups)] if len(groups) > 1 else []):
            parts = [groups[model] for model in chosen]
            x = [np.array([row[measure] for row, _ in pairs]) for pairs in parts]
            y = [np.array([row["loss"] for row, _ in pairs]) for pairs in parts]
            drawn = [np.stack([draws for _, draws in pairs], axis=1) for pairs in parts]
            rows.append(
                {
                    "level": level,
                    "model": chosen[0] if len(chosen) == 1 else None,
                    "method": parts[0][0][0]["method"],
                    "condition": None,
                    "measure": measure,
                    "effect": "spearman",
                    "units": sum(map(len, parts)),
                }
                | _pooled(x, y, drawn, resamples)
            )
    return rows


def _pooled(
    x: Sequence[np.ndarray],
    y: Sequence[np.ndarray],
    drawn: Sequence[np.ndarray],
    resamples: Resamples,
) -> Row:
    """Estimate, interval and p of the mean over groups of spearman(x, y); `drawn` is (resamples,
    units) of y a group."""
    pairs = list(zip(x, y, strict=True))
    if any(np.ptp(a) == 0 or np.ptp(b) == 0 for a, b in pairs):
        return {"estimate": None, "low": None, "high": None, "p": None}
    estimate = float(np.mean([spearman(a, b[None])[0] for a, b in pairs]))
    draws = np.mean([spearman(a, d) for a, d in zip(x, drawn, strict=True)], axis=0)
    tail = (1 - resamples.confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    # Noise drawn upon noise lowers a coefficient, so a strong one can lie beyond its draws.
    low, high = min(low, estimate), max(high, estimate)
    generator = np.random.default_rng([resamples.seed, 1])
    shuffled = [generator.permuted(np.tile(b, (_PERMUTATIONS, 1)), axis=1) for b in y]
    null = np.mean([spearman(a, s) for a, s in zip(x, shuffled, strict=True)], axis=0)
    extreme = int((np.abs(null) >= abs(estimate) - 1e-12).sum())
    p = (extreme + 1) / (_PERMUTATIONS + 1)
    return {"estimate": estimate, "low": float(low), "high": float(high), "p": p}


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
    found = []
    for model in dict.fromkeys(row["model"] for row in rows):
        for method in methods:
            part = [
                (row["neuron_sparsity_imposed"], row["loss"])
                for row in rows
                if (row["model"], row["method"], row["task"]) == (model, method, REASONING)
            ]
            if len(part) > 2 and method != DENSE:
                x, y = np.array(part).T
                value = spearman(x, y[None])[0] if np.ptp(x) and np.ptp(y) else None
                found.append(
                    {
                        "level": "condition",
                        "model": model,
                        "method": method,
                        "condition": None,
                        "measure": "neuron_sparsity_imposed",
                        "effect": "spearman",
                        "units": len(part),
                        "estimate": None if value is None else float(value),
                        "low": None,
                        "high": None,
                        "p": None,
                    }
                )
    return found
