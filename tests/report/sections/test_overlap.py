"""A warning where calibration data overlaps with the evaluation."""

from tests.report.reading import section_of, words

NAME = "overlap"


def test_overlap_is_warned_of_only_where_it_is_allowed(parts):
    assert "Calibration data overlaps" not in words(section_of(NAME, parts))
    (corpus,) = parts["corpora"].values()
    corpus.update(allowed=True, shared_documents=12, shared_ngrams=3)
    text = words(section_of(NAME, parts))
    assert "holds 12 whole evaluation items and shares runs of 24 words with 3 more" in text
