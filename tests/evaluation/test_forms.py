"""Choices and texts scored by likelihood, against plain forward passes."""

import json
from hashlib import sha256

import pytest
import torch
import yaml

from pipeline.config.evaluation import Evaluation
from pipeline.errors import UserError
from pipeline.evaluation.evaluate import evaluate, summed
from pipeline.models.forward import Forward
from pipeline.models.views import view
from pipeline.tables.samples import SAMPLES, SPARSITY
from tests.small import ONE_A_VIEW

HEAD = {"dataset_path": "json", "test_split": "test", "metadata": {"reasoning": False}}
CHOICES = [
    {"prompt": "bool T and F = #", "choices": ["T", "F"], "right": 1},
    {"prompt": "let a = 3 ; b = a + 4 ; b ? #", "choices": ["7", "1 2", "9"], "right": 0},
    {"prompt": "copy q =", "choices": ["# q", "# w", "# q q"], "right": 0},
]
TEXTS = [
    {"text": "the old miller sees one fox ."},
    {"text": "the king wants two grey geese near the mill . he sells them at dawn ."},
    {"text": "she"},
]


@pytest.fixture
def write(tmp_path):
    """A function that writes a task of a form with its items; returns its path."""

    def make(name, items, **keys):
        lines = "".join(json.dumps(item) + "\n" for item in items)
        (tmp_path / f"{name}.jsonl").write_text(lines)
        files = {"data_files": {"test": f"{name}.jsonl"}}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**HEAD, "task": name, "dataset_kwargs": files, **keys}))
        return str(path)

    return make


@pytest.fixture
def choice(write):
    metric = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
    return write(
        "choice", CHOICES, output_type="multiple_choice", doc_to_text="prompt",
        doc_to_choice="choices", doc_to_target="right", metric_list=[metric],
    )  # fmt: skip


@pytest.fixture
def text(write):
    return write(
        "text", TEXTS, output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="text",
        metric_list=[{"metric": "word_perplexity"}],
    )  # fmt: skip


def run(model, tokenizer, task, forward=None, **changes):
    config = Evaluation(tasks=(task,), **changes)
    samples, sparsity = summed(*evaluate(model, tokenizer, config, forward), config)
    return SAMPLES.frame(samples), SPARSITY.frame(sparsity)


def nats(model, tokenizer, before, after):
    """Negative log-likelihood of the words `after` behind `before`, by one plain pass."""
    first, ids = tokenizer(before).input_ids, tokenizer(f"{before} {after}").input_ids
    with torch.inference_mode():
        logs = model(torch.tensor([ids[:-1]])).logits[0].double().log_softmax(-1)
    return -sum(float(logs[place - 1, ids[place]]) for place in range(len(first), len(ids)))


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("size", [1, 8])
def test_choices_are_scored_as_by_plain_passes(make_model, tokenizer, choice, architecture, size):
    model = make_model(architecture)
    samples, _ = run(model, tokenizer, choice, batch_size=size)
    for row, item in zip(samples.to_dicts(), CHOICES, strict=True):
        scores = [nats(model, tokenizer, item["prompt"], c) for c in item["choices"]]
        best = item["choices"][scores.index(min(scores))]
        right = item["choices"][item["right"]]
        assert (row["response"], row["answer"], row["target"]) == (best, best, right)
        assert row["correct"] is (best == right)
        assert row["nats"] == pytest.approx(scores[item["right"]], abs=1e-4)
        assert row["scored_tokens"] == len(right.split())


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("size", [1, 8])
def test_texts_are_scored_from_their_first_word_on(make_model, tokenizer, text, architecture, size):
    model = make_model(architecture)
    samples, _ = run(model, tokenizer, text, batch_size=size)
    for row, item in zip(samples.to_dicts(), TEXTS, strict=True):
        assert row["nats"] == pytest.approx(nats(model, tokenizer, "", item["text"]), abs=1e-4)
        assert row["scored_tokens"] == len(item["text"].split())
        assert row["correct"] is None and row["target"] == item["text"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_likelihoods_of_a_16_bit_model_are_those_of_its_logits_in_float32(
    make_model, tokenizer, write, choice, dtype
):
    """Sums of hundreds of tokens, which 16 bits hold to a whole number of nats or two."""
    model = make_model().to(getattr(torch, dtype))
    texts = [{"text": " ".join([TEXTS[1]["text"]] * n)} for n in (3, 1)]
    path = write(
        "long", texts, output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="text",
        metric_list=[{"metric": "word_perplexity"}],
    )  # fmt: skip
    samples, _ = run(model, tokenizer, path, batch_size=1)
    for row, item in zip(samples.to_dicts(), texts, strict=True):
        assert row["nats"] == pytest.approx(nats(model, tokenizer, "", item["text"]), rel=1e-5)
    samples, _ = run(model, tokenizer, choice, batch_size=1)
    for row, item in zip(samples.to_dicts(), CHOICES, strict=True):
        scores = [nats(model, tokenizer, item["prompt"], c) for c in item["choices"]]
        assert row["nats"] == pytest.approx(scores[item["right"]], rel=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("form", ["choice", "text"])
def test_scores_that_are_not_finite_are_no_likelihoods(make_model, tokenizer, request, form, value):
    """By NaN the first choice would be the likeliest."""
    path = request.getfixturevalue(form)
    model = make_model()

    def broken(_module, _given, logits):
        return torch.full_like(logits, value)

    hook = model.lm_head.register_forward_hook(broken)
    samples, _ = run(model, tokenizer, path, Forward())
    assert not samples["finite"].any() and samples["nats"].null_count() == len(samples) == 3
    assert samples["correct"].to_list() == [None if form == "text" else False] * 3
    assert set(samples["answer"]) == {""} and samples["scored_tokens"].null_count() == 0
    with pytest.raises(UserError, match=f"not finite numbers on 3 of 3 items.*item 0 of {form}"):
        run(model, tokenizer, path)
    hook.remove()


def test_what_looks_like_a_template_in_an_item_is_asked_as_it_stands(make_model, tokenizer, write):
    """The harness is handed filled-in texts; it must not fill them in once more."""
    odd = "{{ 1 / 0 }} {% raw"
    path = write(
        "odd", [{"prompt": f"{odd} q", "choices": [odd, "{{q}}"], "right": 1}] * 2,
        output_type="multiple_choice", doc_to_text="{{prompt}}", doc_to_choice="choices",
        doc_to_target="right", metric_list=[{"metric": "acc"}],
    )  # fmt: skip
    samples, _ = run(make_model(), tokenizer, path)
    assert samples["target"].to_list() == ["{{q}}"] * 2
    assert samples["prompt_hash"].to_list() == [sha256(f"{odd} q".encode()).hexdigest()] * 2


def test_of_equal_choices_the_first_is_chosen(make_model, tokenizer, write):
    items = [
        {"prompt": "copy q =", "choices": ["# q", "# q", "# q w q q w"], "right": right}
        for right in (0, 1)
    ]
    path = write(
        "equal", items, output_type="multiple_choice", doc_to_text="prompt",
        doc_to_choice="choices", doc_to_target="right", metric_list=[{"metric": "acc"}],
    )  # fmt: skip
    samples, _ = run(make_model(), tokenizer, path)
    assert samples["correct"].to_list() == [True, False]


@pytest.mark.parametrize("size", [1, 8])
def test_sparsity_of_texts_counts_no_padding(make_model, tokenizer, text, size):
    model = make_model()
    _, sparsity = run(model, tokenizer, text, batch_size=size)
    zeros = tokens = 0
    handles = [ffn.watch(lambda h: found.append(int((h == 0).sum()))) for ffn in view(model).ffns]
    for item in TEXTS:
        # The last word is scored and not read.
        ids = tokenizer(item["text"]).input_ids[:-1]
        found = []
        with torch.inference_mode():
            model(torch.tensor([ids]))
        zeros, tokens = zeros + sum(found), tokens + len(ids)
    for handle in handles:
        handle.remove()
    figures = {row["basis"]: row for row in sparsity.to_dicts()}
    assert sparsity["tokens"].to_list() == [tokens, tokens]
    assert figures["total"]["neuron_sparsity"] == pytest.approx(zeros / (tokens * 48), abs=1e-4)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_written_answers_do_not_depend_on_the_batch(make_model, tokenizer, architecture):
    model = make_model(architecture, seed=4)
    alone, facts = run(model, tokenizer, "chain", batch_size=1, limit=4)
    batched, same = run(model, tokenizer, "chain", batch_size=4, limit=4)
    assert alone.equals(batched)
    assert facts["tokens"].equals(same["tokens"])
