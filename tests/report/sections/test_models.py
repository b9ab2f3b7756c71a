"""Models with and without a profile."""

from tests.report.reading import section_of, table_rows

NAME = "models"


def test_a_model_without_a_profile_has_dashes(parts):
    parts["finding"]["models"] = []
    (row,) = table_rows(section_of(NAME, parts), "ref-reglu", "LlamaForCausalLM")
    assert row[-5:] == ["–"] * 5
