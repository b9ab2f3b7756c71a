"""Profiles: what is measured token by token, on a few thousand sampled tokens.

A neuron is active in the sense of `natural_sparsity`: with h != 0 where the activation has exact
zeros, and otherwise with a contribution above the layer's CETT threshold.
"""

from pipeline.tables.base import Column, Table
from pipeline.tables.neurons import LAYER, LAYERS

_SEQUENCE = Column("Int64", "index of the sequence in sequences.parquet, from 0")

THRESHOLDS = Table(
    "thresholds",
    1,
    "The CETT threshold of every layer.",
    {name: LAYERS.columns[name] for name in ("layer", "cett_threshold", "cett", "cett_tokens")},
)

NORMS = Table(
    "norms",
    1,
    "Norms of every FFN neuron's weights.",
    {
        **LAYER,
        "neuron": Column("Int32", "index in the FFN, from 0"),
        "weight_norm": Column("Float64", "L2 norm of all the neuron's weights, biases left out"),
        "down_norm": Column("Float64", "||W_down[:, i]||_2"),
    },
)

TOKENS = Table(
    "tokens",
    1,
    "One row per layer and sampled token.",
    {
        **LAYER,
        "sequence": _SEQUENCE,
        "position": Column("Int32", "place in the sequence, from 0"),
        "active": Column("Int32", "active neurons"),
        "sparsity": Column("Float64", "share of the layer's neurons that are not active"),
        "cett": Column(
            "Float64",
            "relative error of the FFN's output without the neurons up to the CETT threshold; null "
            "where the output is zero or not finite",
            nullable=True,
        ),
        "overlap_previous": Column(
            "Float64",
            "size of the intersection over size of the union (Jaccard) of the active sets of this "
            "token and the one before it in the sequence; null without one, or with nothing active",
            nullable=True,
        ),
    },
)

CETT_CURVE = Table(
    "cett_curve",
    1,
    "Relative output error against the share of neurons left out, smallest contributions first; "
    "drawn from at most 256 of the sampled tokens, evenly spread, so thresholds differ slightly "
    "from those in thresholds.parquet.",
    {
        **LAYER,
        "sparsity": Column("Float64", "share of (token, neuron) pairs left out"),
        "threshold": Column("Float64", "contribution up to which they are left out"),
        "cett": Column("Float64", "mean relative error of the FFN's output"),
    },
)

ALWAYS_ACTIVE = Table(
    "always_active",
    1,
    "Neurons that are active at every token from a sequence's start on, by number of tokens.",
    {
        **LAYER,
        "length": Column("Int32", "tokens from the sequence's start; special ones do not count"),
        "share": Column("Float64", "mean share of the layer's neurons active at all of them"),
        "sequences": Column("Int64", "sequences that are at least that long"),
    },
)

PROMPT_OVERLAPS = Table(
    "prompt_overlaps",
    1,
    "Active sets of two sequences at equal positions, from the first position at which they "
    "differ: before it a causal model computes the same for both.",
    {
        **LAYER,
        "sequence": _SEQUENCE,
        "other": _SEQUENCE,
        "first_changed": Column("Int32", "first position at which their tokens differ"),
        "positions": Column("Int64", "positions compared"),
        "overlap": Column("Float64", "intersection over union, mean over positions"),
        "by_chance": Column(
            "Float64", "overlap expected if neurons were active as often, but independently"
        ),
    },
)
