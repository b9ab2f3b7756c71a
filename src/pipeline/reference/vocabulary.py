"""The word-level vocabulary of the built-in language and its Hugging Face tokenizer."""

from pathlib import Path

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
DIGITS = tuple("0123456789")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
SYMBOLS = ("+", "-", "*", "=", ">", ",", ";", "?", "#")
WORDS = (
    "add", "let", "bool", "hop", "copy", "track", "sort", "recite", "and", "or", "xor", "T", "F",
)  # fmt: skip
#: Words of families/prose.py.
PROSE = (
    "the", "this", "one", "it", "them", "he", "she", "at", "again", "because", "is", "was", ".",
    "miller", "king", "baker", "uncle", "boy", "monk",
    "queen", "widow", "nurse", "aunt", "girl", "witch",
    "old", "young", "kind", "proud", "tired", "clever",
    "grey", "small", "heavy", "golden", "broken", "lost",
    "two", "three", "four", "many",
    "river", "mill", "market", "forest", "bridge", "tower", "garden", "road",
    "near", "behind", "in", "under", "night", "dawn", "noon",
    "goose", "geese", "horse", "horses", "lamb", "lambs", "fox", "foxes", "apple", "apples",
    "lamp", "lamps", "basket", "baskets", "letter", "letters", "boat", "boats", "coin", "coins",
    "sees", "saw", "finds", "found", "sells", "sold", "hides", "hid", "carries", "carried",
    "loses", "wants", "wanted", "brings", "brought",
)  # fmt: skip
VOCABULARY = SPECIAL + DIGITS + LETTERS + SYMBOLS + WORDS + PROSE
PAD, BOS, EOS, UNK = range(4)


def token_ids(text: str) -> list[int]:
    """Ids of the space-separated words of `text`; KeyError for a word outside the language."""
    return [_IDS[word] for word in text.split()]


def save_tokenizer(folder: Path) -> None:
    """Write a fast tokenizer that puts <bos> before every text and decodes to spaced words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(dict(_IDS), unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", BOS)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


_IDS = {word: index for index, word in enumerate(VOCABULARY)}
