"""What ships is what the generators make, and training text gives no task item away."""

import json
import random

import pytest

from pipeline.calibration.local import BUILTIN_CORPORA
from pipeline.calibration.overlap import overlap
from pipeline.reference.export import save_corpus, save_task
from pipeline.reference.items import training_items
from pipeline.reference.vocabulary import VOCABULARY, save_tokenizer, token_ids
from pipeline.registry import FAMILIES
from pipeline.tasks import BUILTIN_TASKS, find


def shipped_corpus():
    lines = (BUILTIN_CORPORA / "reasoning.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_shipped_task_is_generated_byte_for_byte(tmp_path, name):
    save_task(name, FAMILIES.load(name), tmp_path)
    for ending in ("yaml", "jsonl"):
        file = f"{name}.{ending}"
        assert (tmp_path / file).read_bytes() == (BUILTIN_TASKS / file).read_bytes()


def test_the_shipped_corpus_is_generated_byte_for_byte(tmp_path):
    save_corpus(tmp_path / "corpus.jsonl")
    shipped = BUILTIN_CORPORA / "reasoning.jsonl"
    assert (tmp_path / "corpus.jsonl").read_bytes() == shipped.read_bytes()


def test_no_shipped_task_item_stands_in_the_corpus():
    corpus = shipped_corpus()
    joined = "\n".join(f" {text} " for text in corpus)
    for name in FAMILIES:
        task = find(name)
        prompts = [task.text(item) for item in task.items()]
        assert not [prompt for prompt in prompts if f" {prompt} " in joined]
        assert overlap(corpus, prompts, 24).documents == ()


def test_the_corpus_holds_all_families_in_equal_numbers_and_in_the_language():
    corpus = shipped_corpus()
    first_words = {}
    for name in FAMILIES:
        item = next(training_items(FAMILIES.load(name), random.Random(0)))
        first_words[item.prompt.split()[0]] = 0
    for text in corpus:
        token_ids(text)
        first_words[text.split()[0]] += 1
    assert set(first_words.values()) == {len(corpus) // len(FAMILIES)}


def test_the_tokenizer_writes_and_reads_the_language(tokenizer, tmp_path):
    text = "let a = 3 ; f = a + 4 ; f ?"
    assert tokenizer(text).input_ids == [1, *token_ids(text)]
    assert tokenizer.decode(token_ids(text)) == text
    assert tokenizer("hello").input_ids == [1, 3]
    assert len(set(VOCABULARY)) == len(VOCABULARY) == tokenizer.vocab_size
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    for place in ("a", "b"):
        save_tokenizer(tmp_path / place)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_word_outside_the_language_is_an_error():
    with pytest.raises(KeyError):
        token_ids("let it be")
