"""What contrasts say in words."""

import pytest

from pipeline.report.sections.contrasts import reading
from tests.report.reading import section_of, table_rows, words


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


def test_differences_on_texts_stand_in_nats(parts):
    (row,) = table_rows(section_of("contrasts", parts), "prose")
    assert row == [
        "prose", "ref-reglu", "drop_cold, 10%", "10.1%", "drop_random, 10%", "10.0%", "−0.41",
        "[−0.45, −0.36]", "the first costs less", "500",
    ]  # fmt: skip
    parts["finding"]["text_contrasts"] = []
    assert "The same on texts" not in words(section_of("contrasts", parts))
