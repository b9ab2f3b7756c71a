"""Overlap between a corpus and items, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calibration.overlap import Overlap, overlap, words_of

ITEM = "one two three four five six"


@pytest.mark.parametrize(
    ("corpus", "documents", "ngrams"),
    [
        (["nothing of it here at all"], (), ()),
        ([f"before {ITEM} after"], (0,), ()),
        ([ITEM], (0,), ()),
        (["so two three four and"], (), (0,)),
        (["so two three and four"], (), ()),
        (["one two", "three four"], (), ()),
        (["two three four", f"x {ITEM} y"], (0,), ()),
        (["one two three", "four five six"], (), (0,)),
        (["  one\ttwo\n three four   five six "], (0,), ()),
        ([], (), ()),
        ([""], (), ()),
    ],
)
def test_runs_of_three_words(corpus, documents, ngrams):
    assert overlap(corpus, [ITEM], 3) == Overlap(documents, ngrams)


@pytest.mark.parametrize(
    ("corpus", "documents"),
    [
        (["we add two numbers here"], (0,)),
        (["we add two"], (0,)),
        (["we add or two"], ()),
        (["add", "two"], ()),
        (["madd two"], ()),
        (["add twofold"], ()),
    ],
)
def test_an_item_shorter_than_the_run_counts_as_a_whole(corpus, documents):
    assert overlap(corpus, ["add two"], 13) == Overlap(documents, ())


def test_an_empty_item_overlaps_with_nothing():
    assert overlap(["a b c", ""], ["", "a b c"], 2) == Overlap((1,), ())


def test_items_are_told_apart():
    items = ["a b c d", "x y z w", "p q r s"]
    assert overlap(["x y z w", "0 p q r 0"], items, 3) == Overlap((1,), (2,))


WORDS = st.lists(st.sampled_from("ab"), max_size=7)


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4), st.integers(1, 4))
def test_overlap_is_what_comparing_everything_with_everything_finds(corpus, items, n):
    def runs(words, length):
        return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}

    documents, ngrams = [], []
    for index, item in enumerate(items):
        if not item:
            continue
        if any(tuple(item) in runs(text, len(item)) for text in corpus):
            documents.append(index)
        elif any(runs(item, min(n, len(item))) & runs(text, min(n, len(item))) for text in corpus):
            ngrams.append(index)
    found = overlap([" ".join(t) for t in corpus], [" ".join(i) for i in items], n)
    assert found == Overlap(tuple(documents), tuple(ngrams))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Word , word,", ["word", ",", "word", ","]),
        ("Ｗｏｒｄ，１", ["word", ",", "1"]),
        ("don’t “a”—b", ["don", "'", "t", '"', "a", '"', "-", "b"]),
        ("cafe\u0301 in\u00advi\u200bsible", ["café", "invisible"]),
        ("小明有5个。", ["小", "明", "有", "5", "个", "。"]),
        ("ｶﾀﾅ ひら", ["カ", "タ", "ナ", "ひ", "ら"]),
        ("ภาษาไทย", list("ภาษาไทย")),
        ("हिन्दी शब्द", ["हिन्दी", "शब्द"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("\u2028 \n", []),
    ],
)
def test_words_as_they_are_compared(text, words):
    assert list(words_of(text)) == words


@pytest.mark.parametrize(
    ("item", "document"),
    [
        ("小明有五个苹果，后来吃掉了两个。", "前文小明有五个苹果，后来吃掉了两个。后文"),
        ("りんごが５つあります", "ある日、りんごが5つありますと言った"),
        ("มีแอปเปิ้ลกี่ผล", "คำถามมีแอปเปิ้ลกี่ผลครับ"),
        ("How many, then?", "so HOW MANY , THEN ? Two"),
        ("How many, then?", "Ｈｏｗ ｍａｎｙ， ｔｈｅｎ？"),
    ],
)
def test_an_item_is_found_in_any_script_case_and_spacing(item, document):
    assert overlap([document], [item], 50) == Overlap((0,), ())
    assert overlap([document], [item], 4) == Overlap((0,), ())
    assert overlap([document[: len(document) // 2]], [item], 50) == Overlap((), ())


def test_a_run_of_characters_is_found_where_words_have_no_spaces():
    item = "小明有五个苹果妈妈又给了他三个"
    assert overlap(["他说小明有五个梨"], [item], 5) == Overlap((), (0,))
    assert overlap(["他说小明有五个梨"], [item], 6) == Overlap((), ())


def test_marks_tell_items_apart():
    assert overlap(["l = o - 2 ;"], ["l = o - 2", "l = o * 2"], 13) == Overlap((0,), ())
