"""The finding's sentences, and the tables below them."""

from tests.report.reading import section_of, table_rows, words

NAME = "finding"


def test_what_makes_the_difference_stands_below_the_sentences_a_column_a_model(parts):
    rows = table_rows(section_of(NAME, parts), "each layer") + table_rows(
        section_of(NAME, parts), "the whole model"
    )
    assert [row[1].split(":")[0] for row in rows] == [
        "not being hot", "the order of coldness", "the layers that are cut", "not being hot",
        "the order of coldness",
    ]  # fmt: skip
    assert [row[2:] for row in rows] == [
        ["25.0 [23.0, 27.0]"] * 2,
        ["5.0 [3.0, 7.0]"] * 2,
        ["−11.0 [−13.0, −9.0]"] * 2,
        ["13.0 [11.0, 15.0]"] * 2,
        ["17.0 [15.0, 19.0]", "–"],
    ]
    text = section_of(NAME, parts)
    head = "".join(f"<th>{model}</th>" for model in ("ref-reglu", "ref-swiglu"))
    assert f'<th class="text">Part of the difference</th>{head}</tr>' in text
    assert "Where 10% of the neurons are removed" in words(section_of(NAME, parts))


def test_parts_that_no_model_has_are_no_rows(parts):
    own = [row for row in parts["finding"]["decomposition"] if row["scope"] == "layer"]
    parts["finding"]["decomposition"] = own
    assert len(table_rows(section_of(NAME, parts), "each layer")) == 2
    assert table_rows(section_of(NAME, parts), "the whole model") == []
    parts["finding"]["decomposition"] = []
    assert "Part of the difference" not in words(section_of(NAME, parts))


def test_whole_sets_stand_in_a_table_below_the_sentences(parts):
    (cold,) = table_rows(section_of(NAME, parts), "ref-reglu", "as many as are cold")
    assert cold[2:] == ["drop_cold", "62.0%", "12.4", "[9.4, 16.4]", "75.1%", "25.0%", "15.5%"]
    assert table_rows(section_of(NAME, parts), "ref-reglu", "as many as are hot")


def test_parts_on_texts_are_those_of_models_at_chance(parts):
    assert "The same on prose" not in words(section_of(NAME, parts))
    parts["finding"]["dense_reasoning"][1] |= {"low": 0.2, "chance": 0.25}
    text = section_of(NAME, parts)
    assert "The same on prose, where accuracy cannot tell: nats a token, 95%" in words(text)
    rows = table_rows(text, "each layer")[-2:]
    assert [row[2:] for row in rows] == [["0.31 [0.29, 0.33]"], ["0.10 [0.08, 0.12]"]]
