"""Calibration data."""

from tests.report.reading import section_of, table_rows, words

NAME = "corpora"


def test_the_share_of_unknown_tokens_stands_by_a_corpus(parts):
    (row,) = table_rows(section_of(NAME, parts), next(iter(parts["corpora"])), "2,310")
    assert "1.2%" in row


def test_the_commit_of_a_corpus_stands_by_it_only_where_there_is_one(parts):
    assert "at commit" not in words(section_of(NAME, parts))
    (corpus,) = parts["corpora"].values()
    corpus["commit"] = "c0ffee" * 6
    assert f"{next(iter(parts['corpora']))}at commit {'c0ffee' * 6}" in words(
        section_of(NAME, parts)
    )
