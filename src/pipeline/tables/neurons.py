"""Profiles: statistics of every FFN neuron, per block of sequences and merged."""

from pipeline.tables.base import Column, Table

_KEY = {
    "layer": Column("Int32", "block of the model, from 0"),
    "neuron": Column("Int32", "index in the FFN, from 0"),
}

_SUMS = {
    "tokens": Column("Int64", "tokens seen; padding and special tokens left out"),
    "nonfinite": Column("Int64", "tokens with a non-finite h, left out of all sums"),
    "active_nonzero": Column("Int64", "tokens with h != 0"),
    "active_cett": Column("Int64", "tokens with contribution above the layer's CETT threshold"),
    "sum_abs": Column("Float64", "sum of |h|"),
    "sum_square": Column("Float64", "sum of h^2"),
    "max_abs": Column("Float64", "largest |h|"),
    "sum_contribution": Column("Float64", "sum of |h| * ||W_down[:, i]||_2"),
    "weight_norm": Column("Float64", "L2 norm of all the neuron's weights, biases left out"),
    "down_norm": Column("Float64", "||W_down[:, i]||_2"),
}

NEURON_BLOCKS = Table(
    "neuron_blocks",
    1,
    "Sums over one fixed block of sequences; merging adds blocks in order.",
    {"block": Column("Int64", "block of sequences, from 0"), **_KEY, **_SUMS},
)

NEURONS = Table(
    "neurons",
    1,
    "One row an FFN neuron.",
    {
        **_KEY,
        **_SUMS,
        "active": Column(
            "Int64",
            "the count that classification uses: active_nonzero for "
            "activations with exact zeros, active_cett for others",
        ),
    },
)

LAYER_BLOCKS = Table(
    "layer_blocks",
    1,
    "Facts of a layer that every shard measures alike.",
    {
        "layer": Column("Int32", "block of the model, from 0"),
        "cett_threshold": Column("Float64", "contribution below which a neuron counts as inactive"),
        "cett": Column("Float64", "mean relative output error at that threshold, sampled tokens"),
        "cett_tokens": Column("Int64", "tokens the threshold was fitted on"),
    },
)

LAYERS = Table(
    "layers",
    1,
    "One row a layer.",
    {
        **LAYER_BLOCKS.columns,
        "tokens": Column("Int64", "tokens seen"),
        "natural_sparsity": Column(
            "Float64",
            "share of (token, neuron) pairs inactive, by the rule that classification uses",
        ),
        "zero_share": Column("Float64", "share of (token, neuron) pairs with h = 0"),
        "nonfinite": Column("Int64", "(token, neuron) pairs with a non-finite h"),
    },
)
