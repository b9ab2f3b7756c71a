"""Tokenizers: nothing stands behind a text, every token has an embedding, an end is known."""

import json
import shutil

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import GenerationConfig

from pipeline.errors import UserError
from pipeline.models import tokens
from pipeline.reference.vocabulary import BOS, EOS, PAD, VOCABULARY, save_tokenizer


@pytest.fixture
def folder(tmp_path):
    save_tokenizer(tmp_path)
    return tmp_path


@pytest.fixture
def made(folder):
    """A function that reads the tokenizer again, with other special tokens around a text."""

    def read(single=None):
        found = tokens.read(folder, False)
        if single:
            special = [("<bos>", BOS), ("<eos>", EOS), ("<pad>", PAD)]
            found.backend_tokenizer.post_processor = TemplateProcessing(
                single=single, special_tokens=special
            )
        return found

    return read


def test_a_tokenizer_that_puts_nothing_behind_a_text_stays_as_it_is(made):
    before = made().backend_tokenizer.to_str()
    assert tokens.ready(made()).backend_tokenizer.to_str() == before


@pytest.mark.parametrize(
    ("single", "before"),
    [
        ("<bos> $A <eos>", [BOS]),
        ("$A <eos>", []),
        ("<bos> <pad> $A <eos> <pad>", [BOS, PAD]),
    ],
)
def test_what_stands_behind_a_text_is_left_out_and_what_stands_before_it_stays(
    made, single, before
):
    ready = tokens.ready(made(single))
    text = "let a = 3 ; a ?"
    words = ready.convert_tokens_to_ids(text.split())
    assert ready(text).input_ids == [*before, *words]
    assert ready.encode(text) == tokens.encode(ready, text) == [*before, *words]
    assert ready([text, "a"], padding=True).input_ids[0] == [*before, *words]
    assert ready("").input_ids == before
    assert ready(text, add_special_tokens=False).input_ids == words


def test_an_end_token_that_the_settings_ask_for_is_left_out_too(made):
    own = made()
    own.add_bos_token = own.add_eos_token = True
    assert own("a").input_ids[-1] == EOS
    ready = tokens.ready(own)
    assert ready("a b").input_ids == [BOS, *ready.convert_tokens_to_ids(["a", "b"])]


def test_the_start_token_is_put_before_a_text_that_does_not_bring_it(made):
    ready = tokens.ready(made())
    (word,) = ready.convert_tokens_to_ids(["a"])
    assert tokens.encode(ready, "a") == [BOS, word]
    assert tokens.encode(ready, "<bos> a") == [BOS, word]
    assert tokens.encode(ready, "a", special=False) == [word]
    assert tokens.encode(ready, "<bos> a", special=True) == [BOS, BOS, word]


def test_lengths_that_a_tokenizer_brings_cut_and_pad_nothing(folder):
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    values["truncation"] = {
        "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    values["padding"] = {
        "strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    path.write_text(json.dumps(values))
    ready = tokens.ready(tokens.read(folder, False))
    assert len(ready("let a = 3 ; a ?").input_ids) == len(ready.encode("let a = 3 ; a ?")) == 8


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": {}}', '{"version": 1' + "0" * 5000])
def test_a_damaged_tokenizer_is_told_in_one_line(folder, text):
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(UserError, match="its tokenizer cannot be read") as refused:
        tokens.read(folder, False)
    assert "\n" not in str(refused.value)


def test_tokens_have_embeddings_and_more_embeddings_are_fine(made):
    known = len(VOCABULARY)
    found = made()
    tokens.check(found, [EOS], known)
    tokens.check(found, [EOS], known + 7)
    said = rf"up to number {known - 1} .* the model has {known - 1} embeddings"
    with pytest.raises(UserError, match=said):
        tokens.check(found, [EOS], known - 1)
    found.add_tokens(["alpha", "beta"])
    with pytest.raises(UserError, match=rf"up to number {known + 1} \('beta'\)"):
        tokens.check(found, [EOS], known)


def test_an_end_token_must_be_known(made):
    found = made()
    found.eos_token = None
    with pytest.raises(UserError, match=r"has no end token, .* \(eos_token\)"):
        tokens.check(found, [], len(VOCABULARY))


@pytest.mark.parametrize("end", [50, 10_000, -1, "2", True])
def test_an_end_of_answers_is_a_special_token(made, end):
    with pytest.raises(UserError, match=r"names \[.*\] as the end of an answer"):
        tokens.check(made(), [EOS, end], len(VOCABULARY))
    tokens.check(made(), [EOS, PAD], len(VOCABULARY))


def test_answers_end_at_the_tokenizers_end_and_at_special_tokens_that_the_folder_names(made):
    def found(named):
        return tokens.end_tokens(made(), GenerationConfig(eos_token_id=named))

    assert found(None) == {EOS}
    assert found(EOS) == {EOS}
    assert found([EOS, BOS]) == {EOS, BOS}
    # As where the folder names none, and the configuration's class has a number of its own.
    assert found(50) == {EOS}


def test_the_tokenizer_in_the_folder_is_not_touched(folder, made, tmp_path):
    shutil.copytree(folder, tmp_path / "before")
    tokens.ready(made("<bos> $A <eos>"))
    for path in (tmp_path / "before").iterdir():
        if path.is_file():
            assert path.read_bytes() == (folder / path.name).read_bytes()
