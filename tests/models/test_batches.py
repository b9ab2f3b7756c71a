"""Batches pad, and count what they should."""

import pytest

from pipeline.models.batches import batches


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
