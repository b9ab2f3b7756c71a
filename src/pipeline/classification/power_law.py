"""How a model's activations are spread over its neurons, and which hot ones corpora share.

The facts that PowerInfer rests on (arXiv 2312.12456, section 3): few neurons carry most
activations, and they are the same on other text.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from pipeline.numerics.concentration import carried, gini, smallest
from pipeline.numerics.ranking import heat_ranks

#: PowerInfer's share of all activations, and its share of the neurons when it compares corpora.
_COVERED, _TOP = 0.8, 0.2
#: Shares of the neurons, hottest first, at which a curve has its points.
_SHARES = np.arange(0, 101) / 100

Row = dict[str, Any]


def spread(corpus: str, neurons: pl.DataFrame) -> list[Row]:
    """Rows of tables.power_law.POWER_LAW for a profile: the whole model, then every layer."""
    found = []
    silent = _scopes(neurons.with_columns(active=pl.col("active") + pl.col("nonfinite")))
    for (layer, active), (_, known) in zip(_scopes(neurons), silent, strict=True):
        falling = np.sort(active)[::-1]
        hot = smallest(falling, _COVERED)
        found.append(
            {
                "corpus": corpus,
                "layer": layer,
                "neurons": active.size,
                "hot": hot,
                "hot_share": hot / active.size,
                "top_carries": float(carried(falling, np.array([_TOP]))[0]),
                "gini": gini(active),
                "never_active": int((known == 0).sum()),
            }
        )
    return found


def curves(corpus: str, neurons: pl.DataFrame) -> list[Row]:
    """Rows of tables.power_law.RANKED: activation frequency and share of all activations by rank,
    for the whole model and every layer."""
    tokens = max(1, int(neurons["tokens"].max()))
    found = []
    for layer, active in _scopes(neurons):
        falling = np.sort(active)[::-1]
        places = np.minimum(np.arange(101) * falling.size // 100, falling.size - 1)
        shares = carried(falling, _SHARES)
        for share, held, place in zip(_SHARES, shares, places, strict=True):
            found.append(
                {
                    "corpus": corpus,
                    "layer": layer,
                    "share_of_neurons": float(share),
                    "share_of_activations": float(held),
                    "frequency": float(falling[place] / tokens),
                }
            )
    return found


def overlaps(profiles: Mapping[str, pl.DataFrame]) -> list[Row]:
    """Rows of tables.power_law.HOT_OVERLAPS: for every two corpora of a model, the hot sets by
    coverage and the most active fifth, of the whole model and of every layer."""
    return [
        {"corpus": one, "other": other} | row
        for one, other in itertools.combinations(profiles, 2)
        for row in _overlaps(profiles[one], profiles[other])
    ]


def _overlaps(one: pl.DataFrame, other: pl.DataFrame) -> Iterator[Row]:
    for (layer, a), (_, b) in zip(_ordered(one), _ordered(other), strict=True):
        for basis, sizes in {
            "coverage80": [smallest(np.sort(x[0])[::-1], _COVERED) for x in (a, b)],
            "top20": [round(_TOP * a[0].size)] * 2,
        }.items():
            first, second = (ranks <= n for (_, ranks), n in zip((a, b), sizes, strict=True))
            both, either = int((first & second).sum()), int((first | second).sum())
            yield {
                "layer": layer,
                "basis": basis,
                "size": sizes[0],
                "other_size": sizes[1],
                "both": both,
                "share": both / min(sizes) if min(sizes) else None,
                "jaccard": both / either if either else None,
                "by_chance": max(sizes) / first.size,
            }


def _ordered(neurons: pl.DataFrame) -> Iterator[tuple[int | None, tuple[np.ndarray, np.ndarray]]]:
    """(layer, (activation counts, heat ranks)) of the whole model and of every layer, neurons by
    layer and index."""
    rows = neurons.sort("layer", "neuron")
    for layer, part in [(None, rows), *((k[0], g) for k, g in _by_layer(rows))]:
        columns = (part[name].to_numpy() for name in ("active", "layer", "neuron"))
        active, layers, index = columns
        yield layer, (active, heat_ranks(active, layers, index))


def _scopes(neurons: pl.DataFrame) -> Iterator[tuple[int | None, np.ndarray]]:
    """(layer, activation counts) of the whole model and of every layer."""
    yield None, neurons["active"].to_numpy()
    for (layer,), rows in _by_layer(neurons):
        yield layer, rows["active"].to_numpy()


def _by_layer(neurons: pl.DataFrame) -> Any:
    return neurons.sort("layer", "neuron").group_by("layer", maintain_order=True)
