"""Profiles: statistics of every FFN neuron and of every channel that a linear layer reads, per
block of sequences and merged."""

from pipeline.tables.base import Column, Table

LAYER = {"layer": Column("Int32", "block of the model, from 0")}
_NEURON = {**LAYER, "neuron": Column("Int32", "index in the FFN, from 0")}
_CHANNEL = {
    **LAYER,
    "linears": Column("String", "linear layers that read the tensor, separated by commas"),
    "channel": Column("Int32", "index in the tensor's last dimension, from 0"),
}
_BLOCK = {"block": Column("Int64", "block of sequences, from 0")}


def _sums(symbol: str) -> dict[str, Column]:
    """Columns of one tensor's moments; they leave out padding and special tokens."""
    return {
        "tokens": Column("Int64", "tokens seen; padding and special tokens left out"),
        "nonfinite": Column("Int64", f"tokens with a non-finite {symbol}, left out of all sums"),
        "active_nonzero": Column("Int64", f"tokens with {symbol} != 0"),
        "sum_abs": Column("Float64", f"sum of |{symbol}|; relative error below 1e-5"),
        "sum_square": Column(
            "Float64",
            f"sum of {symbol}^2; relative error below 1e-5 for magnitudes from 1e-18 to 1e18",
        ),
        "max_abs": Column("Float64", f"largest |{symbol}|"),
    }


_NEURON_SUMS = {
    **_sums("h"),
    "active_cett": Column("Int64", "tokens with contribution above the layer's CETT threshold"),
}

NEURON_BLOCKS = Table(
    "neuron_blocks",
    2,
    "Sums over one fixed block of sequences; merging adds blocks in order.",
    {**_BLOCK, **_NEURON, **_NEURON_SUMS},
)

NEURONS = Table(
    "neurons",
    2,
    "One row per FFN neuron; h is what its column of the down projection is multiplied by.",
    {
        **_NEURON,
        **_NEURON_SUMS,
        "sum_contribution": Column("Float64", "sum of |h| * ||W_down[:, i]||_2"),
        "weight_norm": Column("Float64", "L2 norm of all the neuron's weights, biases left out"),
        "down_norm": Column("Float64", "||W_down[:, i]||_2"),
        "active": Column(
            "Int64",
            "the count that classification uses by default: active_nonzero for "
            "activations with exact zeros, active_cett for others",
        ),
    },
)

CHANNEL_BLOCKS = Table(
    "channel_blocks",
    1,
    "Sums over one fixed block of sequences; merging adds blocks in order.",
    {**_BLOCK, **_CHANNEL, **_sums("x")},
)

CHANNELS = Table(
    "channels",
    1,
    "One row per channel x that linear layers of a block read; those of the down projection are "
    "the rows of neurons.parquet. sum_square / tokens is the second moment.",
    {**_CHANNEL, **_sums("x")},
)

HISTOGRAMS = Table(
    "histograms",
    1,
    "How often a tensor's values fall between two magnitudes; only bins that hold something. "
    "`pipeline.numerics.histograms.quantile` takes percentiles of |x| from it, within a relative "
    "1/128.",
    {
        **LAYER,
        "tensor": Column(
            "String",
            "names of the linear layers that read it; or ffn.gate, ffn.up and ffn.output for the "
            "outputs of the gate, up and down projections, and ffn.activation for act(gate)",
        ),
        "sign": Column("Int8", "-1, 0 or 1; zeros have a row of their own"),
        "low": Column("Float64", "smallest magnitude of the bin"),
        "high": Column("Float64", "magnitude from which on values are in the next bin"),
        "count": Column("Int64", "(token, channel) pairs; non-finite ones are in no bin"),
    },
)

LAYERS = Table(
    "layers",
    2,
    "One row per layer.",
    {
        **LAYER,
        "cett_threshold": Column("Float64", "contribution up to which a neuron counts as inactive"),
        "cett": Column("Float64", "mean relative output error there, over sampled tokens"),
        "cett_tokens": Column("Int64", "tokens the threshold was fitted on"),
        "tokens": Column("Int64", "tokens seen"),
        "natural_sparsity": Column(
            "Float64",
            "share of (token, neuron) pairs inactive, by the rule that classification uses",
        ),
        "zero_share": Column("Float64", "share of (token, neuron) pairs with h = 0"),
        "nonfinite": Column("Int64", "(token, neuron) pairs with a non-finite h"),
    },
)
