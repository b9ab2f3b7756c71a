"""Turn a corpus into token windows, and refuse one that gives evaluation items away.

The work on one document depends on no other document, so jobs may share it: each takes blocks of
documents in turn. What no job has come to is made up for when all is put together, so the result
depends neither on their number nor on how far each got.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import tasks
from pipeline.calibration.overlap import Items, Overlap, together
from pipeline.config.calibration import Corpus
from pipeline.digest import of_bytes
from pipeline.errors import UserError
from pipeline.registry import CORPORA

#: Documents that a job takes at a time.
BLOCK_DOCUMENTS = 64


@dataclass(frozen=True)
class Document:
    """One document's digest, all its tokens, and the evaluation items it gives away."""

    document: str
    tokens: list[int]
    shared: Overlap


def read_shard(
    corpus: Corpus, tokenizer: Any, task_names: Sequence[str], shard: int, shards: int
) -> list[dict[str, Any]]:
    """Rows of tables.sequences.DOCUMENTS of every `shards`-th block of documents from `shard` on,
    until they hold this shard's part of the corpus' `tokens`."""
    prompts = _Prompts(task_names, corpus)
    commit, documents = _documents(corpus)
    rows: list[dict[str, Any]] = []
    total = 0
    for index, text in enumerate(documents):
        block, place = divmod(index, BLOCK_DOCUMENTS)
        if block % shards != shard:
            continue
        if place == 0 and total * shards >= corpus.tokens:
            break
        made = _read(text, tokenizer, prompts)
        total += len(made.tokens)
        rows.append(
            {
                "index": index,
                "document": made.document,
                "tokens": made.tokens,
                "whole": list(made.shared.documents),
                "partial": list(made.shared.ngrams),
                "commit": commit,
            }
        )
    return rows


def extract(
    corpus: Corpus,
    tokenizer: Any,
    task_names: Sequence[str],
    shards: Iterable[Mapping[str, Any]] = (),
) -> tuple[dict[str, list], dict[str, Any]]:
    """(columns of tables.sequences.SEQUENCES, body of CORPUS).

    Documents are tokenized with the model's own special tokens (an end token is added where the
    tokenizer has one) and cut into windows of `sequence_length`; windows of one token are dropped.
    Stops with the document that reaches `tokens`. `shards` are rows that `read_shard` made of some
    of the documents. Raises UserError when nothing is left, when the corpus shares documents or
    n-grams with the tasks and the configuration does not allow it, or when the shards are of
    another text.
    """
    prompts = _Prompts(task_names, corpus)
    commit, documents = _documents(corpus)
    read = {row["index"]: _of_row(row, commit, corpus) for row in shards}
    columns: dict[str, list] = {"sequence": [], "document": [], "tokens": []}
    shared: list[Overlap] = []
    total = 0
    for index, text in enumerate(documents):
        made = read.get(index) or _read(text, tokenizer, prompts)
        if made.document != of_bytes(text.encode()):
            raise _other_text(corpus)
        shared.append(made.shared)
        for window in _windows(made.tokens, corpus.sequence_length):
            columns["sequence"].append(len(columns["sequence"]))
            columns["document"].append(made.document)
            columns["tokens"].append(window)
            total += len(window)
        if total >= corpus.tokens:
            break
    if not columns["tokens"]:
        raise UserError(
            f"calibration corpus {corpus.source!r}: {len(shared)} documents, none long enough for "
            "one sequence of two tokens; give more text or another field"
        )
    found = together(shared)
    prompts.refuse(found)
    return columns, {
        "commit": commit,
        "documents": len(shared),
        "sequences": len(columns["tokens"]),
        "tokens": total,
        "overlap_ngram": corpus.overlap_ngram,
        "shared_documents": len(found.documents),
        "shared_ngrams": len(found.ngrams),
        "allowed": bool(found.documents or found.ngrams),
    }


class _Prompts:
    """The texts of all evaluation items, and which item each is of."""

    def __init__(self, names: Sequence[str], corpus: Corpus) -> None:
        self.corpus = corpus
        self.texts: list[str] = []
        self.origin: list[tuple[str, int]] = []
        for task in map(tasks.find, names):
            for index, item in enumerate(task.items()):
                self.texts.append(task.question(item))
                self.origin.append((task.name, index))
        self.items = Items(self.texts, corpus.overlap_ngram)

    def refuse(self, found: Overlap) -> None:
        """Raise UserError where there is overlap and the configuration does not allow it."""
        if not (found.documents or found.ngrams) or self.corpus.allow_overlap:
            return
        first = (found.documents + found.ngrams)[0]
        name, index = self.origin[first]
        raise UserError(
            f"calibration corpus {self.corpus.source!r} shares {len(found.documents)} whole "
            f"prompts and {len(found.ngrams)} runs of {self.corpus.overlap_ngram} words with the "
            f"evaluation tasks; for example item {index} of {name}: {self.texts[first]!r}. Use "
            "another corpus, or set allow_overlap: true, which the report will show"
        )


def _documents(corpus: Corpus) -> tuple[str | None, Iterator[str]]:
    """(commit, texts at that commit); no commit for what has none."""
    name, _, where = corpus.source.partition(":")
    kind = CORPORA.load(name)
    commit = kind.commit(where, corpus)
    pinned = corpus.model_copy(update={"revision": commit}) if commit else corpus
    return commit, kind.documents(where, pinned)


def _read(text: str, tokenizer: Any, prompts: _Prompts) -> Document:
    ids = list(tokenizer(text)["input_ids"])
    if tokenizer.eos_token_id is not None and (not ids or ids[-1] != tokenizer.eos_token_id):
        ids.append(tokenizer.eos_token_id)
    return Document(of_bytes(text.encode()), ids, prompts.items.shared(text))


def _of_row(row: Mapping[str, Any], commit: str | None, corpus: Corpus) -> Document:
    if row["commit"] != commit:
        raise _other_text(corpus)
    shared = Overlap(tuple(row["whole"]), tuple(row["partial"]))
    return Document(row["document"], list(row["tokens"]), shared)


def _other_text(corpus: Corpus) -> UserError:
    return UserError(
        f"calibration corpus {corpus.source!r} changed while its shards were made; remove them and "
        "run again, and give a commit as its revision if it is a Hub dataset"
    )


def _windows(ids: Sequence[int], length: int) -> Iterator[list[int]]:
    for start in range(0, len(ids), length):
        window = list(ids[start : start + length])
        if len(window) > 1:
            yield window
