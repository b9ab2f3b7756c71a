"""The caption of the main figure."""

from tests.report.reading import section_of, words

NAME = "accuracy_lost"


def test_models_at_chance_are_named_where_texts_tell_more(parts):
    assert "Not clear of chance" not in words(section_of(NAME, parts))
    parts["finding"]["dense_reasoning"][1] |= {"low": 0.2, "chance": 0.25}
    said = words(section_of(NAME, parts))
    assert said.endswith(
        "Not clear of chance before pruning: ref-swiglu, where nats a token, below, tell more."
    )
    parts["perplexity"] = []
    assert "Not clear of chance" not in words(section_of(NAME, parts))
