"""Blocks are whole and every one belongs to one shard; batches pad, and count what they should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.profiling.batches import batches, blocks_of_shard


@given(st.integers(0, 200), st.integers(1, 20), st.integers(1, 12))
def test_shards_hold_every_block_once_in_order(sequences, block_sequences, shards):
    blocks = [
        block
        for shard in range(shards)
        for block in blocks_of_shard(sequences, block_sequences, shard, shards)
    ]
    assert blocks == list(range(-(-sequences // block_sequences)))


def test_shards_differ_by_at_most_one_block():
    sizes = [len(blocks_of_shard(100, 10, shard, 4)) for shard in range(4)]
    assert sum(sizes) == 10 and max(sizes) - min(sizes) == 1


def test_batches_by_hand():
    rows = [[5, 6], [7, 8, 9, 1], [5], [6, 7, 8]]
    first, second = batches(rows, 3, special=[1, 0], device="cpu")
    assert first.tokens.tolist() == [[7, 8, 9, 1], [6, 7, 8, 0], [5, 6, 0, 0]]
    assert first.attention.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]
    assert first.counted.tolist() == [
        [True, True, True, False],
        [True, True, True, False],
        [True, True, False, False],
    ]
    assert second.tokens.tolist() == [[5]]


def test_no_special_tokens_leave_all_counted():
    (batch,) = batches([[0, 1, 2]], 4, special=[], device="cpu")
    assert batch.counted.all()


def test_equal_lengths_keep_their_order():
    (batch,) = batches([[3], [1], [2]], 8, special=[], device="cpu")
    assert batch.tokens.flatten().tolist() == [3, 1, 2]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_every_sequence_is_in_one_batch(size):
    rows = [[n] * (1 + n % 5) for n in range(2, 20)]
    seen = [
        row[: int(length)].tolist()
        for batch in batches(rows, size, [], "cpu")
        for row, length in zip(batch.tokens, batch.attention.sum(1), strict=True)
    ]
    assert sorted(seen) == sorted(rows)
