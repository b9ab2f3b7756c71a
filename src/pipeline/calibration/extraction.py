"""Turn a corpus into token windows, and keep the text that they were cut from.

The work on one document depends on no other document, so jobs may share it: each takes blocks of
documents in turn. Blocks that no job has reached are tokenized when the shards are put together, so
the result depends neither on the number of jobs nor on how far each got.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.calibration.windows import beginning, check, cut, markers_of
from pipeline.config.calibration import Corpus
from pipeline.errors import UserError
from pipeline.registry import CORPORA
from pipeline.store.digest import of_bytes

#: Documents that a job takes at a time.
BLOCK_DOCUMENTS = 64


@dataclass(frozen=True)
class TokenizedText:
    """One document's digest, as many of its tokens as the corpus can use, and how many characters
    from its beginning were read for them."""

    document: str
    tokens: list[int]
    characters: int


def read_shard(corpus: Corpus, tokenizer: Any, shard: int, shards: int) -> list[dict[str, Any]]:
    """Rows of tables.sequences.DOCUMENTS of every `shards`-th block of documents from `shard` on,
    until they hold this shard's part of the corpus' `tokens`."""
    commit, documents = _documents(corpus)
    rows: list[dict[str, Any]] = []
    total = 0
    for index, text in enumerate(documents):
        block, place = divmod(index, BLOCK_DOCUMENTS)
        if block % shards != shard:
            continue
        if place == 0 and total * shards >= corpus.tokens:
            break
        made = _read(text, tokenizer, corpus)
        total += len(made.tokens)
        rows.append(
            {
                "index": index,
                "document": made.document,
                "characters": made.characters,
                "tokens": made.tokens,
                "commit": commit,
            }
        )
    return rows


def extract(
    corpus: Corpus, tokenizer: Any, shards: Iterable[Mapping[str, Any]] = ()
) -> tuple[dict[str, list], dict[str, Any], list[dict[str, Any]]]:
    """(columns of tables.sequences.SEQUENCES, body of CORPUS, rows of TEXTS).

    Documents are tokenized with the model's own special tokens (an end token is added where the
    tokenizer has one) and cut into windows of `sequence_length`; windows of one token, and those of
    nothing but start and end tokens, are dropped. Stops with the window that reaches `tokens`. Of a
    document much longer than that only the beginning is tokenized, up to white space where there is
    some near; its last tokens may differ by one from those of the whole. TEXTS holds the part that
    was tokenized. `shards` are rows that `read_shard` made of some of the documents. Raises
    UserError when nothing is left, when the tokenizer does not know more than a tenth of the
    tokens, or when the shards are of another text.
    """
    markers = markers_of(tokenizer)
    commit, documents = _documents(corpus)
    read = {row["index"]: _of_row(row, commit, corpus) for row in shards}
    texts: list[dict[str, Any]] = []

    def tokens() -> Iterator[list[int]]:
        for index, text in enumerate(documents):
            document = read.get(index) or _read(text, tokenizer, corpus)
            if document.document != of_bytes(text.encode()):
                raise _other_text(corpus)
            beginning_of_text = text[: document.characters]
            texts.append({"index": index, "document": document.document, "text": beginning_of_text})
            yield document.tokens

    columns: dict[str, list] = {"sequence": [], "document": [], "tokens": []}
    for place, window in cut(tokens(), corpus.sequence_length, corpus.tokens, markers):
        columns["sequence"].append(len(columns["sequence"]))
        columns["document"].append(texts[place]["document"])
        columns["tokens"].append(window)
    name = f"calibration corpus {corpus.source!r}"
    unknown = check(columns["tokens"], len(texts), tokenizer, markers, name)
    facts = {
        "commit": commit,
        "documents": len(texts),
        "sequences": len(columns["tokens"]),
        "tokens": sum(map(len, columns["tokens"])),
        "unknown_share": unknown,
    }
    return columns, facts, texts


def _documents(corpus: Corpus) -> tuple[str | None, Iterator[str]]:
    """(commit, texts at that commit); no commit for what has none."""
    name, _, where = corpus.source.partition(":")
    kind = CORPORA.load(name)
    commit = kind.commit(where, corpus)
    pinned = corpus.model_copy(update={"revision": commit}) if commit else corpus
    return commit, kind.documents(where, pinned)


def _read(text: str, tokenizer: Any, corpus: Corpus) -> TokenizedText:
    length = corpus.sequence_length
    most = -(-corpus.tokens // length) * length
    characters, ids = beginning(text, tokenizer, most)
    return TokenizedText(of_bytes(text.encode()), ids, characters)


def _of_row(row: Mapping[str, Any], commit: str | None, corpus: Corpus) -> TokenizedText:
    if row["commit"] != commit:
        raise _other_text(corpus)
    return TokenizedText(row["document"], list(row["tokens"]), row["characters"])


def _other_text(corpus: Corpus) -> UserError:
    return UserError(
        f"calibration corpus {corpus.source!r} changed while its shards were made; remove them and "
        "run again, and give a commit as its revision if it is a Hub dataset"
    )
