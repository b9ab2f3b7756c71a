"""Turn a corpus into token windows, and refuse one that gives evaluation items away."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline import tasks
from pipeline.calibration.overlap import Overlap, overlap
from pipeline.config.calibration import Corpus
from pipeline.digest import of_bytes
from pipeline.errors import UserError
from pipeline.registry import CORPORA


def extract(
    corpus: Corpus, tokenizer: Any, task_names: Sequence[str]
) -> tuple[dict[str, list], dict[str, Any]]:
    """(columns of tables.sequences.SEQUENCES, body of CORPUS).

    Documents are tokenized with the model's own special tokens (an end token is added where the
    tokenizer has one) and cut into windows of `sequence_length`; windows of one token are dropped.
    Stops with the document that reaches `tokens`. Raises UserError when nothing is left, or when
    the corpus shares documents or n-grams with the tasks and the configuration does not allow it.
    """
    used: list[str] = []
    columns: dict[str, list] = {"sequence": [], "document": [], "tokens": []}
    total = 0
    commit, documents = _documents(corpus)
    for text in documents:
        used.append(text)
        for window in _windows(tokenizer, text, corpus.sequence_length):
            columns["sequence"].append(len(columns["sequence"]))
            columns["document"].append(of_bytes(text.encode()))
            columns["tokens"].append(window)
            total += len(window)
        if total >= corpus.tokens:
            break
    if not columns["tokens"]:
        raise UserError(
            f"calibration corpus {corpus.source!r}: {len(used)} documents, none long enough for "
            "one sequence of two tokens; give more text or another field"
        )
    found = _overlap_with_tasks(used, task_names, corpus)
    return columns, {
        "commit": commit,
        "documents": len(used),
        "sequences": len(columns["tokens"]),
        "tokens": total,
        "overlap_ngram": corpus.overlap_ngram,
        "shared_documents": len(found.documents),
        "shared_ngrams": len(found.ngrams),
        "allowed": bool(found.documents or found.ngrams),
    }


def _documents(corpus: Corpus) -> tuple[str | None, Iterator[str]]:
    """(commit, texts at that commit); no commit for what has none."""
    name, _, where = corpus.source.partition(":")
    kind = CORPORA.load(name)
    commit = kind.commit(where, corpus)
    pinned = corpus.model_copy(update={"revision": commit}) if commit else corpus
    return commit, kind.documents(where, pinned)


def _windows(tokenizer: Any, text: str, length: int) -> Iterator[list[int]]:
    ids = tokenizer(text)["input_ids"]
    if tokenizer.eos_token_id is not None and (not ids or ids[-1] != tokenizer.eos_token_id):
        ids = [*ids, tokenizer.eos_token_id]
    for start in range(0, len(ids), length):
        window = ids[start : start + length]
        if len(window) > 1:
            yield window


def _overlap_with_tasks(used: list[str], names: Sequence[str], corpus: Corpus) -> Overlap:
    prompts, origin = [], []
    for task in map(tasks.find, names):
        for index, item in enumerate(task.items()):
            prompts.append(task.question(item))
            origin.append((task.name, index))
    found = overlap(used, prompts, corpus.overlap_ngram)
    if (found.documents or found.ngrams) and not corpus.allow_overlap:
        first = (found.documents + found.ngrams)[0]
        raise UserError(
            f"calibration corpus {corpus.source!r} shares {len(found.documents)} whole prompts and "
            f"{len(found.ngrams)} runs of {corpus.overlap_ngram} words with the evaluation tasks; "
            f"for example item {origin[first][1]} of {origin[first][0]}: {prompts[first]!r}. Use "
            "another corpus, or set allow_overlap: true, which the report will show"
        )
    return found
