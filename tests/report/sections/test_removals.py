"""What removals took, as means over draws."""

from pipeline.report.sections.removals import removed
from tests.report.reading import section_of, table_rows, words

NAME = "removals"


def test_what_each_removal_took_is_the_mean_over_its_draws(parts):
    (cold,) = table_rows(section_of(NAME, parts), "ref-reglu", "drop_cold", "10%", "1")
    assert cold[4:] == ["10.0%", "10.0%", "10.0%", "2.0%", "3.0%", "–"]
    (drawn,) = table_rows(section_of(NAME, parts), "ref-reglu", "drop_random", "10%", "5")
    # Means of 2 to 6, 3 to 7 and 10 to 50 percent; of a layer the least and most of any draw.
    assert drawn[4:] == ["10.0%", "6.0%", "18.0%", "4.0%", "5.0%", "30.0%"]
    assert table_rows(section_of(NAME, parts), "ref-swiglu", "drop_random", "10%", "5")
    parts["removals"] = []
    assert "What each removal took" not in words(section_of(NAME, parts))


def test_removals_stand_by_model_in_the_findings_order(removals):
    found = removed(removals, ["ref-swiglu", "ref-reglu"])
    assert [(row["model"], row["method"]) for row in found] == [
        ("ref-swiglu", "drop_cold"), ("ref-swiglu", "drop_random"),
        ("ref-reglu", "drop_cold"), ("ref-reglu", "drop_random"),
    ]  # fmt: skip
