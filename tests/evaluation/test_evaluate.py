"""Evaluation against plain greedy loops: answers, scores, tokens and zeros."""

import copy
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from pipeline.config.evaluation import Evaluation
from pipeline.errors import UserError
from pipeline.evaluation.evaluate import blocks, evaluate, refused, summed
from pipeline.evaluation.harness import Harness
from pipeline.methods.apply import apply, remove
from pipeline.methods.plan import Plan
from pipeline.models.forward import Forward
from pipeline.models.memory import Room
from pipeline.models.views import view
from pipeline.tables.samples import COUNTS, SAMPLES, SPARSITY
from pipeline.tasks.task import find


def run(model, tokenizer, task, forward=None, **changes):
    config = Evaluation(**{"tasks": (task,), "batch_size": 4, **changes})
    samples, sparsity = summed(*evaluate(model, tokenizer, config, forward), config)
    return SAMPLES.frame(samples), SPARSITY.frame(sparsity)


def drawn(share):
    """Neurons to remove, (2, 24) bool."""
    return np.random.default_rng(0).random((2, 24)) < share


def pruned(model, share):
    """(a copy that neurons are removed from by a plan, what is told of its passes)."""
    changed = copy.deepcopy(model)
    plan = Plan(
        {"sparsifier": {"name": "drop_cold", "options": {}}},
        "any",
        0,
        {"sparsifier/dropped": drawn(share).astype(np.uint8)},
    )
    with ExitStack() as ends:
        forward = apply(plan, view(changed), ends)
    return changed, forward


@pytest.fixture
def written(writer, tokenizer, greedy, task_file):
    """What the model writes for each prompt, by plain loops."""
    task = find(task_file())
    return [greedy(writer, tokenizer, task.text(item)) for item in task.items()]


@pytest.mark.parametrize("size", [1, 3, 16])
def test_answers_are_those_of_a_plain_greedy_loop_whatever_the_batch(
    writer, tokenizer, task_file, written, size
):
    samples, _ = run(writer, tokenizer, task_file(), batch_size=size)
    assert samples["response"].to_list() == [tokenizer.decode(w.tokens) for w in written]


def test_the_small_model_ends_some_answers_early_and_runs_on_in_others(written):
    """The other tests here say little unless a batch holds both."""
    assert {w.ended for w in written} == {True, False}
    assert len({len(w.tokens) for w in written if w.ended}) > 1


@pytest.mark.parametrize("size", [1, 3, 16])
def test_tokens_and_zeros_count_no_padding_and_no_step_after_an_end(
    writer, tokenizer, task_file, written, size
):
    _, sparsity = run(writer, tokenizer, task_file(), batch_size=size)
    tokens = sum(w.evaluated for w in written)
    assert sparsity["tokens"].to_list() == [tokens, tokens]
    figures = {row["basis"]: row for row in sparsity.to_dicts()}
    assert figures["imposed"]["neuron_sparsity"] == 0
    zeros = sum(sum(w.zeros) for w in written)
    assert figures["total"]["neuron_sparsity"] == pytest.approx(zeros / (tokens * 48), abs=1e-4)


def test_rows_hold_every_fact_of_an_item(writer, tokenizer, task_file, written):
    words = [tokenizer.decode(w.tokens[:1]) for w in written]
    targets = [word if n % 2 else "nothing" for n, word in enumerate(words)]
    task = task_file(targets)
    samples, _ = run(writer, tokenizer, task)
    assert samples["task"].unique().to_list() == ["words"]
    assert samples["item"].to_list() == list(range(6))
    assert samples["steps"].to_list() == list(range(6))
    assert samples["reasoning"].all()
    assert samples["target"].to_list() == targets
    assert samples["answer"].to_list() == [word or "[invalid]" for word in words]
    assert samples["correct"].to_list() == [False, True] * 3
    assert samples["item_hash"].n_unique() == samples["prompt_hash"].n_unique() == 6


OWN_SETTINGS = {
    "penalties": {"repetition_penalty": 1.9, "no_repeat_ngram_size": 2},
    "beams": {"num_beams": 3, "length_penalty": 2.0, "early_stopping": True},
    "fewer tokens": {"max_new_tokens": 2},
    "length": {"max_length": 5},
    "more tokens": {"min_length": 50, "min_new_tokens": 60},
    "sampling": {"do_sample": True, "temperature": 9.0, "top_k": 3, "top_p": 0.5},
    "forced": {"forced_bos_token_id": 9, "forced_eos_token_id": 9},
    "suppressed": {"suppress_tokens": list(range(4, 90)), "begin_suppress_tokens": [2]},
    "bad words": {"bad_words_ids": [[token] for token in range(4, 90)]},
    "bias": {"sequence_bias": [[[20], 99.0]]},
    "stop strings": {"stop_strings": ["a", "b", " "]},
    "time": {"max_time": 0.0},
    "no cache": {"use_cache": False},
    "static cache": {"cache_implementation": "static"},
    "guidance": {"guidance_scale": 5.0},
    "ordinary end": {"eos_token_id": [2, *range(4, 90)]},
    "no end": {"eos_token_id": None, "pad_token_id": 7},
    "outputs": {"output_scores": True, "return_dict_in_generate": True},
    "lookup": {"prompt_lookup_num_tokens": 3},
    "unknown key": {"something_of_its_own": 1},
}


@pytest.fixture(scope="module")
def plain(writer, tokenizer):
    """Answers without any settings of the model's own."""
    return run(writer, tokenizer, "chain", limit=2)


@pytest.mark.parametrize("settings", OWN_SETTINGS.values(), ids=OWN_SETTINGS)
def test_a_generation_config_of_the_models_own_changes_no_answer(
    writer, tokenizer, plain, settings
):
    own = copy.deepcopy(writer)
    for key, value in settings.items():
        setattr(own.generation_config, key, value)
    kept = own.generation_config.to_dict()
    samples, sparsity = run(own, tokenizer, "chain", limit=2)
    assert samples.equals(plain[0]) and sparsity.equals(plain[1])
    assert own.generation_config.to_dict() == kept


def test_answers_end_at_a_special_token_that_the_folder_names(writer, tokenizer, task_file):
    own = copy.deepcopy(writer)
    # The model writes <unk> where it wrote its end token.
    own.lm_head.weight.data[[2, 3]] = own.lm_head.weight.data[[3, 2]]
    own.generation_config.eos_token_id = [2, 3]
    ended, measured = run(own, tokenizer, task_file())
    plain, same = run(writer, tokenizer, task_file())
    assert ended["response"].equals(plain["response"])
    assert measured["tokens"].equals(same["tokens"])


def test_targets_of_several_kinds_stay_as_they_are_written(writer, tokenizer, task_file):
    targets = [3, 2.5, "three", "", "7", True]
    samples, _ = run(writer, tokenizer, task_file(targets))
    assert samples["target"].to_list() == ["3", "2.5", "three", "", "7", "True"]


def test_a_limit_takes_the_first_items(writer, tokenizer, task_file):
    every, _ = run(writer, tokenizer, task_file())
    some, _ = run(writer, tokenizer, task_file(), limit=3)
    assert some.equals(every.head(3))
    more, _ = run(writer, tokenizer, task_file(), limit=100)
    assert more.equals(every)


def test_the_model_given_is_the_one_that_answers(writer, tokenizer, task_file):
    task = task_file()
    dense, _ = run(writer, tokenizer, task)
    changed, forward = pruned(writer, 0.9)
    sparse, sparsity = run(changed, tokenizer, task, forward)
    assert sparse["prompt_hash"].equals(dense["prompt_hash"])
    assert not sparse["response"].equals(dense["response"])
    again, _ = run(writer, tokenizer, task)
    assert again.equals(dense)
    imposed = sparsity.to_dicts()[0]
    assert imposed["basis"] == "imposed"
    share = drawn(0.9).mean()
    assert imposed["neuron_sparsity"] == pytest.approx(share)
    assert imposed["ffn_weight_sparsity"] == pytest.approx(share)
    # A block has four matrices of 32 x 32 besides three of 32 x 24.
    assert imposed["model_weight_sparsity"] == pytest.approx(share * 3 * 24 / (3 * 24 + 4 * 32))


def test_sliced_and_zeroed_models_answer_alike(writer, tokenizer, task_file):
    zeroed, _ = pruned(writer, 0.3)
    sliced = copy.deepcopy(writer)
    remove(drawn(0.3), view(sliced), "slice")
    task = find(task_file())
    found = []
    for model in (zeroed, sliced):
        forward = Forward()
        with forward.watching(model):
            found.append(list(Harness(model, tokenizer, Room(4), forward).samples(task, range(6))))
    assert found[0] == found[1]


def test_a_stop_text_ends_a_sequence_for_the_measures_too(writer, tokenizer, task_file, written):
    words = [set(tokenizer.decode(w.tokens).split()) for w in written]
    stop = max(set().union(*words), key=lambda word: (sum(word in w for w in words), word))
    task = task_file(generation_kwargs={"until": [stop], "do_sample": False, "max_gen_toks": 64})
    alone, facts_alone = run(writer, tokenizer, task, batch_size=1)
    batched, facts_batched = run(writer, tokenizer, task, batch_size=6)
    assert alone.equals(batched)
    assert facts_alone["tokens"].equals(facts_batched["tokens"])


def test_several_tasks_are_measured_one_by_one(writer, tokenizer):
    samples, sparsity = run(writer, tokenizer, "copying", tasks=("copying", "chain"), limit=2)
    assert samples["task"].to_list() == ["copying"] * 2 + ["chain"] * 2
    assert samples["reasoning"].to_list() == [False, False, True, True]
    assert sparsity["task"].to_list() == ["copying"] * 2 + ["chain"] * 2
    alone, facts = run(writer, tokenizer, "chain", limit=2)
    assert alone.equals(samples.tail(2)) and facts.equals(sparsity.tail(2))


def test_no_hook_and_no_state_stay_behind(writer, tokenizer, task_file):
    before = {name: value.clone() for name, value in writer.state_dict().items()}
    run(writer, tokenizer, task_file(), limit=2)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in writer.modules())
    after = writer.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


MEAN = {"aggregation": "mean", "higher_is_better": True}
TAKE = {"filter": [{"function": "take_first"}]}


@pytest.mark.parametrize(
    "changes",
    [
        {"metric_list": [{"metric": "acc", **MEAN}]},
        {"metric_list": [{"metric": "exact_match", **MEAN}, {"metric": "acc", **MEAN}]},
        {"metric_list": []},
        {"output_type": "multiple_choice", "doc_to_choice": ["a", "b"]},
        {"filter_list": [{"name": "one", **TAKE}, {"name": "two", **TAKE}]},
        {"generation_kwargs": {"until": ["<eos>"], "do_sample": True}},
        {"generation_kwargs": {"until": ["<eos>"], "num_beams": 4}},
    ],
    ids=[
        "another metric",
        "two metrics",
        "no metric",
        "multiple choice",
        "two filters",
        "sampling",
        "beams",
    ],
)
def test_a_task_scored_otherwise_is_refused_by_name(writer, tokenizer, task_file, changes):
    with pytest.raises(UserError, match="task words: "):
        run(writer, tokenizer, task_file(**changes))


def test_a_refused_condition_has_no_samples_and_its_reason_in_every_row():
    samples, sparsity = refused("too much", Evaluation(tasks=("chain", "copying")))
    frame = SPARSITY.frame(sparsity)
    assert samples == [] and frame.height == 4
    assert frame["refused"].to_list() == ["too much"] * 4
    assert frame["tokens"].to_list() == [0] * 4
    assert sorted(zip(frame["task"], frame["basis"], strict=True)) == [
        ("chain", "imposed"),
        ("chain", "total"),
        ("copying", "imposed"),
        ("copying", "total"),
    ]


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_shards_of_blocks_together_give_the_rows_of_one_job(writer, tokenizer, shards):
    """Written answers, choices and texts; blocks of two leave ragged ends."""
    changed, forward = pruned(writer, 0.3)
    config = Evaluation(
        tasks=("chain", "boolean_choice", "prose"), limit=5, batch_size=4, block_items=2
    )
    whole = summed(*evaluate(changed, tokenizer, config, forward), config)
    parts = [evaluate(changed, tokenizer, config, forward, n, shards) for n in range(shards)]
    samples = [row for part, _ in reversed(parts) for row in part]
    counts = [COUNTS.frame(part).to_dicts() for _, part in reversed(parts)]
    assert summed(samples, [row for part in counts for row in part], config) == whole
    assert [row["item"] for row in whole[0]] == [0, 1, 2, 3, 4] * 3


def test_blocks_are_fixed_and_cover_every_item_once():
    config = Evaluation(tasks=("chain", "prose"), limit=7, block_items=3)
    found = [(task.name, list(items)) for task, items in blocks(config)]
    parts = [[0, 1, 2], [3, 4, 5], [6]]
    assert found == [(name, part) for name in ("chain", "prose") for part in parts]


def test_a_block_that_is_missing_or_doubled_is_refused(writer, tokenizer):
    config = Evaluation(tasks=("copying",), limit=4, block_items=2)
    samples, counts = evaluate(writer, tokenizer, config)
    with pytest.raises(UserError, match=r"every block .*missing: \[\('copying', 2, 4\)\]"):
        summed(samples[:2], counts[:2], config)
    with pytest.raises(UserError, match="every block of items once"):
        summed(samples + samples, counts + counts, config)


@pytest.mark.parametrize("size", [1, 3, 16])
def test_an_answers_tokens_are_counted_with_the_one_that_ends_it(
    writer, tokenizer, task_file, written, size
):
    samples, _ = run(writer, tokenizer, task_file(), batch_size=size)
    assert samples["answer_tokens"].to_list() == [len(w.tokens) + w.ended for w in written]
    assert samples["finite"].all()


def test_a_response_is_in_form_where_the_filter_finds_an_answer(
    writer, tokenizer, task_file, written
):
    responses = [tokenizer.decode(w.tokens) for w in written]
    word = responses[0].split()[0]
    steps = [
        {"function": "regex", "regex_pattern": f"^({word})"},
        {"function": "take_first"},
    ]
    by = {"filter_list": [{"name": "first", "filter": steps}]}
    samples, _ = run(writer, tokenizer, task_file(**by))
    found = [response.startswith(word) for response in responses]
    assert samples["in_form"].to_list() == found and set(found) == {True, False}
    for filters in ([], None):
        samples, _ = run(writer, tokenizer, task_file(filter_list=filters))
        assert samples["in_form"].null_count() == len(samples) == 6
        assert samples["answer"].to_list() == samples["response"].to_list()


class Broken:
    """A hook that gives one value for the scores of some sequences of a batch."""

    def __init__(self, value, sequences):
        self.value, self.sequences = value, sequences

    def __call__(self, _module, _given, logits):
        logits = logits.clone()
        logits[self.sequences] = self.value
        return logits


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_an_answer_by_scores_that_are_not_finite_is_not_right(
    writer, tokenizer, task_file, written, value
):
    """The first token by NaN or infinity is token 0, which a filter may take for an answer."""
    responses = [tokenizer.decode(w.tokens) for w in written]
    path = task_file(targets=responses, filter_list=[])
    whole, _ = run(writer, tokenizer, path)
    assert whole["correct"].all() and len(whole) == 6
    hook = writer.lm_head.register_forward_hook(Broken(value, slice(None)))
    try:
        samples, _ = run(writer, tokenizer, path, Forward())
        assert not samples["finite"].any() and not samples["correct"].any()
        with pytest.raises(UserError, match="not finite numbers on 6 of 6 items.*item 0 of words"):
            run(writer, tokenizer, path)
    finally:
        hook.remove()


def test_a_word_that_cannot_come_is_no_fault(writer, tokenizer, task_file):
    """Models mask words that stand for nothing by minus infinity."""

    def mask(_module, _given, logits):
        logits = logits.clone()
        logits[..., 0] = float("-inf")
        return logits

    path = task_file()
    whole, _ = run(writer, tokenizer, path)
    hook = writer.lm_head.register_forward_hook(mask)
    try:
        samples, _ = run(writer, tokenizer, path)
    finally:
        hook.remove()
    assert samples.equals(whole)
