"""Training rows: weights by hand, packing, and a curriculum that opens."""

import itertools

import numpy as np

from pipeline.reference.batches import batches, encoded
from pipeline.reference.items import Item, held_out
from pipeline.reference.vocabulary import BOS, EOS, PAD, VOCABULARY, token_ids

MIXTURE = {"addition": 1.0, "copying": 1.0, "chain": 2.0}


def stream(seed=1, curriculum=0, **changes):
    options = {"rows": 4, "row_length": 128, "question_weight": 0.15, **changes}
    return batches(MIXTURE, seed, curriculum_batches=curriculum, **options)


def examples(batch):
    """Tokens of every example of a batch."""
    for row, numbers in zip(batch.tokens, batch.segments, strict=True):
        for number in range(1, numbers.max() + 1):
            yield row[numbers == number].tolist()


def test_tokens_and_weights_of_an_example_by_hand():
    item = Item("copying", "copy q =", "# q", 0, "copy q =")
    ids = {word: index for index, word in enumerate(VOCABULARY)}
    tokens, weights = encoded(item, 0.15)
    assert tokens == [BOS, ids["copy"], ids["q"], ids["="], ids["#"], ids["q"], EOS]
    assert weights == [0.0, 0.15, 0.15, 0.15, 1.0, 1.0, 1.0]


def test_rows_hold_whole_examples_with_positions_of_their_own():
    batch = next(stream())
    assert batch.tokens.shape == (4, 128)
    for row in range(4):
        numbers = batch.segments[row]
        used = numbers > 0
        assert (np.diff(numbers[used]) >= 0).all() and numbers[used][0] == 1
        assert not used[used.sum() :].any()
        assert (batch.tokens[row][~used] == PAD).all() and (batch.weights[row][~used] == 0).all()
        for number in range(1, numbers.max() + 1):
            mine = numbers == number
            tokens = batch.tokens[row][mine]
            assert tokens[0] == BOS and tokens[-1] == EOS
            assert batch.positions[row][mine].tolist() == list(range(mine.sum()))
            assert batch.weights[row][mine][0] == 0 and batch.weights[row][mine][-1] == 1


def test_no_example_is_held_out_for_evaluation():
    for tokens in itertools.chain.from_iterable(map(examples, itertools.islice(stream(), 10))):
        words = [VOCABULARY[token] for token in tokens]
        if words[1] == "copy":
            assert not held_out(" ".join(words[1 : words.index("=") + 1]))


def test_one_seed_gives_one_stream():
    def first(seed):
        return [b.tokens.tolist() for b in itertools.islice(stream(seed), 3)]

    assert first(1) == first(1) != first(2)


def test_the_mixture_decides_the_shares():
    counts = dict.fromkeys(MIXTURE, 0)
    first_words = {token_ids("add")[0]: "addition", token_ids("copy")[0]: "copying",
                   token_ids("let")[0]: "chain"}  # fmt: skip
    for batch in itertools.islice(stream(row_length=512), 30):
        for tokens in examples(batch):
            counts[first_words[tokens[1]]] += 1
    total = sum(counts.values())
    assert 0.4 < counts["chain"] / total < 0.56
    assert 0.19 < counts["addition"] / total < 0.31


def test_sizes_grow_from_the_easiest_third_to_all():
    add, plus = token_ids("add")[0], token_ids("+")[0]

    def columns(batch):
        return {tokens.index(plus) - 2 for tokens in examples(batch) if tokens[1] == add}

    seen = list(itertools.islice(stream(curriculum=40, rows=16), 70))
    assert columns(seen[0]) == {2}
    assert set().union(*map(columns, seen[-4:])) == {2, 3, 4, 5}


def test_sizes_are_all_open_without_a_curriculum():
    assert max(len(tokens) for b in itertools.islice(stream(), 20) for tokens in examples(b)) > 80
