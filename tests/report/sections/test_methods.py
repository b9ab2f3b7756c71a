"""What the names of methods stand for."""

from tests.report.reading import section_of, table_rows, words

NAME = "methods"


def test_what_a_methods_name_stands_for(parts):
    (cold,) = table_rows(
        section_of(NAME, parts), "drop_cold", "coldest first", "–", "–", "drop_cold"
    )
    (both,) = table_rows(section_of(NAME, parts), "both")
    assert cold[5:] == ["–", "reasoning", "each layer", "FFN neurons removed", "start"]
    assert both[1:] == [
        "Wanda, int4", "wanda (pattern 2:4)", "int4 (group 32)", "–", "–", "prose", "–", "its own",
        "start",
    ]  # fmt: skip


def test_every_arm_tells_what_its_neurons_are_ranked_among_and_matched_to(parts):
    (drawn,) = table_rows(section_of(NAME, parts), "as_model")
    assert drawn[4] == "drop_random (match cold_of_model)"
    assert drawn[7] == "the whole model"
    assert "Ranked among" in words(section_of(NAME, parts))
