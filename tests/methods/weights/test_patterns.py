"""Which weights a share and a pattern remove: by hand, exactly, in nested steps, ties by index."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from pipeline.methods.weights.patterns import Pattern, kept, lowest, pattern_share

SCORES = torch.tensor(
    [[4.0, 1.0, 3.0, 2.0], [16.0, 15.0, 14.0, 13.0], [9.0, 10.0, 11.0, 12.0], [5.0, 8.0, 6.0, 7.0]]
)
# Few different values, so that most boundaries lie within a tie.
TIED = hn.arrays(
    np.float64, st.tuples(st.integers(1, 5), st.integers(1, 16)), elements=st.integers(0, 3)
)
SHARES = st.floats(0, 1)
GROUPS = st.sampled_from(["matrix", "row"])
PATTERNS = ["2:4", "4:8", "1:2", "1:3", "3:4"]


def places(mask):
    return {tuple(map(int, place)) for place in np.argwhere(~mask.numpy())}


def test_a_quarter_of_the_matrix_by_hand():
    assert places(kept(SCORES, 0.25, "unstructured", "matrix")) == {(0, 0), (0, 1), (0, 2), (0, 3)}


def test_a_quarter_of_each_row_by_hand():
    assert places(kept(SCORES, 0.25, "unstructured", "row")) == {(0, 1), (1, 3), (2, 0), (3, 0)}


def test_two_of_four_by_hand():
    expected = {(0, 1), (0, 3), (1, 2), (1, 3), (2, 0), (2, 1), (3, 0), (3, 2)}
    assert places(kept(SCORES, 0.5, "2:4", "row")) == expected
    assert places(kept(SCORES, 0.5, "2:4", "matrix")) == expected


def test_one_of_four_keeps_only_the_highest():
    removed = places(kept(SCORES, 0.75, "1:4", "row"))
    assert {(0, 0), (1, 0), (2, 3), (3, 1)} == {
        (i, j) for i in range(4) for j in range(4)
    } - removed


def test_of_equal_scores_the_first_ones_go():
    same = torch.ones(4, 4)
    assert places(kept(same, 0.375, "unstructured", "matrix")) == {
        (0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1),
    }  # fmt: skip
    assert places(kept(same, 0.25, "unstructured", "row")) == {(i, 0) for i in range(4)}
    assert places(kept(same, 0.5, "2:4", "row")) == {(i, j) for i in range(4) for j in (0, 1)}
    assert lowest(torch.zeros(1000), 300).nonzero().ravel().tolist() == list(range(300))


def test_patterns_and_their_shares():
    assert Pattern.parse("unstructured") is None and pattern_share("unstructured") is None
    assert Pattern.parse("2:4") == Pattern(keep=2, of=4)
    assert [pattern_share(text) for text in ("2:4", "4:8", "1:4", "3:4")] == [0.5, 0.5, 0.75, 0.25]


@pytest.mark.parametrize("text", ["", "2", "4:2", "0:4", "4:4", "2:4 ", "-2:4", "2:4:8", "dense"])
def test_another_pattern_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match="allowed are 'unstructured' and 'n:m'"):
        pattern_share(text)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="allowed are 0 .* to 1"):
        kept(SCORES, share, "unstructured", "row")


def test_a_pattern_has_no_share_but_its_own():
    for share in (0, 0.25, 1):
        with pytest.raises(ValueError, match=r"2:4 removes 0\.5 of the weights"):
            kept(SCORES, share, "2:4", "row")


def test_inputs_that_do_not_divide_are_refused_with_the_figures():
    with pytest.raises(ValueError, match="10 inputs: the pattern 2:4 needs a multiple of 4, and 2"):
        kept(torch.ones(3, 10), 0.5, "2:4", "row")


def test_scores_and_groups_are_checked():
    with pytest.raises(ValueError, match="allowed are 'matrix' and 'row'"):
        kept(SCORES, 0.5, "unstructured", "column")
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        kept(SCORES[0], 0.5, "unstructured", "row")
    with pytest.raises(ValueError, match="int64"):
        kept(SCORES.long(), 0.5, "unstructured", "row")
    with pytest.raises(ValueError, match="1 of 16 scores are NaN"):
        kept(SCORES.masked_fill(SCORES == 7, float("nan")), 0.5, "unstructured", "row")


@given(TIED, SHARES, GROUPS)
def test_exactly_the_share_is_removed_and_nothing_kept_scores_lower(values, share, groups):
    scores = torch.from_numpy(values)
    mask = kept(scores, share, "unstructured", groups)
    assert mask.shape == scores.shape and mask.dtype == torch.bool
    if groups == "matrix":
        scores, mask = scores.reshape(1, -1), mask.reshape(1, -1)
    for row, stays in zip(scores, mask, strict=True):
        assert int((~stays).sum()) == round(share * len(row))
        if stays.any() and not stays.all():
            assert row[~stays].max() <= row[stays].min()
            boundary = (row == row[stays].min()).nonzero().ravel()
            # Of the boundary's ties the removed ones come first.
            assert stays[boundary].int().diff().ge(0).all()


@given(TIED, GROUPS, st.tuples(SHARES, SHARES))
def test_a_higher_share_removes_a_superset(values, groups, shares):
    scores = torch.from_numpy(values)
    low, high = (kept(scores, share, "unstructured", groups) for share in sorted(shares))
    assert (high <= low).all()


@given(TIED, GROUPS)
def test_none_and_all(values, groups):
    scores = torch.from_numpy(values)
    assert kept(scores, 0, "unstructured", groups).all()
    assert not kept(scores, 1, "unstructured", groups).any()


@pytest.mark.parametrize("text", PATTERNS)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99), GROUPS)
def test_every_group_of_a_pattern_keeps_its_highest(text, outputs, count, seed, groups):
    pattern = Pattern.parse(text)
    values = np.random.default_rng(seed).integers(0, 4, (outputs, count * pattern.of))
    mask = kept(torch.from_numpy(values * 1.0), pattern_share(text), text, groups).numpy()
    for row, stays in zip(values, mask, strict=True):
        for start in range(0, len(row), pattern.of):
            group = range(start, start + pattern.of)
            # Lowest first, and of equal ones the first: sorted() is stable.
            gone = sorted(group, key=lambda j: row[j])[: pattern.of - pattern.keep]  # noqa: B023
            assert [j for j in group if not stays[j]] == sorted(gone)
