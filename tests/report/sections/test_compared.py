"""Methods side by side at one achieved level."""

from tests.report.reading import section_of, table_rows, words

NAME = "compared"


def test_methods_at_one_achieved_level_stand_side_by_side(parts, measured):
    measured["perplexity"][2]["loss"] = 0.25
    (teal,) = table_rows(section_of(NAME, parts | measured), "teal", "20.0")
    (wina,) = table_rows(section_of(NAME, parts | measured), "wina")
    assert teal[1:3] + teal[4:5] == ["20.0", "[19.0, 22.0]", "50.7%"]
    assert teal[5] == "10.0"
    # One that a model lacks comes last, with a dash for it.
    assert wina == ["wina", "–", "", "", "", "30.0", "[29.0, 32.0]", "0.25", "50.7%"]
    text = words(section_of(NAME, parts | measured))
    assert "50% of the weights of the blocks' linear layers not read" in text


def test_without_an_achieved_measure_nothing_is_compared(parts):
    assert "No method of this study was asked for an achieved measure." in words(
        section_of(NAME, parts)
    )
