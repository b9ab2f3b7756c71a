"""What contrasts say in words."""

import pytest

from pipeline.report.sections.contrasts import reading


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.2, -0.1, "the first costs less"),
        (0.1, 0.2, "the first costs more"),
        (-0.1, 0.1, "no clear difference"),
        (0.0, 0.1, "no clear difference"),
        (-0.1, 0.0, "no clear difference"),
    ],
)
def test_reading_is_clear_only_when_the_interval_leaves_out_zero(low, high, said):
    assert reading({"low": low, "high": high}) == said
