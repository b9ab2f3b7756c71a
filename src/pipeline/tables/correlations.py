"""Does sparsity go with accuracy lost? Rank correlations by level, and the units behind them."""

from typing import Any

from pipeline.tables.base import Column, Table

CORRELATIONS = Table(
    "correlations",
    3,
    "One row per level, backbone (or all of them), method and measure.",
    {
        "level": Column("String", "neuron (deciles), layer, removal or condition"),
        "model": Column("String", "model name; null for all backbones pooled", nullable=True),
        "method": Column("String", "method whose conditions these are; empty for all removals"),
        "measure": Column("String", "what the loss is set against"),
        "units": Column(
            "Int64", "deciles, layers, removals (draws of one as their mean) or conditions"
        ),
        "strata": Column(
            "Int64",
            "sets of removals of equally many neurons (to a hundredth of the model's) within which "
            "removals are ranked; null where all are ranked together",
            nullable=True,
        ),
        "spearman": Column(
            "Float64",
            "rank correlation of the measure with reasoning accuracy lost; over strata and over "
            "backbones the mean, weighted by number of units; null where nothing varies",
            nullable=True,
        ),
        "p": Column(
            "Float64",
            "two-sided, from permutations of the units within their backbones and strata; null for "
            "descriptive rows: conditions, and all removals of a backbone together, whose order is "
            "by design",
            nullable=True,
        ),
        "least_p": Column(
            "Float64",
            "the smallest p that this many units can give, that of an order that rises or falls "
            "throughout; above 1 - confidence no order can be significant; null where p is null",
            nullable=True,
        ),
    },
)


def related(
    level: str, model: str | None, method: str, measure: str, units: int, **found: Any
) -> dict[str, Any]:
    """A row of CORRELATIONS; what is not found is null."""
    known = {"level": level, "model": model, "method": method, "measure": measure, "units": units}
    empty = dict.fromkeys(name for name in CORRELATIONS.columns if name not in known)
    return known | empty | found


UNITS = Table(
    "units",
    2,
    "One row per decile or layer whose neurons (of a layer: the cold ones) were removed alone.",
    {
        "level": Column("String", "neuron (deciles) or layer"),
        "model": Column("String", "model name"),
        "method": Column("String", "method name"),
        "unit": Column("Int64", "decile, 1 the coldest; or layer, from 0"),
        "activity": Column("Float64", "mean activation frequency of a decile", nullable=True),
        "natural_sparsity": Column("Float64", "natural sparsity of a layer", nullable=True),
        "gini": Column("Float64", "Gini coefficient of a layer's frequencies", nullable=True),
        "hot_share": Column("Float64", "share of a layer's neurons that are hot", nullable=True),
        "depth": Column("Float64", "place of a layer, from 0, first, to 1, last", nullable=True),
        "neuron_sparsity_imposed": Column("Float64", "share of all FFN neurons removed"),
        "n": Column("Int64", "items compared with the dense run"),
        "loss": Column("Float64", "mean accuracy lost on the reasoning tasks, in shares"),
        "loss_low": Column("Float64", "lower end of its paired interval"),
        "loss_high": Column("Float64", "upper end"),
    },
)

STEPS = Table(
    "steps",
    1,
    "One row per condition (seeds pooled), reasoning task and number of steps: how many of the "
    "questions that the dense model gets right stay right, beside what equal steps would leave.",
    {
        "model": Column("String", "model name"),
        "method": Column("String", "method name"),
        "level": Column("String", "level as configured"),
        "task": Column("String", "task name"),
        "steps": Column("Int64", "reasoning steps of the questions"),
        "questions": Column("Int64", "questions that the dense model gets right"),
        "stayed": Column("Float64", "share of them that are right after pruning, mean over seeds"),
        "low": Column("Float64", "lower end of its interval"),
        "high": Column("Float64", "upper end"),
        "expected": Column(
            "Float64",
            "c + (1 - c) p^steps with chance c and one p for all of the task's steps, fitted by "
            "maximum likelihood: every step fails equally often",
        ),
    },
)
