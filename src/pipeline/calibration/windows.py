"""Texts as windows of tokens, as a model reads them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipeline.errors import UserError

#: How many characters of a longer document are tokenized at first; doubled as long as they give too
#: few tokens.
PART = 1 << 16
#: Tokens at the end of a part that are not used, since what follows may change them.
_MARGIN = 16
#: Largest share of a corpus' tokens that the tokenizer may not know.
MOST_UNKNOWN = 0.1


def windows_of(
    texts: Sequence[str], tokenizer: Any, length: int, tokens: int, name: str
) -> list[list[int]]:
    """Token windows of the texts, in their order: the sequences that `extraction.extract` makes of
    a corpus of the same texts. `name` is what errors call them; the errors are those of `check`."""
    markers = markers_of(tokenizer)
    most = -(-tokens // length) * length
    documents = (beginning(text, tokenizer, most)[1] for text in texts)
    windows = [window for _, window in cut(documents, length, tokens, markers)]
    check(windows, len(texts), tokenizer, markers, name)
    return windows


def cut(
    documents: Iterable[Sequence[int]], length: int, tokens: int, markers: set[int]
) -> Iterator[tuple[int, list[int]]]:
    """(number of the document, window) of documents given as tokens.

    Windows of one token, and those of nothing but `markers`, are dropped. Stops with the window
    that reaches `tokens`, and asks for no document after that.
    """
    total = 0
    for number, ids in enumerate(documents):
        for window in _windows(ids, length, markers):
            yield number, window
            total += len(window)
            if total >= tokens:
                return


def beginning(text: str, tokenizer: Any, most: int) -> tuple[int, list[int]]:
    """(how many characters were tokenized, the first `most` tokens or, if there are fewer, all).

    The model's own special tokens are among them, and an end token is added where the tokenizer has
    one but does not add it itself.
    """
    size = PART
    while size < len(text):
        # Cut before white space if there is some in the second half; otherwise the margin of unused
        # tokens absorbs the cut.
        space = max(text.rfind(mark, size // 2, size) for mark in " \n")
        part = text[: space if space > 0 else size]
        ids = list(tokenizer(part)["input_ids"])
        if len(ids) >= most + _MARGIN:
            return len(part), ids[:most]
        size *= 2
    ids = list(tokenizer(text)["input_ids"])
    if tokenizer.eos_token_id is not None and (not ids or ids[-1] != tokenizer.eos_token_id):
        ids.append(tokenizer.eos_token_id)
    return len(text), ids[:most]


def markers_of(tokenizer: Any) -> set[int]:
    """Special tokens that stand for no text: all but the one for unknown text, unless the tokenizer
    uses that token for another purpose as well and so cannot mark what is unknown."""
    unknown = tokenizer.unk_token_id
    others = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return set(tokenizer.all_special_ids) - ({unknown} - set(others))


def check(
    windows: Sequence[Sequence[int]],
    documents: int,
    tokenizer: Any,
    markers: set[int],
    name: str,
) -> float:
    """The share of tokens that stand for what the tokenizer does not know; markers do not count.

    Raises UserError where so many documents gave no window, or where that share is above a tenth.
    """
    if not windows:
        raise UserError(
            f"{name}: {documents} documents, none of which gives a sequence of two tokens that are "
            "not all start and end tokens; give more text or another field"
        )
    unknown = _unknown_share(windows, tokenizer, markers)
    if unknown > MOST_UNKNOWN:
        raise UserError(
            f"{name}: the model's tokenizer does not know {unknown:.1%} of the tokens, and at most "
            f"{MOST_UNKNOWN:.0%} is allowed; give text in the language and the script that the "
            "model was made for"
        )
    return unknown


def _unknown_share(windows: Sequence[Sequence[int]], tokenizer: Any, markers: set[int]) -> float:
    counts = Counter(token for window in windows for token in window)
    total = sum(count for token, count in counts.items() if token not in markers)
    unknown = tokenizer.unk_token_id
    return 0.0 if unknown in markers else counts[unknown] / total


def _windows(ids: Sequence[int], length: int, markers: set[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), length):
        window = list(ids[start : start + length])
        if len(window) > 1 and not markers.issuperset(window):
            yield window
