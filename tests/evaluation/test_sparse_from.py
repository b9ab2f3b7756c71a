"""Where methods start in what the harness asks, against plain passes with masks by hand."""

import copy
import json
from contextlib import ExitStack

import numpy as np
import pytest
import torch
import yaml

from pipeline.config.evaluation import Evaluation
from pipeline.evaluation.evaluate import evaluate, refused, summed
from pipeline.methods.apply import apply
from pipeline.methods.masks import Masks
from pipeline.methods.plan import Plan
from pipeline.models.forward import CONTINUATION, START, Forward, Skipped
from pipeline.models.views import linear_layers, view
from tests.small import ONE_A_VIEW

SPARSE_FROM = [START, CONTINUATION, 5]
CHOICES = [
    {"prompt": "bool T and F = #", "choices": ["T", "F"], "right": 1},
    {"prompt": "let a = 3 ; b = a + 4 ; b ? #", "choices": ["7", "1 2", "9"], "right": 0},
    {"prompt": "copy q =", "choices": ["# q", "# w", "# q q q q q q"], "right": 2},
]
TEXTS = ["the old miller sees one fox .", "the king wants two grey geese near the mill .", "she"]


@pytest.fixture
def task(tmp_path):
    """A function: a form -> the path of a small task of it."""
    head = {"dataset_path": "json", "test_split": "test", "metadata": {"reasoning": False}}
    acc = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
    forms = {
        "choice": {
            "output_type": "multiple_choice", "doc_to_text": "prompt", "doc_to_choice": "choices",
            "doc_to_target": "right", "metric_list": [acc],
        },
        "text": {
            "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "text",
            "metric_list": [{"metric": "word_perplexity"}],
        },
    }  # fmt: skip
    items = {"choice": CHOICES, "text": [{"text": text} for text in TEXTS]}

    def write(form):
        lines = "".join(json.dumps(item) + "\n" for item in items[form])
        (tmp_path / f"{form}.jsonl").write_text(lines)
        facts = {"task": form, "dataset_kwargs": {"data_files": {"test": f"{form}.jsonl"}}}
        path = tmp_path / f"{form}.yaml"
        path.write_text(yaml.safe_dump({**head, **facts, **forms[form]}))
        return str(path)

    return write


def keep(x):
    return x.abs() > 0.3


def skip(h):
    return h.abs() < 0.5


def run(model, tokenizer, path, size, sparse_from):
    """(samples, sparsity by basis) with the rules above at every linear layer."""
    layout, forward = view(model), Forward(sparse_from=sparse_from)
    with ExitStack() as ends:
        masks = Masks(layout, forward, ends)
        for layer, (block, ffn) in enumerate(zip(layout.blocks, layout.ffns, strict=True)):
            for _, module in linear_layers(block):
                if module is not ffn.down.module:
                    masks.inputs(module, keep)
            masks.neurons(layer, lambda seen: Skipped(hidden=skip(seen.hidden)))
        return asked(model, tokenizer, path, size, forward)


def asked(model, tokenizer, path, size, forward):
    config = Evaluation(tasks=(path,), batch_size=size)
    rows, counts = evaluate(model, tokenizer, config, forward)
    samples, sparsity = summed(rows, counts, config, forward.sparse_from)
    assert {row["sparse_from"] for row in sparsity} == {str(forward.sparse_from)}
    return samples, {row["basis"]: row for row in sparsity}


class ByHand:
    """Passes of single sequences without cache, with the rules at tokens from `first` on."""

    def __init__(self, model):
        self.model, self.layout = model, view(model)
        self.skipped = self.tokens = 0

    def logits(self, ids, first):
        """(length, words) float64; adds up what is skipped."""
        sparse = torch.arange(len(ids)) >= first
        downs = {ffn.down.module for ffn in self.layout.ffns}

        def before(module, given):
            x = given[0].reshape(len(ids), -1)
            if module in downs:
                mask = skip(x) & (x != 0) & sparse[:, None]
                self.skipped += int(mask.sum())
            else:
                mask = ~keep(x) & sparse[:, None]
            return (torch.where(mask, torch.zeros(()), x).reshape(given[0].shape), *given[1:])

        hooks = [
            module.register_forward_pre_hook(before)
            for block in self.layout.blocks
            for _, module in linear_layers(block)
        ]
        with torch.inference_mode():
            found = self.model(torch.tensor([ids]), use_cache=False).logits[0].double()
        for hook in hooks:
            hook.remove()
        self.tokens += len(ids)
        return found

    def nats(self, ids, context, first):
        """Negative log-likelihood of all tokens behind the first `context`."""
        logs = self.logits(ids[:-1], first).log_softmax(-1)
        return -sum(float(logs[at - 1, ids[at]]) for at in range(context, len(ids)))


def first_of(sparse_from, context):
    """The first token at which the method is at work."""
    return {START: 0, CONTINUATION: context}.get(sparse_from, sparse_from)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("sparse_from", SPARSE_FROM)
def test_the_context_of_a_choice_is_dense(make_model, tokenizer, task, architecture, sparse_from):
    model = make_model(architecture, hidden_act="silu", seed=1)
    samples, sparsity = run(model, tokenizer, task("choice"), 8, sparse_from)
    hand, read = ByHand(model), set()
    for row, item in zip(samples, CHOICES, strict=True):
        context = len(tokenizer(item["prompt"]).input_ids)
        scores = []
        for choice in item["choices"]:
            ids = tokenizer(f"{item['prompt']} {choice}").input_ids
            before = hand.tokens, hand.skipped
            scores.append(hand.nats(ids, context, first_of(sparse_from, context)))
            if tuple(ids[:-1]) in read:
                # Choices of one token are read off one pass.
                hand.tokens, hand.skipped = before
            read.add(tuple(ids[:-1]))
        assert row["nats"] == pytest.approx(scores[item["right"]], abs=1e-4)
        assert row["response"] == item["choices"][int(np.argmin(scores))]
    imposed = sparsity["imposed"]
    assert imposed["tokens"] == hand.tokens
    share = hand.skipped / (hand.tokens * 48)
    assert imposed["neuron_sparsity"] == pytest.approx(share, abs=1e-4)
    assert share > 0.001


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("sparse_from", SPARSE_FROM)
def test_a_text_is_sparse_from_its_start(make_model, tokenizer, task, architecture, sparse_from):
    model = make_model(architecture, hidden_act="silu", seed=1)
    samples, sparsity = run(model, tokenizer, task("text"), 8, sparse_from)
    hand = ByHand(model)
    for row, text in zip(samples, TEXTS, strict=True):
        wanted = hand.nats(tokenizer(text).input_ids, 1, 0)
        assert row["nats"] == pytest.approx(wanted, abs=1e-4)
        assert abs(wanted - ByHand(model).nats(tokenizer(text).input_ids, 1, 99)) > 0.002
    assert sparsity["imposed"]["tokens"] == hand.tokens
    share = hand.skipped / (hand.tokens * 48)
    assert sparsity["imposed"]["neuron_sparsity"] == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("sparse_from", SPARSE_FROM)
def test_the_prompt_of_an_answer_is_dense(
    make_model, tokenizer, task_file, architecture, sparse_from
):
    """Prompts of unequal length, padded on the left; some answers may end before others."""
    model = make_model(architecture, hidden_act="silu", seed=6)
    path = task_file(generation_kwargs={"until": ["<eos>"], "max_gen_toks": 9, "do_sample": False})
    samples, sparsity = run(model, tokenizer, path, 6, sparse_from)
    hand = ByHand(model)
    with open(path.replace("yaml", "jsonl")) as lines:
        prompts = [json.loads(line)["prompt"] for line in lines]
    tokens = skipped = 0
    for row, prompt in zip(samples, prompts, strict=True):
        ids = tokenizer(prompt).input_ids
        context = len(ids)
        first = first_of(sparse_from, context)
        while len(ids) < context + 9:
            hand.skipped = 0
            token = int(hand.logits(ids, first)[-1].argmax())
            if token == tokenizer.eos_token_id:
                break
            ids.append(token)
        assert row["response"] == tokenizer.decode(ids[context:], skip_special_tokens=True)
        # The last pass saw all that the model reads of this item.
        tokens += len(ids) - (len(ids) == context + 9)
        skipped += hand.skipped
    assert sparsity["imposed"]["tokens"] == tokens
    share = skipped / (tokens * 48)
    assert sparsity["imposed"]["neuron_sparsity"] == pytest.approx(share, abs=1e-4)
    assert share > 0.001


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "OPTForCausalLM"])
def test_where_a_method_starts_matters(make_model, tokenizer, task, task_file, architecture):
    """The other tests here say little where it does not."""
    model = make_model(architecture, hidden_act="silu", seed=6)
    for path in (task("choice"), task_file()):
        found = [run(model, tokenizer, path, 8, start) for start in (*SPARSE_FROM, 10**6)]
        told = [str(samples) for samples, _ in found]
        assert len(set(told)) == 4
        shares = [sparsity["imposed"]["neuron_sparsity"] for _, sparsity in found]
        assert shares[0] > max(shares[1:3]) and min(shares[:3]) > shares[3] == 0


#: Every pair of an architecture, a form and a start once.
PAIRS = [
    (architecture, form, SPARSE_FROM[(place + number) % 3])
    for place, architecture in enumerate(["LlamaForCausalLM", "OPTForCausalLM", "GPT2LMHeadModel"])
    for number, form in enumerate(["choice", "text", "answer"])
]


@pytest.mark.parametrize(("architecture", "form", "sparse_from"), PAIRS)
def test_batch_size_and_padding_change_no_answer(
    make_model, tokenizer, task, task_file, architecture, form, sparse_from
):
    model = make_model(architecture, hidden_act="silu", seed=6)
    path = task_file() if form == "answer" else task(form)
    alone, facts = run(model, tokenizer, path, 1, sparse_from)
    for size in (2, 16):
        batched, others = run(model, tokenizer, path, size, sparse_from)
        for one, other in zip(alone, batched, strict=True):
            nats = one["nats"], other["nats"]
            assert nats == (None, None) or nats[0] == pytest.approx(nats[1], abs=1e-4)
            assert one | {"nats": None} == other | {"nats": None}
        for basis, row in facts.items():
            assert others[basis]["tokens"] == row["tokens"]
            for measure in ("neuron_sparsity", "ffn_weight_sparsity", "model_weight_sparsity"):
                assert others[basis][measure] == pytest.approx(row[measure], abs=1e-4)


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "OPTForCausalLM"])
def test_neurons_chosen_by_the_prompt_go_for_what_follows(
    make_model, tokenizer, task, task_file, architecture
):
    """GRIFFIN: the statistic of every prompt alone, whatever is in its batch."""
    model = make_model(architecture, hidden_act="silu", seed=6)
    plan = Plan(
        {"sparsifier": {"name": "griffin", "options": {}}},
        "0.5",
        0,
        {"sparsifier/kept": np.array(12)},
        sparse_from=CONTINUATION,
    )

    def through(path):
        own = copy.deepcopy(model)
        with ExitStack() as ends:
            return asked(own, tokenizer, path, 8, apply(plan, view(own), ends))[0]

    for row, item in zip(through(task("choice")), CHOICES, strict=True):
        prompt = tokenizer(item["prompt"]).input_ids
        scores = []
        for choice in item["choices"]:
            ids = tokenizer(f"{item['prompt']} {choice}").input_ids
            logs = chosen_by(model, prompt, ids[:-1]).log_softmax(-1)
            places = range(len(prompt), len(ids))
            scores.append(-sum(float(logs[at - 1, ids[at]]) for at in places))
        assert row["nats"] == pytest.approx(scores[item["right"]], abs=1e-4)
        assert row["response"] == item["choices"][int(np.argmin(scores))]
    path = task_file(generation_kwargs={"until": ["<eos>"], "max_gen_toks": 5, "do_sample": False})
    with open(path.replace("yaml", "jsonl")) as lines:
        prompts = [tokenizer(json.loads(line)["prompt"]).input_ids for line in lines]
    for row, prompt in zip(through(path), prompts, strict=True):
        ids = list(prompt)
        while len(ids) < len(prompt) + 5:
            token = int(chosen_by(model, prompt, ids)[-1].argmax())
            if token == tokenizer.eos_token_id:
                break
            ids.append(token)
        assert row["response"] == tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)


def chosen_by(model, prompt, ids):
    """Logits of ids, float64, where each layer's tokens behind the prompt go without the twelve
    neurons of 24 that have the smallest norm over the prompt of h / ||h||."""

    def before(_module, given):
        h = given[0].reshape(len(ids), -1)
        first = h[: len(prompt)].double().numpy()
        size = np.sqrt(np.square(first / np.linalg.norm(first, axis=1, keepdims=True)).sum(0))
        gone = torch.zeros(h.shape, dtype=torch.bool)
        gone[len(prompt) :, np.argsort(size)[:12].copy()] = True
        return (torch.where(gone, torch.zeros(()), h).reshape(given[0].shape), *given[1:])

    hooks = [ffn.down.module.register_forward_pre_hook(before) for ffn in view(model).ffns]
    with torch.inference_mode():
        found = model(torch.tensor([ids]), use_cache=False).logits[0].double()
    for hook in hooks:
        hook.remove()
    return found


def test_a_refused_condition_says_where_it_would_have_started():
    config = Evaluation(tasks=("chain",))
    assert {row["sparse_from"] for row in refused("why", config, 5)[1]} == {"5"}
    assert {row["sparse_from"] for row in refused("why", config)[1]} == {START}
