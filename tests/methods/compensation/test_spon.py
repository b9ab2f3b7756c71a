"""SPON: its gradient and its loss against independent figures, folding, training, restarts."""

import copy
from contextlib import ExitStack

import numpy as np
import pytest
import scipy.special
import torch

from pipeline.config.level import WHOLE, Level
from pipeline.methods.apply import apply
from pipeline.methods.compensation import spon
from pipeline.methods.compensation.sites import biases, fold, modules
from pipeline.methods.compensation.spon import Spon, SponDense, distance
from pipeline.methods.fitting import fit
from pipeline.methods.masks import Masks
from pipeline.methods.plan import Asked, Refused
from pipeline.methods.sparsifiers.teal import Teal
from pipeline.models.forward import Forward
from pipeline.models.views import linear_layers, matrix, view
from tests.methods.evidence import evidence_of, random_text
from tests.small import ONE_A_VIEW

TEAL = {"name": "teal", "options": {"allocation": "uniform"}}
TEXT = random_text(120)


KINDS = {"spon": Spon, "spon_dense": SponDense}


def part(name="spon", **options):
    return {"name": name, "options": KINDS[name].Options(**options).model_dump()}


def learned(model, compensation, level=0.7, text=TEXT, **facts):
    """(plan, curve) of TEAL with a compensation; the model given is left as it is."""
    parts = {"sparsifier": TEAL}
    if compensation:
        parts["compensation"] = compensation
    evidence = evidence_of(copy.deepcopy(model), text, **facts)
    return fit(Asked(parts, Level.of(level)), evidence, {}, lambda: copy.deepcopy(model))


def sparse(model, plan, rows=TEXT):
    """Logits of every sequence of its own, (length, vocabulary), of a model with a plan applied."""
    student = copy.deepcopy(model)
    with ExitStack() as ends, torch.inference_mode():
        forward = apply(plan, view(student), ends)
        ends.enter_context(forward.watching(student))
        return [student(torch.tensor([row])).logits[0] for row in rows]


def dense(model, rows=TEXT):
    with torch.inference_mode():
        return [model(torch.tensor([row])).logits[0] for row in rows]


def divergence(teacher, student):
    """KL(teacher || student) of every row, by scipy."""
    p, q = (scipy.special.softmax(x.double().numpy(), axis=-1) for x in (teacher, student))
    return scipy.special.rel_entr(p, q).sum(-1)


def thresholds(model, rows):
    """Settings of TEAL at which every linear layer skips about half of its inputs: the middle of
    the widest gap near the median, so that small changes skip nothing else."""
    layout, read = view(model), {}
    with ExitStack() as ends, torch.no_grad():
        for block in layout.blocks:
            for _, module in linear_layers(block):
                hook = module.register_forward_pre_hook(
                    lambda m, given: read.setdefault(m, []).append(given[0].abs().flatten())
                )
                ends.callback(hook.remove)
        model(rows)
    settings = []
    for block in layout.blocks:
        settings.append([])
        for _, module in linear_layers(block):
            sizes = torch.cat(read[module]).sort().values
            middle = sizes[len(sizes) // 3 : -(len(sizes) // 3)]
            widest = int(middle.diff().argmax())
            settings[-1].append(float(middle[widest] + middle[widest + 1]) / 2)
    return {"settings": np.array(settings)}


def masked(model, settings, ends):
    forward = Forward()
    Teal().attach(Masks(view(model), forward, ends), settings, None)
    return forward


TINY = {
    "hidden_size": 4,
    "ffn_dim": 4,
    "intermediate_size": 5,
    "word_embed_proj_dim": 4,
    "hidden_act": "gelu",
    "initializer_range": 0.8,
    "init_std": 0.8,
}


def tiny(make_model, architecture):
    """A model that computes in float64 throughout: Llama's own norms would round to float32."""
    model = make_model(architecture, **TINY).double()
    if architecture == "LlamaForCausalLM":
        for block in model.model.layers:
            block.input_layernorm = torch.nn.RMSNorm(4).double()
            block.post_attention_layernorm = torch.nn.RMSNorm(4).double()
        model.model.norm = torch.nn.RMSNorm(4).double()
    return model


@pytest.mark.parametrize("architecture", ["OPTForCausalLM", "LlamaForCausalLM"])
@pytest.mark.parametrize("sites", ["down", "all"])
def test_the_gradient_is_that_of_central_differences(make_model, monkeypatch, architecture, sites):
    """In float64, of every number of every vector, away from 0, with TEAL's masks at work."""
    teacher = tiny(make_model, architecture)
    student = copy.deepcopy(teacher)
    rows = random_text(4, seed=3, shortest=6, longest=9)
    compared = []

    def train(vectors, loss, held_out, *_others):
        generator = torch.Generator().manual_seed(1)
        for vector in vectors.values():
            noise = torch.randn(vector.shape, generator=generator, dtype=vector.dtype)
            vector.add_(noise, alpha=0.01).requires_grad_(True)
        items = range(3)
        for part in loss(items):
            part.backward()
        for place, vector in vectors.items():
            assert vector.dtype == torch.float64
            for index in range(len(vector)):
                found = []
                for step in (1e-6, -1e-6):
                    with torch.no_grad():
                        before = float(vector[index])
                        vector[index] = before + step
                        found.append((float(sum(loss(items))), told(forward)))
                        vector[index] = before
                (above, skipped), (below, unchanged) = found
                assert skipped == unchanged
                compared.append((place, float(vector.grad[index]), (above - below) / 2e-6))
        return {place: vector.detach() for place, vector in vectors.items()}, []

    monkeypatch.setattr(spon, "train", train)
    with ExitStack() as ends:
        forward = masked(student, thresholds(teacher, torch.tensor([rows[0][:6]])), ends)
        repair = spon.Repair(evidence_of(student, rows), forward, lambda: teacher)
        Spon().fit(repair, Spon.Options(sites=sites))
    blocks = view(teacher).blocks
    width = sum(matrix(m).shape[1] for b in blocks for _, m in linear_layers(b))
    assert len(compared) == (width if sites == "all" else sum(f.d_ff for f in view(teacher).ffns))
    found, wanted = (np.array([row[n] for row in compared]) for n in (1, 2))
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-8)


def told(forward):
    """What a pass left out, as bytes."""
    kept = [mask.numpy().tobytes() for mask in forward.kept.values()]
    return kept + [skipped.hidden.numpy().tobytes() for skipped in forward.skipped.values()]


def test_the_distance_of_two_coins_by_hand():
    # 1/2 log(1/2 : 3/4) + 1/2 log(1/2 : 1/4) = log(4/3) / 2; the other way round it is
    # 3/4 log(3/2) + 1/4 log(1/2).
    fair, biased = (torch.tensor([[p, 1 - p]]).log() for p in (0.5, 0.75))
    assert float(distance(biased, fair)) == pytest.approx(np.log(4 / 3) / 2, rel=1e-6)
    wanted = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert float(distance(fair, biased)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_the_distance_is_summed_over_tokens(dtype):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (
        torch.randn(15, 7, generator=generator).mul(4).to(getattr(torch, dtype)) for _ in range(2)
    )
    wanted = divergence(teacher, student).sum()
    rel = 1e-12 if dtype == "float64" else 1e-5
    assert float(distance(student, teacher)) == pytest.approx(wanted, rel=rel)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_a_folded_vector_is_one_that_is_added_after_the_mask(make_model, architecture):
    model = make_model(architecture, mlp_bias=True, hidden_act="silu")
    tokens = torch.tensor([TEXT[0][:12], TEXT[1][:12]])
    settings, generator = thresholds(model, tokens), torch.Generator().manual_seed(2)
    vectors = {
        place: torch.randn(matrix(module).shape[1], generator=generator).mul(0.3)
        for place, module in modules(view(model), "all").items()
    }
    whole = {}
    for how in ("none", "after", "before", "folded"):
        student = copy.deepcopy(model)
        sites = modules(view(student), "all")
        with ExitStack() as ends, torch.inference_mode():
            forward = masked(student, settings, ends)
            if how in ("after", "before"):
                for place, alpha in vectors.items():
                    sites[place].register_forward_pre_hook(
                        lambda _m, given, alpha=alpha: (given[0] + alpha,), prepend=how == "before"
                    )
            if how == "folded":
                fold(biases(vectors, view(student)), view(student))
            ends.enter_context(forward.watching(student))
            whole[how] = student(input_ids=tokens).logits
    torch.testing.assert_close(whole["folded"], whole["after"], rtol=2e-4, atol=2e-4)
    assert (whole["after"] - whole["none"]).abs().max() > 0.1
    assert (whole["after"] - whole["before"]).abs().max() > 0.01


def test_a_layer_without_a_bias_is_given_one_and_another_keeps_its_own(make_model):
    model = make_model(mlp_bias=True)
    own = view(model).ffns[1].down.module
    with torch.no_grad():
        own.bias.fill_(2.0)
    query = "0/self_attn.q_proj"
    assert modules(view(model), "all")[query].bias is None
    arrays = {"1/mlp.down_proj": np.full(16, 0.5, np.float32), query: np.ones(16, np.float32)}
    fold(arrays, view(model))
    assert own.bias.tolist() == [2.5] * 16
    made = modules(view(model), "all")[query].bias
    assert made.tolist() == [1.0] * 16 and not made.requires_grad
    # A plan is applied to more than one model, and neurons that go take their biases with them.
    with torch.no_grad():
        made.zero_()
    assert arrays[query].tolist() == [1.0] * 16


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(hidden_act="gelu_pytorch_tanh")


@pytest.fixture(scope="module")
def trained(model):
    """site -> (plan, curve), of a few steps."""
    return {
        sites: learned(model, part(sites=sites, steps=20, every=5, learning_rate=0.03))
        for sites in ("down", "all")
    }


@pytest.mark.parametrize("sites", ["down", "all"])
def test_step_0_is_teal_alone_and_the_best_step_is_what_the_plan_does(model, trained, sites):
    """Held-out losses by scipy, sequence by sequence; nothing follows the last token of one."""
    plan, curve = trained[sites]
    assert [row["step"] for row in curve] == [0, 5, 10, 15, 20]
    alone, _ = learned(model, None)
    (best,) = [row for row in curve if row["best"]]
    assert best["held_out"] == min(row["held_out"] for row in curve) < 0.97 * curve[0]["held_out"]
    assert curve[0]["train"] is None and curve[-1]["train"] < curve[1]["train"]
    rows = evidence_of(model, TEXT).held_out
    for row, fitted in ((curve[0], alone), (best, plan)):
        pairs = zip(dense(model, rows), sparse(model, fitted, rows), strict=True)
        found = [divergence(teacher[:-1], student[:-1]) for teacher, student in pairs]
        assert row["held_out"] == pytest.approx(np.concatenate(found).mean(), rel=1e-4)


@pytest.mark.parametrize("sites", ["down", "all"])
def test_compensation_leaves_the_sparsifier_as_it_is(model, trained, sites):
    plan, _ = trained[sites]
    alone, _ = learned(model, None)
    assert alone.arrays and not alone.of("compensation")
    for name, values in alone.arrays.items():
        assert values.tobytes() == plan.arrays[name].tobytes()
    assert alone.share == plan.share


def test_vectors_are_learned_at_the_sites_and_nowhere_else(trained):
    down, everywhere = (set(trained[sites][0].of("compensation")) for sites in ("down", "all"))
    assert down == {"0/mlp.down_proj", "1/mlp.down_proj"}
    assert len(everywhere) == 2 * 7 and down < everywhere
    for plan, _ in trained.values():
        assert all(v.dtype == np.float32 and v.any() for v in plan.of("compensation").values())


def test_the_best_step_is_kept_when_training_gets_worse(model):
    """A rate that is far too high: nothing is better than no bias at all."""
    plan, curve = learned(model, part(learning_rate=30.0, steps=6, every=2, patience=2))
    assert [row["best"] for row in curve] == [True, False, False]
    assert not any(values.any() for values in plan.of("compensation").values())


@pytest.mark.parametrize("name", ["spon", "spon_dense"])
def test_an_interrupted_training_ends_with_the_same_bytes(model, monkeypatch, tmp_path, name):
    compensation = part(name, sites="all", steps=12, every=4, batch=4, learning_rate=0.03)
    parts = {"compensation": compensation} | ({"sparsifier": TEAL} if name == "spon" else {})

    def run(checkpoint=None):
        evidence = evidence_of(copy.deepcopy(model), TEXT, checkpoint=checkpoint)
        return fit(Asked(parts, Level.of(0.5)), evidence, {}, lambda: copy.deepcopy(model))

    undisturbed = run()
    kind, steps, stop_at = KINDS[name], [], 7
    total = kind.total

    def counting(self, training, batch):
        if torch.is_grad_enabled():
            steps.append(batch)
            if len(steps) == stop_at:
                raise KeyboardInterrupt
        return total(self, training, batch)

    monkeypatch.setattr(kind, "total", counting)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "checkpoint")
    steps.clear()
    stop_at = None
    resumed = run(tmp_path / "checkpoint")
    # Of six steps that were made, four had been measured.
    assert len(steps) == 12 - 4
    assert resumed[1] == undisturbed[1]
    assert resumed[0].arrays.keys() == undisturbed[0].arrays.keys()
    for place, values in undisturbed[0].arrays.items():
        assert resumed[0].arrays[place].tobytes() == values.tobytes()


def test_a_checkpoint_of_another_text_does_not_count(model, tmp_path):
    compensation = part(steps=4, every=2)
    path = tmp_path / "checkpoint"
    learned(model, compensation, text=random_text(120, seed=9), checkpoint=path)
    anew, _ = learned(model, compensation)
    found, _ = learned(model, compensation, checkpoint=path)
    place = "compensation/0/mlp.down_proj"
    assert found.arrays[place].tobytes() == anew.arrays[place].tobytes()


def test_refusals_say_why(model):
    evidence = evidence_of(copy.deepcopy(model), TEXT)
    plan, curve = fit(Asked({"compensation": part()}, WHOLE), evidence, {}, pytest.fail)
    assert not plan.arrays and not curve
    assert plan.refused == (
        "nothing is left out, so the loss is at its minimum from the start; the control of the "
        "dense model is spon_dense"
    )
    parts = {
        "weights": {"name": "magnitude", "options": {"share": 0.5}},
        "sparsifier": TEAL,
        "compensation": part("spon_dense"),
    }
    plan, curve = fit(Asked(parts, Level.of(0.5)), evidence, {}, pytest.fail)
    assert not plan.arrays and not curve
    assert plan.refused == ("the control is of the dense model; there is also sparsifier, weights")


@pytest.mark.parametrize("kind", ["weights", "quantization", "sparsifier"])
def test_any_part_that_leaves_something_out_can_be_made_up_for(kind):
    Spon().check({kind: {}, "compensation": {}})
    with pytest.raises(Refused):
        SponDense().check({kind: {}, "compensation": {}})


def test_the_control_lowers_the_cross_entropy_of_its_text_and_needs_no_teacher(model):
    compensation = part("spon_dense", sites="all", steps=20, every=5, learning_rate=0.03)
    # Few words, whose frequencies a bias can learn.
    text = random_text(120, words=20)
    evidence = evidence_of(copy.deepcopy(model), text)
    plan, curve = fit(Asked({"compensation": compensation}, WHOLE), evidence, {}, pytest.fail)

    def loss(logits):
        """Of words only: what special tokens cost does not count."""
        found = []
        for row, each in zip(evidence.held_out, logits, strict=True):
            log_p = scipy.special.log_softmax(each[:-1].double().numpy(), axis=-1)
            found += [-log_p[n, token] for n, token in enumerate(row[1:]) if token > 3]
        return np.mean(found)

    before = loss(dense(model, evidence.held_out))
    after = loss(sparse(model, plan, evidence.held_out))
    (best,) = [row for row in curve if row["best"]]
    assert curve[0]["held_out"] == pytest.approx(before, rel=1e-5)
    assert best["held_out"] == pytest.approx(after, rel=1e-4)
    assert after < before - 0.1 and curve[-1]["train"] < curve[1]["train"]


def test_batches_and_padding_change_nothing(model):
    """A pass may hold fewer sequences than a step needs."""
    found = {
        size: learned(model, part(steps=4, every=2, batch=8), batch_size=size) for size in (3, 64)
    }
    (few, few_curve), (many, many_curve) = found.values()
    for one, other in zip(few_curve, many_curve, strict=True):
        assert one["held_out"] == pytest.approx(other["held_out"], rel=1e-5)
    place = "compensation/1/mlp.down_proj"
    np.testing.assert_allclose(few.arrays[place], many.arrays[place], atol=1e-5)


def test_vectors_of_a_bfloat16_model_take_steps_that_bfloat16_could_not(make_model, monkeypatch):
    model = make_model(hidden_act="gelu_pytorch_tanh").bfloat16()
    kept = {}
    monkeypatch.setattr(
        spon, "biases", lambda best, layout: kept.update(best) or biases(best, layout)
    )
    _, curve = learned(model, part(steps=8, every=4, learning_rate=0.01))
    assert all(vector.dtype == torch.float32 for vector in kept.values())
    rounded = [vector.bfloat16().float().equal(vector) for vector in kept.values()]
    assert not any(rounded) and curve[-1]["held_out"] < curve[0]["held_out"]


def test_nothing_is_left_behind(model):
    """No hook, no gradient, and no tensor of the last pass that counts."""
    student, original = copy.deepcopy(model), copy.deepcopy(model)
    with ExitStack() as ends:
        forward = masked(student, thresholds(model, torch.tensor([TEXT[0]])), ends)
        hooks = _hooks(student)
        repair = spon.Repair(evidence_of(student, TEXT), forward, lambda: original)
        Spon().fit(repair, Spon.Options(steps=2, every=1, sites="all"))
        assert _hooks(student) == hooks and not any(_hooks(original))
    assert not any(_hooks(student)) and forward.counted is None
    for parameter, before in zip(student.parameters(), model.parameters(), strict=True):
        assert parameter.grad is None and torch.equal(parameter, before)
    assert all(parameter.grad is None for parameter in original.parameters())


def _hooks(model):
    return [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules()]


def test_a_small_vector_counts_in_16_bits_as_its_bias_will():
    """Added to the input it would be lost: there 1 + 0.001 is 1."""
    from pipeline.methods.compensation.spon import _adding

    weight = torch.tensor([[2.0, -1.0], [0.5, 4.0]], dtype=torch.bfloat16)
    layer = torch.nn.Linear(2, 2, bias=False, dtype=torch.bfloat16)
    layer.weight = torch.nn.Parameter(weight)
    alpha = torch.tensor([0.001, 0.002])
    x = torch.tensor([[1.0, 0.0]], dtype=torch.bfloat16)
    assert torch.equal((x + alpha.bfloat16())[:, 0], x[:, 0])
    layer.register_forward_hook(_adding(alpha, weight))
    # Of W alpha, (0, 0.0085), the second moves 0.5 by two of bfloat16's steps.
    assert layer(x).tolist() == [[2.0, 0.5078125]]
