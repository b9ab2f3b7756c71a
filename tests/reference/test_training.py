"""Training: resumable bit for bit, a schedule with known ends, examples blind to neighbours."""

import copy
import dataclasses
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.reference import train as training
from pipeline.reference.batches import TrainingBatch, batches, encoded
from pipeline.reference.export import save_model, save_weights
from pipeline.reference.items import Item
from pipeline.reference.recipes import RECIPES, Recipe
from pipeline.reference.train import build, fingerprint, load_weights, schedule, weighted_loss
from pipeline.reference.vocabulary import VOCABULARY

CURVES = Path(__file__).parent / "miniature_curves.json"
#: What makes each backbone small: its own kind of blocks, attention and activation stay.
SMALL = {
    "hidden_size": 32,
    "word_embed_proj_dim": 32,
    "head_dim": 8,
    "intermediate_size": 64,
    "ffn_dim": 64,
    "num_hidden_layers": 2,
}


def miniature(name):
    """A backbone's recipe on a model of 2 narrow layers, for a few steps and in float32, since
    processors differ in how they round bfloat16."""
    full = RECIPES[name]
    config = {key: SMALL.get(key, value) for key, value in full.config.items()}
    changes = {"config": config, "steps": 12, "rows": 4, "warmup_steps": 2, "pull_from": 0.5}
    return dataclasses.replace(full, precision="float32", **changes)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_miniature_of_every_backbone_learns_along_its_stored_curve(name, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    _, rows = training.train(miniature(name), tmp_path / "c.pt")
    losses = [row["loss"] for row in rows]
    assert losses == pytest.approx(json.loads(CURVES.read_text())[name], rel=1e-3)
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_weights_stay_in_single_precision_whatever_matrices_are_multiplied_in(tmp_path, precision):
    model, rows = training.train(recipe(precision=precision), tmp_path / "c.pt")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert math.isfinite(rows[-1]["loss"])


SIZES = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "hidden_act": "relu",
    "tie_word_embeddings": True,
}


def recipe(**changes):
    return Recipe("small", "llama", SIZES, **{"steps": 3, "rows": 2, "warmup_steps": 1, **changes})


class Interrupted(Exception):
    """Stands for a killed process."""


@pytest.mark.parametrize("target", [None, 0.9])
def test_an_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path, monkeypatch, target
):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    small = recipe(target_sparsity=target, pull_from=0.0)
    straight, curve = training.train(small, tmp_path / "straight.pt")
    steps = []

    def interrupt(row):
        steps.append(row["step"])
        if len(steps) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        training.train(small, tmp_path / "resumed.pt", report=interrupt)
    resumed, same_curve = training.train(
        small, tmp_path / "resumed.pt", report=lambda row: steps.append(row["step"])
    )
    assert steps == [1, 2, 3, 3]
    assert same_curve == curve and [row["step"] for row in curve] == [1, 2, 3]
    assert [row["tokens"] for row in curve] == [256, 512, 768]
    state = straight.state_dict()
    assert all(torch.equal(state[name], value) for name, value in resumed.state_dict().items())
    start = build(small).state_dict()
    assert not all(torch.equal(start[name], value) for name, value in state.items())


def test_a_checkpoint_of_another_recipe_is_not_gone_on_from(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    training.train(recipe(steps=1, seed=5), tmp_path / "c.pt")
    resumed, _ = training.train(recipe(steps=1), tmp_path / "c.pt")
    fresh, _ = training.train(recipe(steps=1), tmp_path / "none.pt")
    state = fresh.state_dict()
    assert all(torch.equal(state[name], value) for name, value in resumed.state_dict().items())


def test_fingerprints_tell_recipes_apart():
    assert fingerprint(recipe()) == fingerprint(recipe())
    assert fingerprint(recipe()) != fingerprint(recipe(seed=9))
    assert len({fingerprint(r) for r in RECIPES.values()}) == len(RECIPES)


def test_the_schedule_warms_up_to_1_and_ends_at_a_fiftieth():
    factors = [schedule(step, 100, 10) for step in range(101)]
    assert factors[0] == 0.1 and factors[9] == factors[10] == 1.0
    assert factors[55] == pytest.approx(0.51)
    assert factors[100] == pytest.approx(0.02)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert schedule(0, 100, 0) == 1.0


def test_a_second_cycle_starts_like_the_first():
    one = [schedule(step, 50, 10) for step in range(50)]
    assert [schedule(step, 100, 10, cycles=2) for step in range(100)] == one + one


ITEMS = (
    Item("copying", "copy q w 3 =", "# q w 3", 0, "copy q w 3 ="),
    Item("boolean", "bool T and F =", "T and F > F ; # F", 1, "bool T and F ="),
)


def packed(*items, length=40, question_weight=0.25):
    """One row that holds the items one after the other."""
    arrays = [np.zeros((1, length), dtype=t) for t in (int, int, int, np.float32)]
    at = 0
    for number, item in enumerate(items, 1):
        tokens, weights = encoded(item, question_weight)
        part = slice(at, at + len(tokens))
        for array, values in zip(
            arrays, (tokens, number, range(len(tokens)), weights), strict=True
        ):
            array[0, part] = values
        at = part.stop
    return TrainingBatch(*arrays)


def logits(model, batch):
    seen = []
    handle = model.register_forward_hook(lambda _m, _i, output: seen.append(output.logits))
    with torch.inference_mode():
        loss = float(weighted_loss(model, batch, "cpu"))
    handle.remove()
    return seen[0][0], loss


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_packed_examples_do_not_see_each_other(name):
    model = build(miniature(name)).eval()
    both, _ = logits(model, packed(*ITEMS))
    first, _ = logits(model, packed(ITEMS[0]))
    second, _ = logits(model, packed(ITEMS[1]))
    long, short = (len(encoded(item, 0)[0]) for item in ITEMS)
    torch.testing.assert_close(both[:long], first[:long])
    torch.testing.assert_close(both[long : long + short], second[:short])


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_row_with_one_example_gives_what_the_plain_model_gives(name):
    model = build(miniature(name)).eval()
    tokens = encoded(ITEMS[0], 0)[0]
    with torch.inference_mode():
        plain = model(torch.tensor([tokens])).logits[0]
    torch.testing.assert_close(logits(model, packed(ITEMS[0]))[0][: len(tokens)], plain)


def test_the_loss_is_the_weighted_mean_over_targets_by_hand():
    model = build(recipe()).eval()
    batch = packed(*ITEMS)
    row, loss = logits(model, batch)
    nats = torch.log_softmax(row.double(), dim=1)
    total = weight = 0.0
    for place in range(1, batch.tokens.shape[1]):
        w = float(batch.weights[0, place])
        total -= w * float(nats[place - 1, batch.tokens[0, place]])
        weight += w
    # Question tokens: 5 and 5, a quarter each; answers with their ends: 5 and 9.
    assert weight == pytest.approx(0.25 * (5 + 5) + 5 + 9)
    assert loss == pytest.approx(total / weight, rel=1e-5)


def test_building_is_seeded_and_starts_near_a_uniform_guess():
    one, same, other = (build(recipe(seed=seed)) for seed in (1, 1, 2))
    weights = [m.model.embed_tokens.weight for m in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    batch = next(batches({"copying": 1.0}, 0, 4, 128, 0.15, 0))
    assert logits(one, batch)[1] == pytest.approx(math.log(len(VOCABULARY)), abs=0.3)


def test_weights_survive_saving_in_half_precision(tmp_path):
    model = build(recipe())
    save_weights(model, tmp_path / "w.safetensors")
    again = load_weights(build(recipe(seed=9)), tmp_path / "w.safetensors")
    wanted = copy.deepcopy(model).half().float().state_dict()
    assert all(torch.equal(wanted[name], value) for name, value in again.state_dict().items())
    assert again.lm_head.weight is again.model.embed_tokens.weight


def test_weights_of_another_shape_are_refused(tmp_path):
    other = Recipe("two", "llama", {**SIZES, "num_hidden_layers": 2})
    save_weights(build(other), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="weights do not fit: missing .* unexpected"):
        load_weights(build(recipe()), tmp_path / "w.safetensors")


def test_a_shipped_model_loads_as_any_other(tmp_path):
    from pipeline.config.models import Model
    from pipeline.models.loading import load
    from pipeline.models.resolve import resolve

    model = build(recipe())
    wanted = copy.deepcopy(model).half().float()
    save_model(model, tmp_path / "small")
    source = Model(source=str(tmp_path / "small"))
    loaded, tokenizer = load(source, resolve("small", source))
    for mine, theirs in itertools.zip_longest(wanted.parameters(), loaded.parameters()):
        assert torch.equal(mine, theirs)
    assert tokenizer("copy q =").input_ids == encoded(ITEMS[0], 0)[0][:3] + [
        tokenizer.convert_tokens_to_ids("=")
    ]
