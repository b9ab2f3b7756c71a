"""A model's tokenizer: read, made to leave texts open at their end, and checked against the
model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.models.source import reading

#: What is encoded to see which tokens a tokenizer puts around a text.
_PROBE = "a 1"


def read(folder: Path, trust_remote_code: bool) -> Any:
    """The folder's tokenizer as it stands there; UserError where none can be read."""
    from transformers import AutoTokenizer

    with reading(folder, "its tokenizer"):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)


def ready(tokenizer: Any) -> Any:
    """The same tokenizer, made to pad with its end token where it has no padding token, and to put
    nothing after a text, where prompts, choices and documents go on. What it puts before a text
    stays. UserError where that is not possible."""
    _leave_open(tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _leave_open(tokenizer: Any) -> None:
    before, behind = _around(tokenizer)
    if not behind:
        return
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        tokenizer.add_eos_token = False
    else:
        from tokenizers.processors import TemplateProcessing

        named = list(zip(tokenizer.convert_ids_to_tokens(before), before, strict=True))
        backend.post_processor = TemplateProcessing(
            single=[*(token for token, _ in named), "$A"], special_tokens=list(dict(named).items())
        )
    if _around(tokenizer) != (before, []):
        raise UserError(
            f"the tokenizer puts {tokenizer.convert_ids_to_tokens(behind)} after every text, "
            "where prompts must go on, and cannot be told not to; save it with add_eos_token: false"
        )


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens that the tokenizer puts before and after a text."""
    plain = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
    whole = tokenizer(_PROBE)["input_ids"]
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return list(whole[:start]), list(whole[start + len(plain) :])
    raise UserError(
        f"the tokenizer encodes {_PROBE!r} as {whole} with its special tokens and as {plain} "
        "without, so what it puts around a text cannot be determined; give another tokenizer"
    )


def encode(tokenizer: Any, text: str, special: bool | None = None) -> list[int]:
    """A text's tokens. `special` says whether to add those that the tokenizer puts before a text;
    None adds them unless the text itself begins with the start token (or with the end token, where
    there is no start token)."""
    if special is None:
        special = not text.startswith(tokenizer.bos_token or tokenizer.eos_token)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=special)
    return ids


def end_tokens(tokenizer: Any, generation_config: Any) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's end token, and those that the model's folder
    names, if they are special tokens (where the folder names none, transformers fills in a number
    of its own, which may be any token)."""
    named = getattr(generation_config, "eos_token_id", None)
    several = named if isinstance(named, list | tuple) else [named]
    return frozenset({tokenizer.eos_token_id, *_special(tokenizer).intersection(several)})


def _special(tokenizer: Any) -> set[int]:
    return {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}


def check(tokenizer: Any, ends: Sequence[Any], embeddings: int) -> None:
    """UserError unless the tokenizer fits a model with so many embeddings, an end token is known,
    and the `ends` that the model's folder names are special tokens."""
    vocabulary = tokenizer.get_vocab()
    if not vocabulary:
        raise UserError("the tokenizer knows no tokens; give the one that the model was made with")
    last, number = max(vocabulary.items(), key=lambda entry: entry[1])
    if number >= embeddings:
        raise UserError(
            f"the tokenizer has tokens up to number {number} ({last!r}), and the model has "
            f"{embeddings} embeddings, so tokens up to {embeddings - 1}; give the tokenizer that "
            "the model was made with, or the model more embeddings (resize_token_embeddings)"
        )
    if tokenizer.eos_token_id is None:
        raise UserError(
            "the tokenizer has no end token, at which answers and documents end; name one in "
            "tokenizer_config.json (eos_token)"
        )
    wrong = [end for end in ends if type(end) is not int or end not in _special(tokenizer)]
    if wrong:
        raise UserError(
            f"the model's folder names {wrong} as the end of an answer (eos_token_id in "
            "generation_config.json or config.json), which is not a special token of its "
            f"tokenizer; name special tokens, as {tokenizer.eos_token_id} "
            f"({tokenizer.eos_token!r}) is"
        )
