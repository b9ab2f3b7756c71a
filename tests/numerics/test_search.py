"""Searches for a crossing: where they end, and how often they ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.numerics.search import Bracket, halved_whole


@given(st.integers(0, 500), st.integers(1, 40))
def test_whole_numbers_are_halved_until_the_ends_are_near(bound, width):
    asked = []
    low = halved_whole(lambda x: asked.append(x) or x <= bound, 0, 501, width)
    assert low <= bound < low + width
    assert len(asked) <= 10 and len(set(asked)) == len(asked)


def test_ends_that_are_near_already_are_not_tried():
    assert halved_whole(lambda _: pytest.fail("asked"), -1, 0) == -1


def test_false_position_is_where_the_line_crosses_zero():
    bracket = Bracket((0.0, -1.0), (2.0, 3.0))
    assert (bracket.false_position, bracket.middle, bracket.width) == (0.5, 1.0, 2.0)
    assert bracket.rises and not Bracket((0.0, 0.0), (1.0, 0.0)).rises


def test_an_end_that_stays_twice_counts_half():
    bracket = Bracket((0.0, -8.0), (4.0, 8.0))
    bracket.narrow(1.0, -4.0)
    assert (bracket.left, bracket.right) == ((1.0, -4.0), (4.0, 8.0))
    bracket.narrow(2.0, -2.0)
    assert (bracket.left, bracket.right) == ((2.0, -2.0), (4.0, 4.0))
    bracket.narrow(3.0, 1.0)
    assert (bracket.left, bracket.right) == ((2.0, -2.0), (3.0, 1.0))
    bracket.narrow(2.5, 0.5)
    assert (bracket.left, bracket.right) == ((2.0, -1.0), (2.5, 0.5))


def test_zero_itself_is_on_the_left():
    bracket = Bracket((0.0, -1.0), (1.0, 1.0))
    bracket.narrow(0.5, 0.0)
    assert bracket.left == (0.5, 0.0)
