"""Merging refuses what does not belong together."""

import polars as pl
import pytest

from pipeline.errors import UserError
from pipeline.profiling.merge import merge
from pipeline.tables.neurons import LAYER_BLOCKS, NEURON_BLOCKS

LAYER = LAYER_BLOCKS.frame([{"layer": 0, "cett_threshold": 0.5, "cett": 0.2, "cett_tokens": 9}])


def block(number, scale=1.0):
    """Two neurons of one layer."""
    rows = [
        {
            "block": number,
            "layer": 0,
            "neuron": neuron,
            "tokens": 10,
            "nonfinite": 0,
            "active_nonzero": 4 + neuron,
            "active_cett": 2 + neuron,
            "sum_abs": scale * (1 + neuron),
            "sum_square": scale,
            "max_abs": scale,
            "sum_contribution": scale,
            "weight_norm": 3.0,
            "down_norm": 2.0,
        }
        for neuron in range(2)
    ]
    return NEURON_BLOCKS.frame(rows)


def test_counts_and_sums_add_and_maxima_do_not():
    neurons, layers = merge([block(0), block(1, 2.0)], [LAYER, LAYER], exact_zeros=True)
    assert neurons["tokens"].to_list() == [20, 20]
    assert neurons["active_nonzero"].to_list() == neurons["active"].to_list() == [8, 10]
    assert neurons["sum_abs"].to_list() == [3.0, 6.0]
    assert neurons["max_abs"].to_list() == [2.0, 2.0]
    assert neurons["weight_norm"].to_list() == [3.0, 3.0]
    assert layers["natural_sparsity"].to_list() == [1 - 18 / 40]


def test_the_cett_count_decides_without_exact_zeros():
    neurons, layers = merge([block(0)], [LAYER], exact_zeros=False)
    assert neurons["active"].to_list() == [2, 3]
    assert layers["natural_sparsity"].to_list() == [1 - 5 / 20]
    assert layers["zero_share"].to_list() == [1 - 9 / 20]


def test_blocks_are_added_in_block_order_whatever_the_order_of_shards():
    # Added in this order the ones vanish beside 1e16; in any other order some survive.
    blocks = [block(0, 1e16), *(block(n, 1.0) for n in range(1, 9))]
    straight, _ = merge(blocks, [LAYER] * 9, True)
    mixed, _ = merge(blocks[::-1], [LAYER] * 9, True)
    assert straight.equals(mixed)
    assert straight["sum_square"].to_list() == [1e16, 1e16]


@pytest.mark.parametrize(
    "blocks",
    [
        [block(0), block(2)],
        [block(1)],
        [block(0), block(0)],
        [block(0), block(1).head(1)],
        [block(0), block(1), block(1).head(1)],
    ],
    ids=["gap", "no first", "doubled", "a neuron short", "a neuron twice"],
)
def test_blocks_missing_or_doubled_are_refused(blocks):
    with pytest.raises(UserError, match="do not hold every block once"):
        merge(blocks, [LAYER] * len(blocks), True)


def test_shards_with_other_thresholds_are_refused():
    other = LAYER.with_columns(cett_threshold=pl.lit(0.6))
    with pytest.raises(UserError, match="different CETT thresholds"):
        merge([block(0), block(1)], [LAYER, other], True)
