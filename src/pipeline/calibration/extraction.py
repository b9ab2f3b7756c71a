"""Turn a corpus into token windows, and refuse one that gives evaluation items away.

The work on one document depends on no other document, so jobs may share it: each takes blocks of
documents in turn. What no job has come to is made up for when all is put together, so the result
depends neither on their number nor on how far each got.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import tasks
from pipeline.calibration.overlap import Items, Overlap, together
from pipeline.config.calibration import Corpus
from pipeline.digest import of_bytes
from pipeline.errors import UserError
from pipeline.numbers import percent
from pipeline.registry import CORPORA

#: Documents that a job takes at a time.
BLOCK_DOCUMENTS = 64
#: Characters of a longer document that are tokenized at first; twice as many as long as their
#: tokens are too few.
_PART = 1 << 16
#: Tokens at the end of a part that are not used, since what follows may change them.
_MARGIN = 16
#: Largest share of a corpus' tokens that the tokenizer may not know.
MOST_UNKNOWN = 0.1


@dataclass(frozen=True)
class Document:
    """One document's digest, its tokens as far as the corpus can use them, and the evaluation items
    that the text read for them gives away."""

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
    tokenizer has one) and cut into windows of `sequence_length`; windows of one token, and those of
    nothing but start and end tokens, are dropped. Stops with the window that reaches `tokens`. Of a
    document much longer than that only the beginning is tokenized, up to white space where there is
    some near, and searched for overlap; its last tokens may differ by one from those of the whole.
    `shards` are rows that `read_shard` made of some of the documents. Raises UserError when nothing
    is left, when the tokenizer does not know more than a tenth of the tokens, when the corpus
    shares documents or n-grams with the tasks and the configuration does not allow it, or when the
    shards are of another text.
    """
    prompts = _Prompts(task_names, corpus)
    markers = _markers(tokenizer)
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
        for window in _windows(made.tokens, corpus.sequence_length, markers):
            if total >= corpus.tokens:
                break
            columns["sequence"].append(len(columns["sequence"]))
            columns["document"].append(made.document)
            columns["tokens"].append(window)
            total += len(window)
        if total >= corpus.tokens:
            break
    if not columns["tokens"]:
        raise UserError(
            f"calibration corpus {corpus.source!r}: {len(shared)} documents, none long enough for "
            "one sequence of two tokens, not counting those that have start and end tokens alone; "
            "give more text or another field"
        )
    unknown = _unknown_share(columns["tokens"], tokenizer, markers)
    if unknown > MOST_UNKNOWN:
        raise UserError(
            f"calibration corpus {corpus.source!r}: the model's tokenizer does not know "
            f"{percent(unknown)} of the tokens, and at most {percent(MOST_UNKNOWN, 0)} is allowed; "
            "give text in the language and the script that the model was made for"
        )
    found = together(shared)
    prompts.refuse(found)
    return columns, {
        "commit": commit,
        "documents": len(shared),
        "sequences": len(columns["tokens"]),
        "tokens": total,
        "unknown_share": unknown,
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
            "another corpus, a larger overlap_ngram where such runs are common, or allow_overlap: "
            "true, which the report will show"
        )


def _documents(corpus: Corpus) -> tuple[str | None, Iterator[str]]:
    """(commit, texts at that commit); no commit for what has none."""
    name, _, where = corpus.source.partition(":")
    kind = CORPORA.load(name)
    commit = kind.commit(where, corpus)
    pinned = corpus.model_copy(update={"revision": commit}) if commit else corpus
    return commit, kind.documents(where, pinned)


def _read(text: str, tokenizer: Any, prompts: _Prompts) -> Document:
    length = prompts.corpus.sequence_length
    most = -(-prompts.corpus.tokens // length) * length
    part, ids = _beginning(text, tokenizer, most)
    return Document(of_bytes(text.encode()), ids, prompts.items.shared(part))


def _beginning(text: str, tokenizer: Any, most: int) -> tuple[str, list[int]]:
    """(the text as far as it was tokenized, its first `most` tokens or, if it has fewer, all)."""
    size = _PART
    while size < len(text):
        # Before white space if there is some in the second half; if not, the margin has the cut.
        space = max(text.rfind(mark, size // 2, size) for mark in " \n")
        part = text[: space if space > 0 else size]
        ids = list(tokenizer(part)["input_ids"])
        if len(ids) >= most + _MARGIN:
            return part, ids[:most]
        size *= 2
    ids = list(tokenizer(text)["input_ids"])
    if tokenizer.eos_token_id is not None and (not ids or ids[-1] != tokenizer.eos_token_id):
        ids.append(tokenizer.eos_token_id)
    return text, ids[:most]


def _markers(tokenizer: Any) -> set[int]:
    """Special tokens that no text stands behind: all but the one for what is unknown, unless the
    tokenizer has that serve as another, too, and so does not know the unknown."""
    unknown = tokenizer.unk_token_id
    others = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return set(tokenizer.all_special_ids) - ({unknown} - set(others))


def _unknown_share(windows: Sequence[Sequence[int]], tokenizer: Any, markers: set[int]) -> float:
    """Share of the tokens that stand for what the tokenizer does not know; markers do not count."""
    found = Counter(token for window in windows for token in window)
    total = sum(count for token, count in found.items() if token not in markers)
    unknown = tokenizer.unk_token_id
    return 0.0 if unknown in markers else found[unknown] / total


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


def _windows(ids: Sequence[int], length: int, markers: set[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), length):
        window = list(ids[start : start + length])
        if len(window) > 1 and not markers.issuperset(window):
            yield window
