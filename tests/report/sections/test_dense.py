"""The dense models."""

from tests.report.reading import section_of, table_rows

NAME = "dense"


def test_dense_accuracy_and_its_steps_stand_apart(parts):
    text = section_of(NAME, parts)
    folded = text.index("By number of reasoning steps")
    assert "<th>Steps</th>" not in text[:folded]
    assert "<th>Steps</th>" in text[folded:]
    rows = table_rows(section_of(NAME, parts), "ref-reglu", "copying", "control")
    assert [row[3:] for row in rows] == [
        ["87.5%", "25.0%", "200"],
        ["2", "87.5%", "25.0%", "100"],
        ["3", "87.5%", "25.0%", "100"],
    ]


def test_tasks_of_one_number_of_steps_are_not_told_by_steps(parts):
    for row in parts["finding"]["dense"]:
        if row["task"] == "copying" and row["steps"] is not None:
            row["steps"] = 0
    rows = table_rows(section_of(NAME, parts), "ref-reglu", "copying", "control")
    assert [row[3:] for row in rows] == [["87.5%", "25.0%", "200"]]
    assert len(table_rows(section_of(NAME, parts), "ref-reglu", "addition")) == 3
