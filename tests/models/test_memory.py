"""Bytes of batches by hand, and the division of batches."""

import pytest
import torch

from pipeline.errors import UserError
from pipeline.models.memory import (
    Halving,
    Room,
    divided,
    piece_bytes,
    piece_rows,
    read_bytes,
    trained_bytes,
    written_bytes,
)
from pipeline.models.size import Size

SIZE = Size(parameters=1000, layers=3, width=20, vocabulary=50, d_model=8, cache=16)


def test_bytes_of_a_sequence_by_hand():
    # Six tensors of 20 and eight of 8 numbers of 4 bytes a token, and 16 bytes a pair of tokens.
    read = 10 * (4 * (6 * 20 + 8 * 8) + 16 * 10)
    assert read_bytes(SIZE, 10) == read == 8960
    # 17 tokens of 3 layers keep 16 numbers of 2 bytes; one token's logits take 12 bytes a word.
    assert written_bytes(SIZE, 10, 7, width=2) == read + 17 * 3 * 16 * 2 + 12 * 50
    # Every layer keeps five tensors of 20 and fourteen of 8.
    assert trained_bytes(SIZE, 10) == read + 10 * 3 * (4 * (5 * 20 + 14 * 8) + 160)


def test_pieces_stay_within_256_megabytes_whatever_the_vocabulary():
    for vocabulary in (153, 49_152, 262_144):
        rows = piece_rows(vocabulary)
        assert rows * vocabulary * 12 <= 256e6 < (rows + 1) * vocabulary * 12
        assert piece_bytes(vocabulary, 10 * rows) == rows * vocabulary * 12
        assert piece_bytes(vocabulary, rows / 2) == rows * vocabulary * 6
    assert piece_rows(10**9) == 1


def test_a_batch_has_room_for_what_fits_and_for_one_sequence_at_least():
    room = Room(5, megabytes=3)
    assert [room.of(each) for each in (1, 600_000, 600_001, 1e6, 9e6)] == [5, 5, 4, 3, 1]


def test_items_are_divided_by_what_fits_of_the_first_of_each_batch():
    assert list(divided([9, 5, 5, 2, 2, 2, 1], lambda length: 10 // length)) == [
        [9], [5, 5], [2, 2, 2, 1],
    ]  # fmt: skip
    assert list(divided([], lambda length: 1)) == []


class Counted:
    """Counts sequences; a batch of more than `most` fails behind its first sequence."""

    def __init__(self, most):
        self.most, self.seen, self.batches = most, [], []

    def mark(self):
        seen = list(self.seen)

        def back():
            self.seen = seen

        return back

    def work(self, batch):
        for number, each in enumerate(batch):
            if number and len(batch) > self.most:
                raise torch.cuda.OutOfMemoryError("no room\nfor this")
            self.seen.append(each)
        self.batches.append(len(batch))
        return [10 * each for each in batch]


def test_a_batch_that_fails_is_halved_until_it_fits_and_nothing_counts_twice():
    counted = Counted(most=3)
    halving = Halving(counted.mark)
    assert halving.run(range(11), counted.work) == [10 * n for n in range(11)]
    assert counted.seen == list(range(11))
    assert counted.batches == [3, 3, 3, 2] and halving.halved == 3


def test_one_sequence_without_room_is_an_error_that_says_what_to_do():
    def work(batch):
        raise torch.cuda.OutOfMemoryError("no room\nfor this")

    with pytest.raises(UserError, match=r"single sequence \(no room\); give .* smaller dtype"):
        Halving().run([1, 2], work)


def test_other_errors_pass():
    def work(batch):
        raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        Halving().run([1, 2], work)
