"""Likelihoods against the harness's own, batches by memory, and what happens where memory ends."""

import random

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from pipeline.config.evaluation import Evaluation
from pipeline.errors import UserError
from pipeline.evaluation.evaluate import evaluate
from pipeline.evaluation.language_model import language_model
from pipeline.models import memory
from pipeline.models.forward import Forward
from pipeline.models.memory import Halving, Room, read_bytes, written_bytes
from pipeline.models.size import of_loaded
from tests.small import ONE_A_VIEW

WORDS = 40


@pytest.fixture
def requests():
    """Requests of (name, context, scored tokens): of many lengths, some of which share what is
    read, once divided in two places, and some with a 0 at the end, which also pads."""
    drawn = random.Random(3)
    found = []
    for _ in range(12):
        context = [drawn.randrange(4, WORDS) for _ in range(drawn.randrange(1, 9))]
        for length in (1, 1, drawn.randrange(1, 5)):
            found.append((context, [drawn.randrange(4, WORDS) for _ in range(length)]))
    found += [([5, 6, 7], [8]), ([5, 6], [7, 9]), ([5], [6, 7, 11])]
    found += [([1, 9, 0], [5]), ([1, 9], [0, 6]), ([1, 9], [6])]
    return [((str(place), ""), *each) for place, each in enumerate(found)]


def ours(model, tokenizer, room=Room(4), forward=None, halving=None):  # noqa: B008 - immutable
    return language_model(model, tokenizer, room, forward or Forward(), halving or Halving())


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_likelihoods_are_those_of_the_harness(
    make_model, tokenizer, requests, monkeypatch, architecture
):
    """With the logits of one, of three, and of all scored tokens at once. The harness is asked one
    by one: of requests that share what is read it scores the wrong tokens where they are divided in
    other places."""
    model = make_model(architecture)
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, softmax_dtype="float32")
    with torch.inference_mode():
        wanted = [harness._loglikelihood_tokens([each], disable_tqdm=True)[0] for each in requests]
        for rows in (1, 3, 1000):
            monkeypatch.setattr(memory, "PIECE_BYTES", rows * 12 * model.config.vocab_size)
            found = ours(model, tokenizer)._loglikelihood_tokens(requests)
            assert [likeliest for _, likeliest in found] == [likeliest for _, likeliest in wanted]
            logs, known = ([log for log, _ in each] for each in (found, wanted))
            assert logs == pytest.approx(known, abs=1e-5)


def test_a_token_can_be_the_likeliest(make_model, tokenizer):
    model = make_model()
    with torch.inference_mode():
        best = int(model(torch.tensor([[1, 5, 6]])).logits[0, -1].argmax())
        told = ours(model, tokenizer)._loglikelihood_tokens(
            [(("a", ""), [1, 5, 6], [best]), (("b", ""), [1, 5, 6], [(best + 1) % WORDS])]
        )
    assert [likeliest for _, likeliest in told] == [True, False]


class Calls:
    """What a model is called with, and what its output matrix is given."""

    def __init__(self, model, forward=None):
        self.batches, self.contexts, self.masks, self.rows = [], [], [], []
        self.forward = forward
        model.register_forward_pre_hook(self.noting, with_kwargs=True)
        model.get_output_embeddings().register_forward_hook(
            lambda _module, given, _logits: self.rows.append(given[0].shape[:-1].numel())
        )

    def noting(self, _module, _args, kwargs):
        self.batches.append(tuple(kwargs["input_ids"].shape))
        if "attention_mask" in kwargs:
            self.masks.append(kwargs["attention_mask"].tolist())
        if self.forward is not None and self.forward.contexts is not None:
            self.contexts.append(self.forward.contexts.tolist())


def test_padding_is_masked_and_contexts_are_told_even_where_a_row_ends_in_token_0(
    make_model, tokenizer
):
    """What two requests share is read once, with the shorter context."""
    model, forward = make_model(), Forward()
    calls = Calls(model, forward)
    asked = [
        (("a", ""), [1, 9, 0], [5]),
        (("b", ""), [1, 9], [0, 6]),
        (("c", ""), [1, 9], [6]),
        (("d", ""), [0], [5, 4, 4, 7]),
    ]
    with torch.inference_mode():
        ours(model, tokenizer, forward=forward)._loglikelihood_tokens(asked)
    assert calls.batches == [(3, 4)]
    assert calls.masks == [[[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]]
    assert calls.contexts == [[1, 2, 2]]


def test_logits_are_made_of_scored_tokens_alone_and_piece_by_piece(
    make_model, tokenizer, requests, monkeypatch
):
    model = make_model()
    calls = Calls(model)
    monkeypatch.setattr(memory, "PIECE_BYTES", 5 * 12 * model.config.vocab_size)
    with torch.inference_mode():
        ours(model, tokenizer, Room(100))._loglikelihood_tokens(requests)
    scored = sum(len(wanted) for *_, wanted in requests)
    assert len(calls.batches) == 1
    assert max(calls.rows) == 5 and sum(calls.rows) == scored


def test_a_batch_holds_as_many_sequences_as_fit(make_model, tokenizer, requests):
    model = make_model()
    size = of_loaded(model)
    calls = Calls(model)
    lengths = sorted({tuple(context + wanted)[:-1] for _, context, wanted in requests}, key=len)
    each = read_bytes(size, len(lengths[-1]))
    tight = Room(100)
    object.__setattr__(tight, "megabytes", 3.5 * each / 1e6)
    with torch.inference_mode():
        few = ours(model, tokenizer, tight)._loglikelihood_tokens(requests)
        batches = list(calls.batches)
        whole = ours(model, tokenizer, Room(100))._loglikelihood_tokens(requests)
    assert batches[0] == (3, len(lengths[-1]))
    assert sum(sequences for sequences, _ in batches) == len(lengths)
    bound = 3.5 * each
    for sequences, length in batches[:-1]:
        assert sequences * read_bytes(size, length) <= bound
        assert (sequences + 1) * read_bytes(size, length) > bound
    for (log, _), (known, _) in zip(few, whole, strict=True):
        assert log == pytest.approx(known, abs=1e-5)


def config(**changes):
    return Evaluation(tasks=("chain", "boolean_choice", "prose"), limit=8, **changes)


def test_answers_are_written_in_batches_that_fit(make_model, tokenizer, monkeypatch):
    """Prompt, answer, keys and values count; the answers stay the same, and in their order."""
    model = make_model(seed=4)
    asked = Evaluation(tasks=("chain",), limit=8)
    whole = evaluate(model, tokenizer, asked)
    size = of_loaded(model)
    asked_for = []
    monkeypatch.setattr(Room, "of", lambda room, each: asked_for.append(each) or 3)
    calls = Calls(model)
    parts = evaluate(model, tokenizer, asked)
    assert {sequences for sequences, _ in calls.batches} == {3, 2}
    assert parts == whole
    longest = max(length for _, length in calls.batches)
    assert asked_for[0] == written_bytes(size, longest, 64, 4)
    assert written_bytes(size, 10, 64, 4) - written_bytes(size, 10, 63, 4) == 4 * 2 * 32


class Small:
    """A GPU whose memory holds a batch of `most` sequences: larger ones fail behind the first
    block, when they have been counted in part."""

    def __init__(self, model, most):
        self.most, self.failed = most, 0
        self.hook = model.model.layers[1].register_forward_pre_hook(self)

    def __call__(self, _module, given):
        if len(given[0]) > self.most:
            self.failed += 1
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


@pytest.mark.parametrize("most", [1, 3])
def test_a_batch_that_a_gpu_does_not_hold_is_divided_and_counts_once(
    make_model, tokenizer, most, caplog
):
    model = make_model(seed=4)
    rows, counts = evaluate(model, tokenizer, config())
    gpu = Small(model, most)
    again, recounted = evaluate(model, tokenizer, config())
    gpu.hook.remove()
    assert gpu.failed == sum(row["halved"] for row in recounted if row["layer"] == 0) > 3
    assert len(caplog.records) == gpu.failed
    assert "divided in two: CUDA out of memory" in caplog.records[0].getMessage()
    for row, known in zip(again, rows, strict=True):
        if row["nats"] is not None:
            assert row.pop("nats") == pytest.approx(known.pop("nats"), abs=1e-4)
        assert row == known
    for row, known in zip(recounted, counts, strict=True):
        assert row.pop("halved") and not known.pop("halved")
        assert row.pop("task") == known.pop("task")
        # Sums in another order may move an h across 0.
        assert row == pytest.approx(known, rel=1e-3) and row["tokens"] == known["tokens"]


def test_a_sequence_that_a_gpu_does_not_hold_is_refused(make_model, tokenizer):
    model = make_model(seed=4)
    Small(model, 0)
    with pytest.raises(UserError, match=r"does not hold .* a single sequence .* more memory"):
        evaluate(model, tokenizer, config())
