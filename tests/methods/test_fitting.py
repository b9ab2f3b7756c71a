"""Fitting: measures asked for are met, also on other text; parts compose, and a plan applied anew
is the model that was fitted."""

import copy
import dataclasses
import itertools
import re
from contextlib import ExitStack

import numpy as np
import pytest
import scipy.special
import torch

from pipeline.calibration.extraction import extract
from pipeline.config.calibration import Corpus
from pipeline.config.level import Level
from pipeline.config.models import Model
from pipeline.methods import fitting
from pipeline.methods.apply import apply
from pipeline.methods.fitting import fit, prepare
from pipeline.methods.plan import Asked, Plan
from pipeline.methods.sparsifiers.static import shared_with_coldest
from pipeline.models.batches import batches
from pipeline.models.loading import load
from pipeline.models.resolve import resolve
from pipeline.models.sparsity import Meter, figures
from pipeline.models.views import view
from pipeline.numerics.measures import MEASURES
from pipeline.registry import PARTS, SPARSIFIERS
from pipeline.store.artifacts import Manifest
from tests.methods.evidence import SPECIAL_IDS, evidence_of, random_text

TEXT, OTHER_TEXT = random_text(80), random_text(80, seed=1)
#: Channels and neurons are many enough for rules that count them to come near a share.
SIZES = {"hidden_size": 64, "intermediate_size": 128, "ffn_dim": 128, "word_embed_proj_dim": 64}
SMALL = {
    "silu": {"hidden_act": "silu"},
    "relu": {"hidden_act": "relu"},
    "opt": {"architecture": "OPTForCausalLM", "hidden_act": "relu"},
}
#: Options that keep tests short; the others are the defaults.
SHORT = {
    "predicted": {"rank": 8, "steps": 20, "tokens": 1024},
    "rsparse": {"alphas": [0.9]},
    "percentile": {"outputs": ["up"]},
    "selective": {"distractor": "other"},
    "spon": {"sites": "all", "steps": 4, "every": 2, "learning_rate": 0.01},
}


def part(kind, name, **options):
    given = {**SHORT.get(name, {}), **options}
    return {"name": name, "options": PARTS[kind].load(name).Options(**given).model_dump()}


def asked(level, measure=None, **names):
    """Parts by kind; a part is a name, or (name, options)."""
    parts = {}
    for kind in PARTS:
        if found := names.get(kind):
            name, options = (found, {}) if isinstance(found, str) else found
            parts[kind] = part(kind, name, **options)
    return Asked(parts, Level(level), measure)


def achieved(model, plan, rows, special=SPECIAL_IDS):
    """The measures of a plan on a text."""
    student = copy.deepcopy(model)
    with ExitStack() as ends, torch.inference_mode():
        forward = apply(plan, view(student), ends)
        meter = Meter(view(student), forward)
        ends.enter_context(meter.watching(student))
        for batch in batches(rows, 64, special, "cpu"):
            student(input_ids=batch.tokens, attention_mask=batch.attention)
        return figures(meter.counts())


def logits(model, forward):
    with forward.watching(model), torch.inference_mode():
        return model(torch.tensor([row[:12] for row in TEXT[:4]])).logits


def applied(model, plan):
    """Logits of a fresh model with a plan applied."""
    student = copy.deepcopy(model)
    with ExitStack() as ends:
        return logits(student, apply(plan, view(student), ends))


def with_the_model_at_the_end(monkeypatch):
    """A function that gives the logits of the model as it stood when fitting ended."""
    seen, counts = [], fitting._counts

    def noting(evidence, forward):
        found = counts(evidence, forward)
        seen.append(logits(evidence.model, forward))
        return found

    monkeypatch.setattr(fitting, "_counts", noting)
    return lambda: seen[-1]


MEASURABLE = [
    name
    for name in SPARSIFIERS
    # It may go no further than the hot set, and the end of its reach is past that.
    if not SPARSIFIERS.load(name).part and name != "keep_cold"
]


@pytest.fixture(scope="module")
def neurons(make_neurons):
    """Neurons that half of a text makes active, with another text beside it."""
    generator = np.random.default_rng(0)
    found = make_neurons(generator.integers(1, 1000, (2, 128)))[2]
    return dataclasses.replace(found, of_distractor=generator.random(256))


@pytest.fixture(scope="module")
def small(make_model):
    """kind -> model"""
    return {kind: make_model(**SIZES, **facts) for kind, facts in SMALL.items()}


#: Every sparsifier on a gated model without exact zeros, and on one of the two others.
ASKED = [
    (name, kind)
    for number, name in enumerate(MEASURABLE)
    for kind in ("silu", "opt" if number % 2 or name == "cats" else "relu")
]


@pytest.mark.parametrize(("name", "kind"), ASKED)
def test_what_is_asked_for_is_achieved(small, neurons, name, kind):
    """Each measure within one point, on the text and on another that the same generator drew."""
    model, facts = small[kind], {"neurons": neurons, "hot": neurons.hot.reshape(2, 128)}
    # The model is left as it is: nothing but the sparsifier's hooks is put on it.
    evidence = evidence_of(model, TEXT, **facts)
    prepared, _ = prepare(asked("whole", sparsifier=name), evidence)

    def plan(level, measure):
        return fit(asked(level, measure, sparsifier=name), evidence, prepared, pytest.fail)[0]

    ends = [plan(share, None) for share in (0.0, 1.0)]
    if ends[0].refused:
        assert kind == "opt" and name == "cats" and "no gate" in ends[0].refused
        return
    for measure, place in zip(MEASURES, (0.2, 0.5, 0.85), strict=True):
        low, high = (end.achieved["total"][measure] for end in ends)
        assert high - low > 0.05
        level = round(low + place * (high - low), 3)
        found = plan(level, measure)
        assert found.refused is None and found.reach == pytest.approx((low, high))
        assert 0 < found.share < 1
        assert found.achieved["total"][measure] == pytest.approx(level, abs=0.008)
        for rows in (TEXT, OTHER_TEXT):
            total = achieved(model, found, rows)["total"][measure]
            assert total == pytest.approx(level, abs=0.01), (measure, level)


def built_in(name, tokens):
    """(model, half of a text, its other half, special tokens) of a built-in model."""
    section = Model(source=f"builtin:{name}")
    model, tokenizer = load(section, resolve(name, section))
    corpus = Corpus(source="builtin:reasoning", tokens=2 * tokens, sequence_length=128)
    rows = extract(corpus, tokenizer, [])[0]["tokens"]
    # Drawn, since the documents take turns in what they tell.
    drawn = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    half = len(drawn) // 2
    return model, drawn[:half], drawn[half:], tokenizer.all_special_ids


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ref-swiglu", [("teal", 0.5, MEASURES[2]), ("cats", 0.4, MEASURES[1])]),
        ("ref-reglu", [("teal", 0.65, MEASURES[2])]),
    ],
)
def test_a_trained_model_achieves_it_on_text_held_out(name, wanted):
    model, rows, others, special = built_in(name, 2500)
    for sparsifier, level, measure in wanted:
        evidence = evidence_of(model, rows, special, batch_size=64)
        plan, _ = fit(asked(level, measure, sparsifier=sparsifier), evidence, {}, pytest.fail)
        assert plan.refused is None
        assert plan.achieved["total"][measure] == pytest.approx(level, abs=0.002)
        for text in (rows, others):
            total = achieved(model, plan, text, special)["total"][measure]
            assert total == pytest.approx(level, abs=0.01)


def test_cats_reads_the_gate_so_a_third_is_always_read(small):
    found = fit(
        asked(0.68, "ffn_weight_sparsity", sparsifier="cats"),
        evidence_of(small["silu"], TEXT), {}, pytest.fail,
    )[0]  # fmt: skip
    assert not found.arrays and found.achieved is None
    low, high = interval(found.refused)
    said = "ffn_weight_sparsity 0.68 is outside what this method can reach on this model"
    assert found.refused.startswith(said)
    assert low == 0 and 0.66 <= high <= 0.667


@pytest.mark.parametrize("name", ["teal", "topk", "cats"])
def test_a_relu_model_is_no_denser_than_it_is_by_nature(small, name):
    model = small["relu"]
    nature = achieved(model, Plan({}, "whole", 0), TEXT)
    assert nature["imposed"]["neuron_sparsity"] == 0 < nature["total"]["neuron_sparsity"]
    for measure, natural in nature["total"].items():
        level = round(natural - 0.02, 3)
        found = fit(
            asked(level, measure, sparsifier=name), evidence_of(model, TEXT), {}, pytest.fail
        )[0]
        assert interval(found.refused)[0] == pytest.approx(natural, abs=6e-4)
        assert not found.arrays


def interval(text):
    low, high = re.search(r", (\S+) to (\S+) \(", text).groups()
    return float(low), float(high)


ARCHITECTURES = ("LlamaForCausalLM", "OPTForCausalLM", "GPT2LMHeadModel", "Phi3ForCausalLM")
WANDA = ("wanda", {"share": 0.5})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_four_parts_applied_anew_are_the_model_as_it_was_fitted(
    make_model, monkeypatch, architecture
):
    model = make_model(architecture, hidden_act="silu")
    at_the_end = with_the_model_at_the_end(monkeypatch)
    question = asked(
        0.5, weights=WANDA, quantization="int4", sparsifier="teal", compensation="spon"
    )
    plan, curve = fit(question, evidence_of(copy.deepcopy(model), TEXT), {}, lambda: model)
    assert plan.refused is None and curve
    assert all(plan.of(kind) for kind in ("weights", "sparsifier", "compensation"))
    assert torch.equal(applied(model, plan), at_the_end())
    # And not what any part alone makes of it.
    for kind in question.parts:
        parts = {k: v for k, v in question.parts.items() if k != kind}
        arrays = {k: v for k, v in plan.arrays.items() if not k.startswith(kind)}
        without = dataclasses.replace(plan, parts=parts, arrays=arrays)
        assert not torch.equal(applied(model, without), at_the_end())


CHOICES = {
    "weights": ("wanda", {"share": 0.5, "pattern": "2:4"}),
    "quantization": "int8",
    "sparsifier": "teal",
    "compensation": ("spon", {}),
}
SUBSETS = [
    kinds
    for size in range(1, 5)
    for kinds in itertools.combinations(CHOICES, size)
    if kinds != ("compensation",)
]


@pytest.mark.parametrize("kinds", SUBSETS, ids=["+".join(kinds) for kinds in SUBSETS])
def test_any_of_the_four_parts_work_together(make_model, monkeypatch, kinds):
    model = make_model(hidden_act="silu")
    at_the_end = with_the_model_at_the_end(monkeypatch)
    chosen = {kind: CHOICES[kind] for kind in kinds}
    plan, curve = fit(
        asked(0.5 if "sparsifier" in kinds else "whole", **chosen),
        evidence_of(copy.deepcopy(model), TEXT), {}, lambda: copy.deepcopy(model),
    )  # fmt: skip
    assert plan.refused is None and bool(curve) == ("compensation" in kinds)
    assert {name.partition("/")[0] for name in plan.arrays} == set(kinds) - {"quantization"}
    assert torch.equal(applied(model, plan), at_the_end())
    assert achieved(model, plan, TEXT)["total"] == pytest.approx(plan.achieved["total"])
    spared = plan.achieved["total"]["model_weight_sparsity"]
    assert (spared > 0.4) == bool({"weights", "sparsifier"} & set(kinds))


STATIC = {
    "channels, then a static mask": {
        "weights": ("wanda", {"share": 0.25, "pattern": "channels"}),
        "sparsifier": "drop_random",
    },
    "channels, then inputs": {
        "weights": ("magnitude", {"share": 0.25, "pattern": "channels"}),
        "sparsifier": "teal",
        "compensation": ("spon", {}),
    },
    "a static mask, then a bias": {
        "quantization": "int4",
        "sparsifier": "drop_small",
        "compensation": ("mean_bias", {"sites": "all"}),
    },
}


@pytest.mark.parametrize("chosen", STATIC.values(), ids=STATIC)
def test_neurons_that_are_gone_for_good_go_with_every_part(
    make_model, make_neurons, monkeypatch, chosen
):
    """Also where they go before other parts are fitted, and the plan removes them last."""
    model = make_model(hidden_act="gelu_pytorch_tanh")
    neurons = make_neurons(np.random.default_rng(0).integers(1, 1000, (2, 24)))[2]
    at_the_end = with_the_model_at_the_end(monkeypatch)
    evidence = evidence_of(copy.deepcopy(model), TEXT, neurons=neurons)
    plan, _ = fit(asked(0.5, **chosen), evidence, {}, lambda: copy.deepcopy(model))
    assert plan.refused is None and plan.dropped is not None
    drawn = "drop_random" in chosen.values()
    assert (plan.shared_with_coldest is not None) is drawn
    if drawn:
        own = plan.arrays["sparsifier/dropped"].astype(bool)
        assert plan.shared_with_coldest == shared_with_coldest(own, neurons)
    kept = {name: values.copy() for name, values in plan.arrays.items()}
    assert torch.equal(applied(model, plan), at_the_end())
    assert achieved(model, plan, TEXT)["total"] == pytest.approx(plan.achieved["total"])
    # A plan is applied to many models, and stays as it is.
    assert all(np.array_equal(values, kept[name]) for name, values in plan.arrays.items())


def test_a_draw_among_the_cold_meets_a_measure_as_far_as_there_are_cold_neurons(
    make_model, make_neurons
):
    model = make_model(hidden_act="silu")
    neurons = make_neurons(np.random.default_rng(0).integers(1, 1000, (2, 24)))[2]
    assert 0 < neurons.hot.sum() < neurons.hot.size
    among = ("drop_random", {"match": None, "among": "cold"})
    evidence = dataclasses.replace(evidence_of(model, TEXT, neurons=neurons), scope="layer")
    plan, _ = fit(asked(0.2, "neuron_sparsity", sparsifier=among), evidence, {}, pytest.fail)
    assert plan.refused is None
    assert not (plan.dropped.reshape(-1) & neurons.hot).any()
    least = min((~neurons.hot).reshape(2, 24).mean(axis=1))
    assert plan.reach[1] == pytest.approx(least, abs=0.03)
    more, _ = fit(asked(0.99, "neuron_sparsity", sparsifier=among), evidence, {}, pytest.fail)
    assert more.refused.startswith("neuron_sparsity 0.99 is outside what this method can reach")


@pytest.mark.parametrize("name", ["teal", "cats", "percentile", "cett"])
def test_thresholds_are_those_of_the_pruned_and_quantized_model(small, name):
    model = small["silu"]

    def thresholds(**earlier):
        evidence = evidence_of(copy.deepcopy(model), TEXT)
        plan, _ = fit(asked(0.7, **earlier, sparsifier=name), evidence, {}, pytest.fail)
        (found,) = [v for k, v in plan.of("sparsifier").items() if k != "shares"]
        return found

    alone = thresholds()
    assert not np.isclose(thresholds(weights=WANDA), alone, rtol=0.01).all()
    # Less than a bin of the histograms in most layers.
    assert name != "teal" or not np.array_equal(thresholds(quantization="int4"), alone)
    assert np.array_equal(thresholds(), alone)


@pytest.mark.parametrize(
    "chosen",
    [
        {"weights": ("sparsegpt", {"share": 0.5}), "sparsifier": "teal"},
        {"weights": WANDA, "sparsifier": ("teal", {"allocation": "greedy"})},
        {"weights": ("wanda", {"share": 0.5, "pattern": "channels"}), "sparsifier": "cats"},
        {"quantization": "int8", "sparsifier": "predicted"},
    ],
    ids=["sparsegpt+teal", "wanda+greedy teal", "channels+cats", "int8+predicted"],
)
def test_what_was_prepared_is_what_fitting_alone_finds(make_model, chosen):
    """Levels share the work, and their plans do not tell."""
    model = make_model(hidden_act="silu")
    prepared, trained = prepare(asked("whole", **chosen), evidence_of(copy.deepcopy(model), TEXT))
    assert prepared and bool(trained) == (chosen["sparsifier"] == "predicted")
    for level in (0.3, 0.6):
        plans = []
        for own in (prepared, {}):
            evidence = evidence_of(copy.deepcopy(model), TEXT)
            plans.append(fit(asked(level, **chosen), evidence, own, pytest.fail)[0])
        one, other = plans
        assert one.refused is None
        assert one.arrays.keys() == other.arrays.keys()
        for name, values in one.arrays.items():
            assert values.tobytes() == other.arrays[name].tobytes(), name
        assert one.achieved == other.achieved


def test_rows_that_a_pattern_does_not_cut_are_refused_and_nothing_is_prepared(make_model):
    chosen = {"weights": ("wanda", {"share": 0.5, "pattern": "2:4"}), "sparsifier": "teal"}
    model = make_model(hidden_size=18, head_dim=8)
    assert prepare(asked("whole", **chosen), evidence_of(copy.deepcopy(model), TEXT)) == ({}, [])
    plan, _ = fit(asked(0.5, **chosen), evidence_of(copy.deepcopy(model), TEXT), {}, pytest.fail)
    said = (
        "the pattern 2:4 needs rows of a multiple of 4 inputs; self_attn.q_proj of block 0 has 18"
    )
    assert plan.refused == said


def test_the_teacher_is_the_original_model(make_model):
    """Not the one that is pruned and quantized: the first loss is the distance from it."""
    model = make_model(hidden_act="silu")
    weights = copy.deepcopy(model.state_dict())
    asks = []

    def teacher():
        asks.append(copy.deepcopy(model))
        return asks[-1]

    chosen = {"weights": WANDA, "quantization": "int4"}
    evidence = evidence_of(copy.deepcopy(model), TEXT)
    held_out = evidence.held_out
    _, curve = fit(asked("whole", **chosen, compensation="spon"), evidence, {}, teacher)
    assert len(asks) == 1
    for name, values in asks[0].state_dict().items():
        assert torch.equal(values, weights[name])
    alone, _ = fit(
        asked("whole", **chosen), evidence_of(copy.deepcopy(model), TEXT), {}, pytest.fail
    )
    student, found = copy.deepcopy(model), []
    with ExitStack() as ends, torch.inference_mode():
        forward = apply(alone, view(student), ends)
        ends.enter_context(forward.watching(student))
        for row in held_out:
            p, q = (
                scipy.special.softmax(m(torch.tensor([row])).logits[0, :-1].double().numpy(), -1)
                for m in (model, student)
            )
            found.append(scipy.special.rel_entr(p, q).sum(-1))
    wanted = np.concatenate(found).mean()
    assert wanted > 0.1
    assert curve[0]["held_out"] == pytest.approx(wanted, rel=1e-4)


def test_a_compensation_is_fitted_on_a_text_of_its_own(make_model):
    model = make_model(hidden_act="silu")
    other = random_text(60, seed=8, words=30)

    def plan(text, rows=TEXT):
        evidence = evidence_of(copy.deepcopy(model), rows)
        question = asked(0.5, sparsifier="teal", compensation=("mean_bias", {"sites": "all"}))
        return fit(question, evidence, {}, lambda: model, text)[0]

    own, of_other = plan(None), plan(other)
    for name, values in own.of("sparsifier").items():
        assert np.array_equal(values, of_other.of("sparsifier")[name])
    assert any(
        not np.allclose(values, of_other.of("compensation")[name], rtol=0.05)
        for name, values in own.of("compensation").items()
    )
    same = plan(TEXT)
    for name, values in own.arrays.items():
        assert np.array_equal(values, same.arrays[name])


def test_a_fitted_plan_is_read_as_it_was_written(make_model, tmp_path):
    model = make_model(hidden_act="silu")
    question = asked(
        0.5,
        "model_weight_sparsity",
        weights=WANDA,
        quantization="int4",
        sparsifier="teal",
        compensation="spon",
    )
    question = dataclasses.replace(question, level=Level(0.8), seed=3)
    plan, _ = fit(question, evidence_of(copy.deepcopy(model), TEXT), {}, lambda: model)
    assert plan.refused is None and plan.reach and 0 < plan.share < 1
    record = {
        "name": "small",
        "source": "",
        "commit": None,
        "dtype": "float32",
        "weights_digest": "0" * 32,
    }
    paths = tmp_path / "plan.json", tmp_path / "plan.safetensors"
    plan.write(*paths, Manifest("fit", "0" * 32), record)
    found = Plan.read(*paths)
    for field in dataclasses.fields(Plan):
        if field.name not in ("arrays", "parts"):
            assert getattr(found, field.name) == getattr(plan, field.name), field.name
    assert found.arrays.keys() == plan.arrays.keys()
    for name, values in plan.arrays.items():
        assert found.arrays[name].dtype == values.dtype
        assert found.arrays[name].tobytes() == values.tobytes()
    assert torch.equal(applied(model, found), applied(model, plan))


def test_nothing_is_left_on_the_model(make_model):
    model = make_model(hidden_act="silu")
    evidence = evidence_of(copy.deepcopy(model), TEXT)
    question = asked(0.5, "model_weight_sparsity", sparsifier="teal", compensation="spon")
    fit(question, evidence, {}, lambda: model)
    for module in evidence.model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks


CHANNELS = ("wanda", {"share": 0.25, "pattern": "channels"})


def test_channels_are_gone_before_the_rest_is_quantized(make_model, monkeypatch):
    model = make_model(hidden_act="silu")
    at_the_end = with_the_model_at_the_end(monkeypatch)
    question = asked("whole", weights=CHANNELS, quantization="int4")
    plan, _ = fit(question, evidence_of(copy.deepcopy(model), TEXT), {}, pytest.fail)
    assert torch.equal(applied(model, plan), at_the_end())


def test_a_bias_does_not_bring_channels_back(make_model):
    model = make_model(hidden_act="silu")
    question = asked("whole", weights=CHANNELS, compensation=("mean_bias", {"sites": "all"}))
    plan, _ = fit(question, evidence_of(copy.deepcopy(model), TEXT), {}, lambda: model)
    assert achieved(model, plan, TEXT)["total"] == pytest.approx(plan.achieved["total"])


def test_what_is_refused_is_not_prepared(make_model):
    model = make_model("OPTForCausalLM", do_layer_norm_before=False)
    assert prepare(asked("whole", sparsifier="predicted"), evidence_of(model, TEXT)) == ({}, [])


def test_hot_neurons_go_up_to_a_measure(small, neurons):
    evidence = evidence_of(small["silu"], TEXT, neurons=neurons)
    question = asked(0.05, "neuron_sparsity", sparsifier="keep_cold")
    assert fit(question, evidence, {}, pytest.fail)[0].refused is None
