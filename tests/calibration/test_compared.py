"""Corpora compared with the evaluation tasks, and refused where they give items away."""

import pytest

from pipeline.calibration import extraction, windows
from pipeline.calibration.extraction import extract
from pipeline.calibration.overlap import compared
from pipeline.config.calibration import Corpus
from pipeline.errors import UserError
from pipeline.tables.overlap import OVERLAP
from pipeline.tasks import task as tasks


def of_corpus(corpus, tokenizer, names):
    """Body of OVERLAP for the text that a corpus is cut from."""
    texts = extract(corpus, tokenizer)[2]
    facts = compared((row["text"] for row in texts), corpus, names)
    assert set(facts) == set(OVERLAP.keys)
    return facts


def test_a_part_that_is_not_used_is_not_searched_for_overlap(text, tokenizer, monkeypatch):
    monkeypatch.setattr(windows, "PART", 64)
    task = tasks.find("chain")
    late = " ".join(["a"] * 500) + f" {task.question(task.items()[0])}"
    facts = of_corpus(text(late, tokens=16), tokenizer, ["chain"])
    assert facts["shared_documents"] == 0
    with pytest.raises(UserError, match="1 whole prompts"):
        of_corpus(text(late, tokens=10_000), tokenizer, ["chain"])


def test_a_corpus_with_a_whole_prompt_is_refused_by_item(text, tokenizer):
    task = tasks.find("chain")
    prompt = task.text(task.items()[7])
    with pytest.raises(UserError) as refused:
        of_corpus(text("a b c", f"{prompt} a = 3 ;"), tokenizer, ["copying", "chain"])
    message = str(refused.value)
    assert "1 whole prompts" in message and f"item 7 of chain: {prompt!r}" in message
    assert "allow_overlap: true" in message


def test_a_corpus_with_a_run_of_words_is_refused_by_item(text, tokenizer):
    task = tasks.find("copying")
    number, prompt = next(
        (n, p) for n, p in enumerate(map(task.text, task.items())) if len(p.split()) > 20
    )
    run = " ".join(prompt.split()[2:16])
    with pytest.raises(UserError) as refused:
        of_corpus(text(f"a {run} b", overlap_ngram=13), tokenizer, ["copying"])
    message = str(refused.value)
    assert "0 whole prompts and 1 runs of 13 words" in message
    assert f"item {number} of copying" in message
    facts = of_corpus(text(f"a {run} b", overlap_ngram=20), tokenizer, ["copying"])
    assert facts["shared_ngrams"] == 0


def test_overlap_that_is_allowed_is_counted(text, tokenizer):
    task = tasks.find("chain")
    prompts = [task.text(item) for item in task.items()[:3]]
    facts = of_corpus(text(*prompts, allow_overlap=True), tokenizer, ["chain"])
    assert (facts["shared_documents"], facts["allowed"]) == (3, True)


def test_text_after_the_last_document_used_does_not_overlap(text, tokenizer):
    task = tasks.find("chain")
    prompt = task.text(task.items()[0])
    facts = of_corpus(text("a b c d", prompt, tokens=4), tokenizer, ["chain"])
    assert facts["shared_documents"] == 0


def test_the_built_in_corpus_shares_nothing_with_the_built_in_tasks(tokenizer):
    corpus = Corpus(source="builtin:reasoning", tokens=1_000_000, overlap_ngram=32)
    names = [path.stem for path in tasks.BUILTIN_TASKS.glob("*.yaml")]
    facts = of_corpus(corpus, tokenizer, names)
    assert (facts["shared_documents"], facts["shared_ngrams"], facts["allowed"]) == (0, 0, False)


def test_overlap_is_described_in_what_it_is_counted_in():
    described = Corpus.model_fields["overlap_ngram"].description
    for text in (described, OVERLAP.keys["overlap_ngram"], OVERLAP.keys["shared_ngrams"]):
        assert "words" in text and "tokens" not in text


@pytest.mark.parametrize("tokens", [5, 60, 10_000])
def test_shards_give_the_same_text_to_compare(text, tokenizer, monkeypatch, tokens):
    """Documents of unequal length, two of which give an item away."""
    monkeypatch.setattr(extraction, "BLOCK_DOCUMENTS", 3)
    lines = [" ".join("abcdefghijkl"[: 1 + (7 * n) % 12]) for n in range(40)]
    prompt = tasks.find("chain").question(tasks.find("chain").items()[5])
    lines[4], lines[22] = prompt, " ".join(prompt.split()[:-1])
    corpus = text(*lines, tokens=tokens, allow_overlap=True, overlap_ngram=8)
    rows = [row for n in range(2) for row in extraction.read_shard(corpus, tokenizer, n, 2)]
    assert extract(corpus, tokenizer, rows)[2] == extract(corpus, tokenizer)[2]
    assert of_corpus(corpus, tokenizer, ["chain"])["shared_documents"] == (tokens > 5)
