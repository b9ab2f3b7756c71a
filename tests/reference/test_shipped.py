"""What ships is what the generators make, and training text gives no task item away."""

import hashlib
import itertools
import json
import random
from collections import Counter

import pytest
import yaml

from pipeline.calibration.local import BUILTIN_CORPORA
from pipeline.calibration.overlap import overlap
from pipeline.models.source import BUILTIN_MODELS
from pipeline.reference.export import CORPORA, TASKS, held_out_items, save_corpus, save_task
from pipeline.reference.items import training_items
from pipeline.reference.recipes import RECIPES
from pipeline.reference.vocabulary import VOCABULARY, save_tokenizer, token_ids
from pipeline.registry import FAMILIES
from pipeline.store.digest import SOURCE_ROOT
from pipeline.tables.training import CARD
from pipeline.tasks.task import BUILTIN_TASKS, find

#: Tasks that score texts, which have no right answers.
TEXTS = {"prose", "worked_examples"}


def shipped_corpus(name):
    lines = (BUILTIN_CORPORA / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_shipped_task_is_generated_byte_for_byte(tmp_path, name):
    save_task(name, tmp_path)
    for ending in ("yaml", "jsonl"):
        file = f"{name}.{ending}"
        assert (tmp_path / file).read_bytes() == (BUILTIN_TASKS / file).read_bytes()


def test_no_other_task_and_no_other_corpus_ships():
    assert {path.stem for path in BUILTIN_TASKS.iterdir()} == set(TASKS)
    assert {path.stem for path in BUILTIN_CORPORA.iterdir()} == set(CORPORA)


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_a_shipped_corpus_is_generated_byte_for_byte(tmp_path, name):
    save_corpus(name, tmp_path / "corpus.jsonl")
    shipped = BUILTIN_CORPORA / f"{name}.jsonl"
    assert (tmp_path / "corpus.jsonl").read_bytes() == shipped.read_bytes()


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_a_corpus_has_100_000_tokens_in_the_language_and_gives_no_item_away(name):
    corpus = shipped_corpus(name)
    assert sum(len(token_ids(text)) for text in corpus) > 100_000
    joined = "\n".join(f" {text} " for text in corpus)
    for task in map(find, TASKS):
        questions = [task.question(item) for item in task.items()]
        assert not [question for question in questions if f" {question} " in joined]
        assert overlap(corpus, questions, 32) == overlap([], questions, 32)


def test_the_reasoning_corpus_holds_all_families_but_prose_in_equal_numbers():
    corpus = shipped_corpus("reasoning")
    counts = {}
    for text in corpus:
        first = text.split()[0]
        counts[first] = counts.get(first, 0) + 1
    # bool and let begin both forms of their family.
    shares = [counts.pop("bool") / 2, counts.pop("let") / 2, *counts.values()]
    assert len(shares) == len(FAMILIES) - 3 and max(shares) - min(shares) <= 1
    assert len(corpus) == CORPORA["reasoning"]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_no_item_is_in_training_text_by_hash_or_by_structure(name):
    """The shipped items are those of the generator (above); their structures are drawn anew."""
    evaluated = held_out_items(name)
    asked = {find(name).question(item) for item in find(name).items()}
    drawn = {item.prompt or item.answer for item in evaluated}
    # A text holds the answer after the prompt.
    assert asked == drawn or all(any(text.startswith(d) for d in drawn) for text in asked)
    structures = {item.structure for item in evaluated}
    hashes = {hashlib.sha256(text.encode()).hexdigest() for text in drawn}
    own = {family.split("_")[0] for family in TASKS[name].families}
    for other in (other for other in FAMILIES if other.split("_")[0] in own):
        stream = training_items(FAMILIES.load(other), random.Random(1))
        for item in itertools.islice(stream, 20_000):
            assert item.structure not in structures
            assert hashlib.sha256((item.prompt or item.answer).encode()).hexdigest() not in hashes


def test_choices_hold_the_right_one_once_and_its_place_tells_nothing():
    for name, count in (("boolean_choice", 2), ("chain_choice", 4)):
        task = find(name)
        places = {}
        for item in task.items():
            choices, right = task.choices(item)
            assert len(set(choices)) == len(choices) == count
            places.setdefault(item["steps"], []).append(right)
        for steps, given in places.items():
            most = max(given.count(place) for place in range(count))
            assert most / len(given) < 1 / count + (0.26 if len(given) < 100 else 0.15), steps


def test_a_liking_for_one_choice_is_worth_little_more_than_a_guess():
    items = find("chain_choice").items()
    for steps in (1, 2):
        own = [item for item in items if item["steps"] == steps]
        right = [item["choices"][item["right"]] for item in own]
        for digit in "0123456789":
            # Whoever likes this digit most picks it where it stands, and guesses elsewhere.
            worth = sum(
                answer == digit if digit in item["choices"] else 0.25
                for item, answer in zip(own, right, strict=True)
            )
            assert worth / len(own) < 0.32, (steps, digit)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_first_items_are_of_different_structure(name):
    """Two items of one structure are hardly two measurements."""
    drawn = {(item.family, item.structure) for item in held_out_items(name)[:350]}
    assert len(drawn) == 350


def test_the_held_out_worked_examples_are_of_all_reasoning_families_in_equal_numbers():
    families = Counter(item.family for item in held_out_items("worked_examples"))
    assert set(families) == {name for name in FAMILIES if FAMILIES.load(name).reasoning}
    assert max(families.values()) - min(families.values()) <= 1


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_backbone_ships_small_and_with_a_card(name):
    folder = BUILTIN_MODELS / name
    assert (folder / "model.safetensors").stat().st_size < 6e6
    facts = CARD.read(folder / "card.json")
    assert facts["model"] == name and 400_000 < facts["parameters"] < 3_000_000
    text = (folder / "README.md").read_text()
    assert f"# {name}" in text and "token positions seen, on " in text
    assert {row["task"] for row in facts["dense"]} == set(TASKS) - TEXTS
    assert set(facts["log_perplexity"]) == TEXTS


def accuracies(name):
    """Dense accuracy of a backbone by reasoning task."""
    facts = CARD.read(BUILTIN_MODELS / name / "card.json")
    whole = (row for row in facts["dense"] if row["reasoning"] and row["steps"] is None)
    return {row["task"]: row["accuracy"] for row in whole}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_backbone_reasons_and_breaks_where_reasoning_breaks(name):
    written = [a for task, a in accuracies(name).items() if "_" not in task]
    assert len(written) >= 5 and min(written) >= 0.6
    assert sum(accuracy >= 0.9 for accuracy in written) >= 4
    hardest = {}
    for row in CARD.read(BUILTIN_MODELS / name / "card.json")["dense"]:
        if row["reasoning"] and row["steps"] is not None:
            hardest[row["task"]] = row["accuracy"]
    assert sum(accuracy < 0.99 for accuracy in hardest.values()) >= 2


def test_the_default_studys_backbones_can_do_its_tasks():
    study = yaml.safe_load((SOURCE_ROOT.parent / "config.yaml").read_text())
    for name in study["models"]:
        able = accuracies(name)
        asked = [able[task] for task in study["evaluation"]["tasks"] if task in able]
        assert len(asked) >= 5 and min(asked) >= 0.6


def test_the_relu_backbone_with_a_pull_is_colder_than_any_other():
    cards = {name: CARD.read(BUILTIN_MODELS / name / "card.json") for name in RECIPES}
    sparsity = {name: facts["natural_sparsity"] for name, facts in cards.items()}
    assert sparsity["ref-reglu"] >= 0.9 and max(sparsity, key=sparsity.get) == "ref-reglu"


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
        token_ids("let it burn")
