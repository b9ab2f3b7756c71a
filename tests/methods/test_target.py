"""Targets are met within the tolerance, or as nearly as a function with jumps allows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.methods.plan import Refused
from pipeline.methods.target import TOLERANCE, reach, settle

shares = st.floats(0, 1)


class Counted:
    """A function of the share, and how often it was asked."""

    def __init__(self, function):
        self.function, self.asked = function, []

    def __call__(self, share):
        assert 0 <= share <= 1
        self.asked.append(share)
        return float(self.function(share))


def settled(function, target):
    """(what the settled share gives, measurements after the two ends)."""
    achieved = Counted(function)
    ends = reach(achieved)
    share = settle(achieved, float(target), ends)
    assert type(share) is float
    return float(function(share)), len(achieved.asked) - 2


def between(low, high, part):
    return low + part * (high - low)


def curve(knots):
    """A polygon through growing points, its ends at shares 0 and 1; no part is vertical."""
    x, y = np.sort(np.array(knots), axis=0).T
    x = np.linspace(0, 1, len(x)) + 0.4 * (x - 0.5) / len(x)
    x = (x - x[0]) / (x[-1] - x[0])
    return lambda share: np.interp(share, x, y)


@given(st.lists(st.tuples(shares, shares), min_size=2, max_size=12), shares)
def test_a_continuous_function_is_met_within_the_tolerance(knots, part):
    """Plateaus and steep parts among them."""
    function = curve(knots)
    target = between(function(0), function(1), part)
    found, measurements = settled(function, target)
    assert abs(found - target) <= TOLERANCE and measurements <= 24


@given(st.floats(0.2, 5), shares, shares, shares)
def test_a_power_between_any_two_ends_is_met(exponent, one, other, part):
    low, high = sorted((one, other))
    target = between(low, high, part)
    found, measurements = settled(lambda share: between(low, high, share**exponent), target)
    assert abs(found - target) <= TOLERANCE and measurements <= 24


def nearest(values, target):
    return min(abs(value - target) for value in values)


@given(st.integers(1, 300), st.floats(0.5, 2), shares)
def test_of_even_steps_the_nearest_is_taken(steps, exponent, target):
    """What a rule that keeps whole numbers of neurons does."""
    found, measurements = settled(lambda share: round(share**exponent * steps) / steps, target)
    best = nearest(np.arange(steps + 1) / steps, target)
    assert abs(found - target) <= max(TOLERANCE, best + 1e-12) and measurements <= 24


@given(
    st.lists(st.integers(1, 999), min_size=1, max_size=40, unique=True),
    st.lists(shares, min_size=41, max_size=41),
    shares,
)
def test_of_jumps_anywhere_the_nearest_side_is_taken(places, heights, part):
    places, heights = np.sort(places) / 1000, np.sort(heights[: len(places) + 1])
    target = between(heights[0], heights[-1], part)
    found, measurements = settled(
        lambda share: heights[np.searchsorted(places, share, side="right")], target
    )
    assert abs(found - target) <= max(TOLERANCE, nearest(heights, target) + 1e-12)
    assert measurements <= 24


@given(shares, shares)
def test_a_function_that_stays_where_it_is_is_met_where_it_is(height, part):
    found, measurements = settled(lambda _share: height, height)
    assert found == height and measurements == 0


@pytest.mark.parametrize("target", [0.2 - 0.99 * TOLERANCE, 0.2, 0.7, 0.7 + 0.99 * TOLERANCE])
def test_an_end_is_met_without_a_measurement(target):
    """As near outside as the tolerance is near enough."""
    achieved = Counted(lambda share: 0.2 + 0.5 * share)
    assert settle(achieved, target, (0.2, 0.7)) == (target > 0.5)
    assert not achieved.asked


@pytest.mark.parametrize("target", [0.2 + 0.9 * TOLERANCE, 0.7 - 0.9 * TOLERANCE])
def test_within_reach_an_end_is_not_taken_for_what_lies_beside_it(target):
    """At the end all may be skipped, which is another thing than nearly all."""
    found = settle(Counted(lambda share: 0.2 + 0.5 * share), target, (0.2, 0.7))
    assert 0 < found < 1 and abs(0.2 + 0.5 * found - target) <= TOLERANCE


def test_a_straight_line_takes_one_measurement():
    found, measurements = settled(lambda share: 0.1 + 0.8 * share, 0.5)
    assert found == pytest.approx(0.5, abs=TOLERANCE) and measurements == 1


def test_a_steep_step_at_the_far_end_takes_no_more_measurements_than_allowed():
    """False position alone would crawl."""
    for place in (1e-5, 0.001, 0.5, 0.999, 1 - 1e-5):
        found, measurements = settled(lambda share, p=place: 0.0 if share < p else 1.0, 0.3)
        assert found == 0.0 and measurements <= 24
    for place in (0.001, 0.5, 0.999):
        found, measurements = settled(
            lambda share, p=place: np.clip((share - p) * 1000 + 0.5, 0, 1), 0.3
        )
        assert abs(found - 0.3) <= TOLERANCE and measurements <= 24


@pytest.mark.parametrize(
    ("places", "heights", "target"),
    [
        ((0.27, 0.2707), (0.02, 0.66), 0.644),
        ((0.86, 0.86055), (0.12, 0.84), 0.153),
        ((0.38, 0.38149), (0.19, 0.83), 0.817),
        ((0.75, 0.75327), (0.18, 0.89), 0.185),
    ],
)
def test_a_steep_part_between_flat_ones_is_met_in_time(places, heights, target):
    """Its ends are where false position, also with an Illinois step, takes longest."""
    found, measurements = settled(
        lambda share: np.interp(share, (0, *places, 1), (0, *heights, 1)), target
    )
    assert abs(found - target) <= TOLERANCE and measurements <= 24


@pytest.mark.parametrize(
    ("target", "ends", "text"),
    [
        (0.7, (0.0, 2 / 3), "0.7 is outside what this method can reach on this model, 0.000 to "),
        (0.25, (0.91234, 1.0), "0.25 is outside what this method can reach on this model, 0.912 "),
        (0.5, (0.0, 0.4979), "0.000 to 0.498"),
        (0.2, (0.2021, 0.4), "0.202 to 0.400"),
    ],
)
def test_what_is_out_of_reach_is_refused_with_the_interval(target, ends, text):
    achieved = Counted(lambda _share: 0.5)
    with pytest.raises(Refused) as refused:
        settle(achieved, target, ends)
    assert text in str(refused.value) and not achieved.asked


@given(shares, st.floats(0, 2))
def test_the_same_target_is_settled_the_same_way_twice(part, rise):
    def function(share):
        return share ** (0.5 + rise)

    assert settle(function, part, (0.0, 1.0)) == settle(function, part, (0.0, 1.0))
