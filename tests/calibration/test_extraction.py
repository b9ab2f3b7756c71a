"""Corpora cut into token windows."""

import copy

import pytest

from pipeline.calibration import extraction, windows
from pipeline.calibration.extraction import extract, read_shard
from pipeline.config.calibration import Corpus
from pipeline.errors import UserError
from pipeline.store.digest import of_bytes
from pipeline.tables.sequences import CORPUS, DOCUMENTS, SEQUENCES, TEXTS


def test_windows_of_four_tokens_by_hand(text, tokenizer):
    # <bos> a b c d e <eos> and <bos> a b c <eos>: the last window of one token is dropped.
    columns, facts, texts = extract(text("a b c d e", "a b c"), tokenizer)
    a, b, c, d, e = tokenizer.convert_tokens_to_ids(list("abcde"))
    assert columns["tokens"] == [[1, a, b, c], [d, e, 2], [1, a, b, c]]
    assert columns["sequence"] == [0, 1, 2]
    long, short = of_bytes(b"a b c d e"), of_bytes(b"a b c")
    assert columns["document"] == [long, long, short]
    assert facts == {
        "commit": None,
        "documents": 2,
        "sequences": 3,
        "tokens": 11,
        "unknown_share": 0.0,
    }
    assert texts == [
        {"index": 0, "document": long, "text": "a b c d e"},
        {"index": 1, "document": short, "text": "a b c"},
    ]
    SEQUENCES.frame(columns), TEXTS.frame(texts)
    assert set(facts) == set(CORPUS.keys)


def test_extraction_stops_with_the_document_that_reaches_the_number(text, tokenizer):
    # Each document is one window of four tokens.
    columns, facts, _ = extract(text("a b", "c d", "e f", tokens=5), tokenizer)
    assert (facts["documents"], facts["tokens"]) == (2, 8) and len(columns["tokens"]) == 2


def test_a_document_is_cut_at_the_window_that_reaches_the_number(text, tokenizer):
    long = " ".join("abcdefghijkl" * 3)
    whole, _, _ = extract(text(long), tokenizer)
    cut, facts, _ = extract(text("a b", long, "c d", tokens=11), tokenizer)
    assert (
        cut["tokens"]
        == [[1, *tokenizer.convert_tokens_to_ids(["a", "b"]), 2]] + (whole["tokens"][:2])
    )
    assert (facts["documents"], facts["tokens"]) == (2, 12)


class Counting:
    """The built-in tokenizer, which notes how much text it was given."""

    def __init__(self, tokenizer):
        self.tokenizer, self.read = tokenizer, 0

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __call__(self, text):
        self.read += len(text)
        return self.tokenizer(text)


@pytest.mark.parametrize("tokens", [4, 30, 200, 499, 500, 501, 5000])
def test_of_a_long_document_no_more_is_tokenized_than_is_needed(
    text, tokenizer, monkeypatch, tokens
):
    monkeypatch.setattr(windows, "PART", 64)
    words = ["abcdefghijkl"[(n * n) % 12] for n in range(500)]
    whole, _, _ = extract(text(" ".join(words), tokens=10_000), tokenizer)
    counting = Counting(tokenizer)
    found, facts, _ = extract(text(" ".join(words), tokens=tokens), counting)
    assert found["tokens"] == whole["tokens"][: -(-tokens // 4)]
    # Two characters a token; each part is twice as long as the one before.
    assert counting.read <= max(64, 8 * (tokens + 16))


def test_a_long_document_may_have_no_spaces(text, monkeypatch):
    class Characters:
        unk_token_id = bos_token_id = eos_token_id = pad_token_id = None
        all_special_ids = ()

        def __call__(self, words):
            return {"input_ids": [ord(c) for c in words]}

    monkeypatch.setattr(windows, "PART", 8)
    long = "".join(chr(0x4E00 + n) for n in range(900))
    found, _, _ = extract(text(f"a {long}", tokens=12), Characters())
    assert "".join(chr(t) for window in found["tokens"] for t in window) == f"a {long}"[:12]


def test_windows_of_start_and_end_tokens_alone_are_dropped(tmp_path, tokenizer):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": ""}\n{"text": "a b"}\n{"text": " "}\n')
    columns, facts, _ = extract(Corpus(source=f"path:{path}"), tokenizer)
    assert (len(columns["tokens"]), facts["documents"], facts["tokens"]) == (1, 3, 4)
    path.write_text('{"text": ""}\n{"text": " "}\n')
    with pytest.raises(UserError, match="2 documents, none of which gives .* start and end tokens"):
        extract(Corpus(source=f"path:{path}"), tokenizer)


@pytest.mark.parametrize(("known", "share"), [(10, 0.0), (9, 0.1), (90, 1 / 91)])
def test_unknown_tokens_are_counted(text, tokenizer, known, share):
    unknown = share > 0
    line = " ".join(["a"] * known + ["zebra"] * unknown)
    _, facts, _ = extract(text(line), tokenizer)
    assert facts["unknown_share"] == share


def test_more_than_a_tenth_of_unknown_tokens_is_refused(text, tokenizer):
    with pytest.raises(UserError) as refused:
        extract(text("a a a a a a zebra", "zebra b"), tokenizer)
    message = str(refused.value)
    assert "does not know 22.2% of the tokens, and at most 10% is allowed; give text in" in message


def test_an_unknown_token_that_serves_as_another_is_never_counted(text, tokenizer):
    """GPT-2's, for one, which knows every byte."""
    shared = copy.deepcopy(tokenizer)
    shared.unk_token = shared.eos_token
    _, facts, _ = extract(text("a <eos> b <eos>"), shared)
    assert facts["unknown_share"] == 0.0


def test_an_end_token_is_not_doubled(text, tokenizer):
    columns, _, _ = extract(text("a b <eos>"), tokenizer)
    assert columns["tokens"][0][-2:] != [2, 2] and columns["tokens"][0][-1] == 2


def test_a_tokenizer_without_an_end_token_gets_none(text, tokenizer):
    endless = copy.deepcopy(tokenizer)
    endless.eos_token = None
    columns, _, _ = extract(text("a b"), endless)
    assert len(columns["tokens"][0]) == 3


def test_an_empty_corpus_is_refused_with_the_count(text, tokenizer):
    with pytest.raises(UserError, match=r"text\.txt': 0 documents, none of which gives"):
        extract(text(), tokenizer)


def test_documents_too_short_for_a_sequence_are_refused_with_the_count(text):
    class Plain:
        unk_token_id = bos_token_id = eos_token_id = pad_token_id = None
        all_special_ids = ()

        def __call__(self, words):
            return {"input_ids": list(range(len(words.split())))}

    with pytest.raises(UserError, match="3 documents, none of which gives a sequence of two"):
        extract(text("a", "b", "c"), Plain())


@pytest.fixture
def short_blocks(monkeypatch):
    """Blocks of three documents, so that a few documents make several."""
    monkeypatch.setattr(extraction, "BLOCK_DOCUMENTS", 3)


def sharded(corpus, tokenizer, shards):
    """Rows of all shards as they come back from their files, last shard first."""
    rows = [read_shard(corpus, tokenizer, n, shards) for n in reversed(range(shards))]
    return [row for part in rows for row in DOCUMENTS.frame(part).to_dicts()]


@pytest.mark.parametrize("tokens", [5, 60, 150, 10_000])
@pytest.mark.parametrize("shards", [1, 2, 7])
def test_shards_together_give_what_one_job_does(text, tokenizer, short_blocks, shards, tokens):
    """Documents of unequal length, so that some shards stop too early and some too late."""
    lines = [" ".join("abcdefghijkl"[: 1 + (7 * n) % 12]) for n in range(40)]
    corpus = text(*lines, tokens=tokens)
    whole = extract(corpus, tokenizer)
    assert extract(corpus, tokenizer, sharded(corpus, tokenizer, shards)) == whole


def test_a_shard_stops_when_it_holds_its_part(text, tokenizer, short_blocks):
    corpus = text(*["a b"] * 60, tokens=80)
    rows = sharded(corpus, tokenizer, 2)
    assert sorted(row["index"] for row in rows) == list(range(24))


def test_shards_of_another_text_are_refused(text, tokenizer, short_blocks):
    rows = sharded(text("a b", "c d"), tokenizer, 2)
    with pytest.raises(UserError, match="changed while its shards were made; remove them"):
        extract(text("a b", "c e"), tokenizer, rows)
    moved = [row | {"commit": "0" * 40} for row in rows]
    with pytest.raises(UserError, match="changed while its shards were made"):
        extract(text("a b", "c d"), tokenizer, moved)
