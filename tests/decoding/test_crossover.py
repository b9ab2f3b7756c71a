"""From which share skipped on a kernel is used, and for how many sequences."""

import pytest

from pipeline.decoding.crossover import crossover, most_rows


@pytest.mark.parametrize(
    ("shares", "expected", "rows"),
    [
        ((0.2, 0.4, 0.6), 0.7, 16),
        ((0.2, 0.4, 0.6), 0.6, 16),
        ((0.2, 0.4, 0.6), 0.5, 4),
        ((0.2, 0.4, 0.6), 0.3, 1),
        ((0.2, 0.4, 0.6), 0.1, 0),
        # A few sequences that lose end it, whatever more of them would do.
        ((0.2, 0.9, 0.1), 0.5, 1),
        ((0.9, 0.1, 0.1), 0.5, 0),
        ((0.9, 0.99, 1.0), None, 4),
        ((1.0, 0.0, 0.0), None, 0),
    ],
)
def test_a_kernel_is_used_for_as_many_sequences_as_it_wins_for(shares, expected, rows):
    assert most_rows(dict(zip((1, 4, 16), shares, strict=True)), expected) == rows


@pytest.mark.parametrize(
    "dense, sparse, share",
    [
        (2.0, [1.0, 0.5, 0.1], 0.0),
        (1.0, [1.0, 0.5, 0.1], 0.0),
        (1.0, [2.0, 1.5, 1.2], 1.0),
        (1.0, [2.0, 0.0, 0.0], 0.25),
        (1.0, [3.0, 2.0, 0.0], 0.7),
    ],
)
def test_the_crossover_lies_on_the_line_between_measurements(dense, sparse, share):
    assert crossover(dense, list(zip((0.0, 0.5, 0.9), sparse, strict=True))) == pytest.approx(share)
