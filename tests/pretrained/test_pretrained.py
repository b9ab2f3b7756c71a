"""Pretrained models: read exactly, profiled, pruned, written, and decoded through the kernels."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import pipeline
from pipeline.decoding import patch
from pipeline.decoding.of_plan import for_kernels
from pipeline.methods.export import export
from pipeline.models.batches import batches
from pipeline.models.folder import tensors
from pipeline.models.loss import text_loss
from pipeline.models.views import view
from tests.pretrained.conftest import CHOSEN

HERE = Path(__file__).parent
PARAGRAPH = (HERE / "paragraph.txt").read_text(encoding="utf-8").strip()
#: Nats of every token of the paragraph but the first, as llama.cpp computes them, and the tokens.
LLAMA_CPP = json.loads((HERE / "llama_cpp.json").read_text())
#: A method of every kind: neurons gone for good, skipped by gate or by every layer's input, chosen
#: per prompt or by a predictor, weights pruned, quantized, and compensated.
STATIC = {
    "drop_cold": ({"sparsifier": "drop_cold", "scope": "layer"}, 0.25),
    "wanda 2:4": ({"weights": {"name": "wanda", "pattern": "2:4"}}, 0.5),
    "int8": ({"quantization": "int8"}, "whole"),
}
DYNAMIC = {
    "cats": ({"sparsifier": "cats"}, 0.5),
    "teal": ({"sparsifier": "teal"}, 0.4),
    "mean_bias": ({"sparsifier": "teal", "compensation": "mean_bias"}, 0.4),
}
if CHOSEN == "all":
    # Training a predictor for every layer takes minutes.
    DYNAMIC["predicted"] = ({"sparsifier": {"name": "predicted", "steps": 20}}, 0.25)


@pytest.fixture(scope="session")
def calibration(in_float32):
    """The model with a little text, which is no evidence of anything but that all of it runs."""
    model, tokenizer = in_float32
    sentences = PARAGRAPH.split(". ")
    return pipeline.Calibration(model, tokenizer, sentences * 2, tokens=256, sequence_length=64)


def nats(model, tokens):
    """Of every token but the first."""
    with torch.inference_mode():
        logs = model(torch.tensor([tokens])).logits[0, :-1].float().log_softmax(-1)
    return -logs.gather(1, torch.tensor(tokens)[1:, None])[:, 0].double().numpy()


def test_it_gives_the_tokens_and_nats_of_llama_cpp(pretrained, in_float32):
    model, tokenizer = in_float32
    wanted = LLAMA_CPP["models"][pretrained.name]
    tokens = tokenizer(PARAGRAPH)["input_ids"]
    assert tokens == wanted["tokens"] and len(tokens) > 280
    found = nats(model, tokens)
    assert abs(found.mean() - np.mean(wanted["nats"])) < 0.005
    # llama.cpp rounds what a packed matrix reads to eight bits, which moves single tokens.
    assert np.abs(found - wanted["nats"]).mean() < 0.1


def test_its_loss_is_that_of_plain_transformers(pretrained, in_float32):
    tokens = LLAMA_CPP["models"][pretrained.name]["tokens"]
    plain = AutoModelForCausalLM.from_pretrained(pretrained.folder, dtype=torch.float32)
    wanted = nats(plain.eval(), tokens).mean()
    batch = list(batches([tokens], 1, [], "cpu"))
    assert text_loss(in_float32[0], batch) == pytest.approx(wanted, abs=1e-4)
    del plain
    assert text_loss(pretrained.load("bfloat16")[0], batch) == pytest.approx(wanted, abs=0.01)


def test_it_is_profiled_and_classified_by_layer(calibration, in_float32):
    plan = calibration.fit("drop_cold", "cold")
    dropped = plan.dropped
    assert dropped.shape == (len(view(in_float32[0]).ffns), in_float32[0].config.intermediate_size)
    assert (dropped.sum(axis=1) > 0).all() and not dropped.all()


@pytest.mark.parametrize("method", [*STATIC, *DYNAMIC])
def test_a_method_changes_the_model_and_is_undone(calibration, in_float32, method):
    parts, level = {**STATIC, **DYNAMIC}[method]
    model, tokenizer = in_float32
    tokens = tokenizer(PARAGRAPH)["input_ids"][:48]
    before = nats(model, tokens)
    with pipeline.apply(model, calibration.fit(parts, level)):
        changed = nats(model, tokens)
    assert np.isfinite(changed).all() and not np.allclose(changed, before, atol=1e-4)
    assert changed.mean() < math.log(model.config.vocab_size)
    assert (nats(model, tokens) == before).all()


@pytest.mark.parametrize("method", STATIC)
def test_a_plan_becomes_a_folder_of_the_same_model(calibration, in_float32, tmp_path, method):
    model, tokenizer = in_float32
    plan = calibration.fit(*STATIC[method])
    tokens = tokenizer(PARAGRAPH)["input_ids"][:48]
    with pipeline.apply(model, plan):
        wanted = nats(model, tokens)
    export(plan, copy.deepcopy(model), tokenizer, tmp_path / "out", "bfloat16")
    assert {t.dtype for t in tensors(tmp_path / "out" / "model.safetensors").values()} == {"BF16"}
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    assert nats(again, tokens).mean() == pytest.approx(wanted.mean(), abs=0.05)


def steps(model, tokens, prompt):
    """(tokens, words) logits of a prompt's last token and of the tokens after it, one by one."""
    with torch.inference_mode():
        found = model(torch.tensor([tokens[:prompt]]), use_cache=True)
        logits = [found.logits[0, -1]]
        for token in tokens[prompt:]:
            given = {"past_key_values": found.past_key_values, "use_cache": True}
            found = model(torch.tensor([[token]]), **given)
            logits.append(found.logits[0, -1])
    return torch.stack(logits)


@pytest.mark.parametrize("method", ["drop_cold", "cats", "teal"])
def test_it_decodes_through_the_kernels_as_the_plan_says(calibration, in_float32, method):
    parts, level = {**STATIC, **DYNAMIC}[method]
    model, tokenizer = in_float32
    plan = calibration.fit(parts, level)
    tokens = tokenizer(PARAGRAPH)["input_ids"][:40]
    with pipeline.apply(model, plan):
        wanted = steps(model, tokens, 24)
    other = copy.deepcopy(model)
    patched = patch(other, for_kernels(plan), fall_back=False)
    assert method == "drop_cold" or patched.report()
    found = steps(other, tokens, 24)
    apart = (found - wanted).norm(dim=1) / wanted.norm(dim=1)
    # Where an input lies within rounding of its threshold, one of the two may skip it, and all that
    # follows is another number.
    assert apart.median() < 1e-5


def test_neurons_chosen_per_prompt_are_those_of_what_follows(calibration, in_float32):
    model, tokenizer = in_float32
    plan = calibration.fit({"sparsifier": "griffin"}, 0.5)
    tokens = tokenizer(PARAGRAPH)["input_ids"][:32]
    dense = steps(model, tokens, 24)
    with pipeline.apply(model, plan):
        found = steps(model, tokens, 24)
    assert torch.allclose(found[0], dense[0], atol=1e-3)
    apart = (found[1:] - dense[1:]).norm(dim=1) / dense[1:].norm(dim=1)
    assert apart.min() > 1e-3
