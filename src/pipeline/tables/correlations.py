"""Does sparsity go with accuracy lost? Effects by level, and the units that they are made of."""

from typing import Any

from pipeline.tables.base import Column, Table

CORRELATIONS = Table(
    "correlations",
    1,
    "One row a level, backbone (or all of them), method and measure.",
    {
        "level": Column("String", "neuron (deciles), layer, condition or item"),
        "model": Column("String", "model name; null for all backbones pooled", nullable=True),
        "method": Column("String", "method whose conditions these are"),
        "condition": Column(
            "String", "level of the one condition; null for several", nullable=True
        ),
        "measure": Column("String", "what the loss is set against"),
        "units": Column("Int64", "deciles, layers, conditions, or questions that were right"),
        "spearman": Column(
            "Float64",
            "rank correlation of the measure with reasoning accuracy lost; null where nothing "
            "varies, and for questions",
            nullable=True,
        ),
        "p": Column(
            "Float64",
            "two-sided, of the rank correlation, from permutations of the units within their "
            "backbones; null for conditions, whose order is their design, and for questions",
            nullable=True,
        ),
        "effect": Column(
            "String",
            "slope (accuracy lost, in shares, per standard deviation of the measure), or exponent "
            "(of the number of steps in how often a right answer flips; 1: each step fails alike)",
            nullable=True,
        ),
        "estimate": Column("Float64", "the effect", nullable=True),
        "low": Column("Float64", "lower end of its interval over items", nullable=True),
        "high": Column("Float64", "upper end", nullable=True),
    },
)


#: Least and greatest exponent that is fitted.
EXPONENT_RANGE = (-2.0, 4.0)


def related(
    level: str, model: str | None, method: str, measure: str, units: int, **found: Any
) -> dict[str, Any]:
    """A row of CORRELATIONS; what is not found is null."""
    known = {"level": level, "model": model, "method": method, "measure": measure, "units": units}
    empty = dict.fromkeys(name for name in CORRELATIONS.columns if name not in known)
    return known | empty | found


UNITS = Table(
    "units",
    1,
    "One row a decile or layer whose neurons (of a layer: the cold ones) were removed alone.",
    {
        "level": Column("String", "neuron (deciles) or layer"),
        "model": Column("String", "model name"),
        "method": Column("String", "method name"),
        "unit": Column("Int64", "decile, 1 the coldest; or layer, from 0"),
        "activity": Column("Float64", "mean activation frequency of a decile", nullable=True),
        "natural_sparsity": Column("Float64", "of a layer", nullable=True),
        "gini": Column("Float64", "of the activation frequencies in a layer", nullable=True),
        "hot_share": Column("Float64", "share of a layer's neurons that is hot", nullable=True),
        "depth": Column("Float64", "of a layer, 0 for the first and 1 for the last", nullable=True),
        "neuron_sparsity_imposed": Column("Float64", "share of all FFN neurons removed"),
        "n": Column("Int64", "items compared with the dense run"),
        "loss": Column("Float64", "mean accuracy lost on the reasoning tasks, in shares"),
        "loss_low": Column("Float64", "lower end of the paired bootstrap interval"),
        "loss_high": Column("Float64", "upper end"),
    },
)
