"""Merging adds in one order, and refuses what does not belong together."""

import polars as pl
import pytest

from pipeline.errors import UserError
from pipeline.profiling.merge import layers_of, merge_channels, merge_histograms, merge_neurons
from pipeline.tables.neurons import CHANNEL_BLOCKS, CHANNELS, HISTOGRAMS, LAYERS, NEURON_BLOCKS
from pipeline.tables.sampled import NORMS, THRESHOLDS

THRESHOLD = THRESHOLDS.frame([{"layer": 0, "cett_threshold": 0.5, "cett": 0.2, "cett_tokens": 9}])
NORM = NORMS.frame(
    [{"layer": 0, "neuron": n, "weight_norm": 3.0, "down_norm": 2.0} for n in range(2)]
)


def sums(place, scale):
    return {
        "tokens": 10,
        "nonfinite": 0,
        "active_nonzero": 4 + place,
        "sum_abs": scale * (1 + place),
        "sum_square": scale,
        "max_abs": scale,
    }


def block(number, scale=1.0):
    """Two neurons of one layer."""
    return NEURON_BLOCKS.frame(
        [
            {"block": number, "layer": 0, "neuron": n, "active_cett": 2 + n} | sums(n, scale)
            for n in range(2)
        ]
    )


def test_counts_and_sums_add_and_maxima_do_not():
    neurons = merge_neurons([block(0), block(1, 2.0)], 2, NORM, exact_zeros=True)
    assert neurons["tokens"].to_list() == [20, 20]
    assert neurons["active_nonzero"].to_list() == neurons["active"].to_list() == [8, 10]
    assert neurons["sum_abs"].to_list() == [3.0, 6.0]
    assert neurons["sum_contribution"].to_list() == [6.0, 12.0]
    assert neurons["max_abs"].to_list() == [2.0, 2.0]
    assert neurons["weight_norm"].to_list() == [3.0, 3.0]
    layers = LAYERS.frame(layers_of(neurons, THRESHOLD))
    assert layers["natural_sparsity"].to_list() == [1 - 18 / 40]
    assert layers["cett_threshold"].to_list() == [0.5]


def test_the_cett_count_decides_without_exact_zeros():
    neurons = merge_neurons([block(0)], 1, NORM, exact_zeros=False)
    assert neurons["active"].to_list() == [2, 3]
    layers = layers_of(neurons, THRESHOLD)
    assert layers["natural_sparsity"].to_list() == [1 - 5 / 20]
    assert layers["zero_share"].to_list() == [1 - 9 / 20]


def test_blocks_are_added_in_block_order_whatever_the_order_of_shards():
    # Added in this order the ones vanish beside 1e16; in any other order some survive.
    blocks = [block(0, 1e16), *(block(n, 1.0) for n in range(1, 9))]
    straight = merge_neurons(blocks, 9, NORM, True)
    assert straight.equals(merge_neurons(blocks[::-1], 9, NORM, True))
    assert straight["sum_square"].to_list() == [1e16, 1e16]


@pytest.mark.parametrize(
    "blocks",
    [
        [block(0), block(2)],
        [block(1)],
        [block(0)],
        [block(0), block(1), block(2)],
        [block(0), block(0)],
        [block(0), block(1).head(1)],
        [block(0), block(1), block(1).head(1)],
        [block(0), pl.concat([block(1).head(1)] * 2)],
    ],
    ids=[
        "gap",
        "no first",
        "no last",
        "one more",
        "doubled",
        "a neuron short",
        "a neuron twice",
        "another's place",
    ],
)
def test_blocks_missing_or_doubled_are_refused(blocks):
    with pytest.raises(UserError, match="do not hold every block once"):
        merge_neurons(blocks, 2, NORM, True)


def test_channels_of_every_input_are_added_apart():
    def channels(number, scale):
        rows = [
            {"block": number, "layer": 0, "linears": linears, "channel": n} | sums(n, scale)
            for linears in ("q,k,v", "o")
            for n in range(2)
        ]
        return CHANNEL_BLOCKS.frame(rows)

    merged = CHANNELS.frame(merge_channels([channels(1, 2.0), channels(0, 1.0)], 2))
    assert merged["linears"].to_list() == ["q,k,v"] * 2 + ["o"] * 2
    assert merged["sum_abs"].to_list() == [3.0, 6.0] * 2
    assert merged["max_abs"].to_list() == [2.0] * 4
    with pytest.raises(UserError, match="do not hold every block once"):
        merge_channels([channels(0, 1.0), channels(1, 1.0).head(3)], 2)


def test_histograms_add_and_stand_in_the_order_of_values():
    def bins(*rows):
        names = ("sign", "low", "high", "count")
        return HISTOGRAMS.frame(
            [{"layer": 0, "tensor": "o"} | dict(zip(names, r, strict=True)) for r in rows]
        )

    one = bins((-1, 2.0, 3.0, 4), (0, 0.0, 0.0, 1), (1, 1.0, 2.0, 5))
    other = bins((-1, 1.0, 2.0, 1), (1, 1.0, 2.0, 7))
    merged = HISTOGRAMS.frame(merge_histograms([one, other]))
    assert merged.equals(HISTOGRAMS.frame(merge_histograms([other, one])))
    assert merged.select("sign", "low", "count").rows() == [
        (-1, 2.0, 4), (-1, 1.0, 1), (0, 0.0, 1), (1, 1.0, 12)
    ]  # fmt: skip
