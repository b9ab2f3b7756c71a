"""Contract of every task family: parsable items, right answers, right steps, a kept split."""

import itertools
import random

import pytest

from pipeline.reference.families.reciting import VERSES
from pipeline.reference.items import Family, Item, evaluation_items, held_out, training_items
from pipeline.reference.vocabulary import SPECIAL, VOCABULARY, token_ids
from pipeline.registry import FAMILIES


def addition(words):
    plus = words.index("+")
    left, right = words[1:plus], words[plus + 1 : -1]
    total = str(int("".join(left)) + int("".join(right))).zfill(len(left))
    return " ".join(total), len(left)


def boolean(words):
    table = {"and": {"TT"}, "or": {"TT", "TF", "FT"}, "xor": {"TF", "FT"}}
    value, rest = words[1], words[2:-1]
    for operator, operand in zip(rest[::2], rest[1::2], strict=True):
        value = "T" if value + operand in table[operator] else "F"
    return value, len(rest) // 2


def chain(words):
    *given, asked = " ".join(words[1:-1]).split(" ; ")
    values, operations = {}, 0
    for line in given:
        name, _, *expression = line.split()
        if len(expression) == 3:
            operations += 1
            expression[0] = str(values[expression[0]])
        values[name] = eval("".join(expression)) % 10
    return str(values[asked]), operations


def copying(words):
    return " ".join(words[1:-1]), 0


def multihop(words):
    links, start = " ".join(words[1:-1]).split(" ; ")
    follow = dict(link.split() for link in links.split(" , "))
    hops = 0
    while start in follow:
        start, hops = follow[start], hops + 1
    return start, hops


def tracking(words):
    start, *swaps, asked = " ".join(words[1:-1]).split(" ; ")
    pairs = start.split()
    held = dict(zip(pairs[::2], pairs[1::2], strict=True))
    for one, other in map(str.split, swaps):
        held[one], held[other] = held[other], held[one]
    return held[asked], len(swaps)


def sorting(words):
    return " ".join(sorted(words[1:-1])), len(words) - 2


def boolean_direct(words):
    return boolean(words[:-1])


def chain_direct(words):
    return chain(words[:-1])


def reciting(words):
    return " ".join(VERSES[letter] for letter in words[1:-1]), 0


ORACLES = {
    f.__name__: f
    for f in (
        addition, boolean, boolean_direct, chain, chain_direct, copying, multihop, reciting,
        sorting, tracking,
    )
}  # fmt: skip


@pytest.fixture(params=sorted(FAMILIES))
def family(request):
    return FAMILIES.load(request.param)


def items(family, seed=0, each=20):
    rng = random.Random(seed)
    return [family.draw(rng, size) for size in family.sizes for _ in range(each)]


def test_a_family_is_registered_under_its_own_name(family):
    assert FAMILIES.load(family.name) is family
    assert {item.family for item in items(family, each=1)} == {family.name}


def test_items_are_words_of_the_language_without_special_ones(family):
    special = set(range(len(SPECIAL)))
    for item in items(family):
        assert not special & {*token_ids(item.prompt), *token_ids(item.answer)}


def test_every_word_of_the_language_is_used():
    drawn = [item for name in FAMILIES for item in items(FAMILIES.load(name), each=150)]
    used = {word for item in drawn for word in f"{item.prompt} {item.answer}".split()}
    assert used == set(VOCABULARY) - set(SPECIAL)


def test_an_answer_is_its_target_after_the_one_mark_of_the_item(family):
    for item in items(family):
        assert item.target == item.target.strip() != ""
        marks = 0 if family.name == "prose" else 1
        assert f"{item.prompt} {item.answer}".split().count("#") == marks
        if not marks or family.name.endswith("_direct"):
            assert item.answer == item.target
        else:
            assert f" {item.answer}".endswith(f" # {item.target}")


def test_targets_and_steps_are_those_of_an_independent_solver(family):
    if family.name == "prose":
        return  # A story has no answer.
    for item in items(family, each=50):
        assert ORACLES[family.name](item.prompt.split()) == (item.target, item.steps), item


def test_steps_are_the_size_for_reasoning_and_none_for_controls(family):
    rng = random.Random(5)
    for size in family.sizes:
        assert family.draw(rng, size).steps == (size if family.reasoning else 0)


def test_equal_seeds_draw_equal_items(family):
    assert items(family, seed=3) == items(family, seed=3) != items(family, seed=4)


def test_training_items_are_never_held_out_and_evaluation_items_always(family):
    trained = list(itertools.islice(training_items(family, random.Random(0)), 2000))
    evaluated = evaluation_items(family, random.Random(1), 60)
    assert len({(item.prompt, item.answer) for item in evaluated}) == 60
    assert all(held_out(item.structure) for item in evaluated)
    assert not any(held_out(item.structure) for item in trained)


ALIKE = {
    "addition": lambda w: ["add", *w[w.index("+") + 1 : -1], "+", *w[1 : w.index("+")], "="],
    "chain": lambda w: [{"a": "b", "b": "a"}.get(word, word) for word in w],
    "multihop": lambda w: f"hop {' , '.join(reversed(links(w)))} ; {w[-2]} ?".split(),
    "sorting": lambda w: ["sort", *reversed(w[1:-1]), "="],
    "tracking": lambda w: [w[0], *w[3:7], *w[1:3], *w[7:]],
}


def links(words):
    return " ".join(words[1:-1]).split(" ; ")[0].split(" , ")


@pytest.mark.parametrize("name", sorted(ALIKE))
def test_questions_that_differ_in_what_does_not_matter_are_one_structure(name, monkeypatch):
    """Draws until a question comes up again in another order or with other names."""
    family = FAMILIES.load(name)
    rng, structures, met = random.Random(3), {}, 0
    for _ in range(60_000):
        item = family.draw(rng, family.sizes[0])
        other = structures.get(" ".join(ALIKE[name](item.prompt.split())))
        if other is not None:
            assert other == item.structure
            met += 1
        structures[item.prompt] = item.structure
    assert met > 5


@pytest.mark.parametrize("name", ["boolean", "chain"])
def test_a_question_held_out_with_steps_is_held_out_without(name):
    written, direct = FAMILIES.load(name), FAMILIES.load(f"{name}_direct")
    size = max(written.sizes[0], direct.sizes[0])
    one, other = (family.draw(random.Random(8), size) for family in (written, direct))
    assert one.structure == other.structure and f"{one.prompt} #" == other.prompt
    assert one.target == other.answer


def test_verses_are_as_long_as_reasoning_answers():
    def lengths(families):
        drawn = (item for name in families for item in items(FAMILIES.load(name), each=30))
        return sorted(len(item.answer.split()) for item in drawn)

    reasoning = lengths(["addition", "boolean", "chain", "tracking"])
    reciting = lengths(["reciting"])
    for share in (0.1, 0.5, 0.9):
        one, other = (found[int(share * len(found))] for found in (reasoning, reciting))
        assert abs(one - other) <= 10


def test_evaluation_items_take_the_sizes_in_turn(family):
    count = 2 * len(family.sizes)
    lengths = [
        len((i.prompt or i.answer).split())
        for i in evaluation_items(family, random.Random(1), count)
    ]
    assert len(set(lengths)) >= len(family.sizes) / 2
    assert lengths[0] < lengths[len(family.sizes) - 1]


@pytest.mark.parametrize(
    ("prompt", "target", "steps"),
    [
        ("add 4 7 2 + 3 8 5 =", "8 5 7", 3),
        ("bool T and F or T =", "T", 2),
        ("let a = 3 ; f = a + 4 ; c = f * 2 ; c ?", "4", 2),
        ("copy q 4 b 9 =", "q 4 b 9", 0),
        ("hop c d , x y , a b , b c ; a ?", "d", 3),
        ("track k y b x q z ; b k ; q b ; k ?", "x", 2),
        ("sort q d m b =", "b d m q", 4),
    ],
)
def test_the_solvers_agree_with_the_worked_examples_of_the_families(prompt, target, steps):
    names = {"add": "addition", "bool": "boolean", "let": "chain", "copy": "copying",
             "hop": "multihop", "track": "tracking", "sort": "sorting"}  # fmt: skip
    solver = ORACLES[names[prompt.split()[0]]]
    assert solver(prompt.split()) == (target, steps)


def test_the_split_holds_out_about_a_twentieth_and_depends_on_the_question_alone():
    share = sum(held_out(f"question {n}") for n in range(20_000)) / 20_000
    assert 0.045 < share < 0.055
    assert held_out("question 1") == held_out("question 1")


def test_a_size_that_runs_out_gives_way_and_a_family_that_does_is_an_error():
    few = Family("few", range(1, 3), lambda rng, size: Item(
        "few", text := f"{size} {rng.randrange(60 if size == 1 else 4000)}", "# x", size, text,
    ))  # fmt: skip
    held = [n for n in range(60) if held_out(f"1 {n}")]
    drawn = evaluation_items(few, random.Random(0), 40)
    assert sum(item.steps == 1 for item in drawn) == len(held) < 20
    with pytest.raises(ValueError, match="family few has only .* held-out items, 5000 asked"):
        evaluation_items(few, random.Random(0), 5000)
