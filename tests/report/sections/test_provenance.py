"""What the page was made from."""

from tests.report.reading import section_of, table_rows

NAME = "provenance"


def test_provenance_tells_source_seed_and_weights(parts, manifest):
    (source,) = table_rows(section_of(NAME, parts), "Source of this page")
    assert manifest.source in source[1]
    assert table_rows(section_of(NAME, parts), "Seed") == [["Seed", "3"]]
    (weights,) = table_rows(section_of(NAME, parts), "Model ref-reglu")
    assert "a" * 32 in weights[1]
