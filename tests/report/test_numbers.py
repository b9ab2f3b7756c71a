"""How figures are written."""

import pytest

from pipeline.report import numbers


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.1234, "12.3"), (-0.05, "−5.0"), (-0.0001, "0.0"), (0.0, "0.0"), (None, "–")],
)
def test_points(share, shown):
    assert numbers.points(share) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0004, "< 0.001"), (0.001, "0.001"), (0.0123, "0.012"), (1.0, "1.000"), (None, "–")],
)
def test_p_value(value, shown):
    assert numbers.p_value(value) == shown


def test_percent_count_number_and_span():
    assert numbers.percent(0.955) == "95.5%"
    assert numbers.percent(0.95, 0) == "95%"
    assert numbers.count(1_240_320) == "1,240,320"
    assert numbers.number(-0.5) == "−0.50"
    assert numbers.span(-0.01, 0.02) == "[−1.0, 2.0]"
    assert numbers.span(None, 0.02) == "–"
