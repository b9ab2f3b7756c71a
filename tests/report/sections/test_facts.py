"""What to know before reading the page."""

from tests.report.reading import section_of, words

NAME = "facts"


def test_conditions_that_were_asked_for_texts_alone_count(parts):
    parts["curves"] = []
    assert "2 pruned conditions of 2 models evaluated" in words(section_of(NAME, parts))


def test_conditions_below_chance_are_counted(parts):
    assert "less than chance" not in words(section_of(NAME, parts))
    for row in parts["curves"]:
        if (row["method"], row["level"], row["task"]) == ("keep_cold", "hot", "reasoning"):
            row["accuracy"] = 0.1
            row["out_of_form"] = 0.7 if row["model"] == "ref-reglu" else 0.92
    assert (
        "2 conditions left less than chance on the mean of the reasoning tasks, where 70% to 92% "
        "of the responses hold no answer in the task's form; how far below chance"
        in words(section_of(NAME, parts))
    )


def test_tasks_that_a_mean_leaves_out_are_named_with_the_methods(parts):
    assert "The mean of the reasoning tasks is without" not in words(section_of(NAME, parts))
    for row in parts["curves"]:
        if row["method"] in ("drop_cold", "keep_cold") and row["task"] == "reasoning":
            row["left_out"] = "addition, multihop"
    assert (
        "The mean of the reasoning tasks is without addition, multihop under drop_cold, keep_cold: "
        "nothing was imposed at any token of these tasks there." in words(section_of(NAME, parts))
    )


def test_packed_weights_are_told(parts):
    assert "dequantized" not in words(section_of(NAME, parts))
    parts["models"][1] |= {"quantization": "Q4_1", "bits": 4}
    assert (
        f"{parts['models'][1]['name']}: weights dequantized from four bits (Q4_1 in its GGUF file)"
        in words(section_of(NAME, parts))
    )
