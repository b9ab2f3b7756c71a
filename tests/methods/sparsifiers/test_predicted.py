"""Online predictors at work: which neurons are computed by hand, and what fitting promises."""

import math
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.methods.masks import Masks, Seen
from pipeline.methods.plan import Refused
from pipeline.methods.sparsifiers.predicted import Options, Predicted
from pipeline.models.forward import Forward
from pipeline.models.loss import text_loss

QUICK = {"rank": 8, "steps": 150, "every": 30, "batch": 128}


def test_neurons_by_hand(rules):
    # The root mean square of (3, 4) is 3.54, so the one hidden unit is 0.85; of (-1, 1) it is -1.
    arrays = {
        "0/first": np.array([[1, 0]], dtype="f"),
        "0/second": np.array([[1], [-1], [2], [0]], dtype="f"),
        "thresholds": [0.5],
        "allowed": np.ones((1, 4), dtype=np.uint8),
    }
    seen = Seen(torch.ones(1, 2, 4), residual=torch.tensor([[[3.0, 4], [-1, 1]]]))
    found = rules("predicted", arrays)
    assert found.sees == ("residual",)
    # Logits .85 -.85 1.7 0, and zeros after the ReLU.
    assert found.skip(seen).before.int().tolist() == [[[0, 1, 0, 1], [1, 1, 1, 1]]]
    linear = rules("predicted", arrays, form="linear").skip(seen).before
    assert linear.int().tolist() == [[[0, 1, 0, 1], [1, 0, 1, 1]]]
    arrays["allowed"] = np.array([[0, 1, 1, 1]], dtype=np.uint8)
    assert rules("predicted", arrays).skip(seen).before[0, 0].int().tolist() == [1, 1, 0, 1]
    arrays["thresholds"] = [-math.inf]
    assert rules("predicted", arrays).skip(seen).before[0, 0].int().tolist() == [1, 0, 0, 0]
    # A logit of the threshold itself is computed.
    arrays["thresholds"] = [0.0]
    assert rules("predicted", arrays).skip(seen).before[0, 0].int().tolist() == [1, 1, 0, 0]


def test_an_ffn_without_a_norm_before_it_is_refused(make_model, make_evidence, sparsifier):
    model = make_model("OPTForCausalLM", do_layer_norm_before=False)
    reason = (
        "^no norm stands before this model's FFNs, so there is no residual stream of the kind that "
        "predictors read$"
    )
    with pytest.raises(Refused, match=reason):
        sparsifier("predicted", make_evidence(model))


@pytest.fixture(scope="module")
def made(sparsifier):
    """Trained on a gated FFN with ReLU."""
    return sparsifier("predicted", "gated-relu", **QUICK)


def sampled(made, layer):
    """(residual streams, active, held out) of the sampled tokens, from the arrays alone."""
    arrays = made.evidence.residuals(made.evidence.training, made.options.tokens)
    active = np.unpackbits(arrays[f"{layer}/active"], axis=1)[:, :24].astype(bool)
    drawn = sorted(set(arrays["sequence"].tolist()))
    held = np.isin(arrays["sequence"], drawn[-max(1, len(drawn) // 10) :])
    return arrays[f"{layer}/residual"].astype(np.float64), active, held


def logits_of(arrays, layer, x):
    """Of the form with ReLU, in plain numpy."""
    first, second = (arrays[f"{layer}/{name}"].astype(np.float64) for name in ("first", "second"))
    x = x / np.sqrt((x**2).mean(axis=1, keepdims=True))
    return np.maximum(x @ first.T, 0) @ second.T


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_figures_and_thresholds_as_plain_numpy_has_them(made, layer, share):
    arrays = made.at(share)
    x, active, held = sampled(made, layer)
    logits = logits_of(arrays, layer, x)
    predicted = logits >= arrays["thresholds"][layer]
    # As near as one pair, but for the rounding of logits.
    assert (~predicted).mean() == pytest.approx(share, abs=3 / predicted.size)
    both = (predicted & active)[held].sum()
    assert arrays["recall"][layer] == pytest.approx(both / active[held].sum(), abs=0.01)
    assert arrays["precision"][layer] == pytest.approx(both / predicted[held].sum(), abs=0.01)
    assert arrays["ranks"].tolist() == [8, 8] and arrays["allowed"].all()


def test_active_neurons_of_text_that_is_held_out_are_found_better_than_by_chance(made):
    arrays = made.at(0.5)
    for layer in range(2):
        x, _, held = sampled(made, layer)
        chance = (logits_of(arrays, layer, x)[held] >= arrays["thresholds"][layer]).mean()
        assert arrays["recall"][layer] > chance + 0.2


def test_thresholds_are_infinite_at_the_ends(made):
    dense, nothing = made.at(0.0), made.at(1.0)
    assert dense["thresholds"].tolist() == [-math.inf] * 2 and dense["recall"].tolist() == [1, 1]
    assert nothing["thresholds"].tolist() == [math.inf] * 2
    assert nothing["recall"].tolist() == [0, 0] and np.isnan(nothing["precision"]).all()


@pytest.mark.parametrize("layer", [0, 1])
def test_an_ffn_as_plain_numpy_has_it(sparsifier, passed, plain, layer):
    made = sparsifier("predicted", "gated-silu", **QUICK)
    arrays = made.at(0.5)
    with made.attached(0.5):
        seen = passed(made.evidence.model, layer)
    own = plain(made.evidence.model, layer)
    computed = logits_of(arrays, layer, seen.residual) >= arrays["thresholds"][layer]
    output = (own.hidden(seen.x) * computed) @ own.down.T
    np.testing.assert_allclose(seen.output, output, rtol=1e-4, atol=1e-5)
    assert 0.1 < computed.mean() < 0.9


@pytest.mark.parametrize("kind", ["opt", "neox", "gpt2"])
def test_what_is_predicted_of_an_ffn_without_a_gate(sparsifier, kind, reads, logits):
    """The skipped neurons are those with low logits of the stream before the norm."""
    made = sparsifier("predicted", kind, **QUICK)
    arrays, streams = made.at(0.5), {}
    ffns = made.evidence.layout.ffns
    with made.attached(0.5) as forward:
        hooks = [
            ffn.before.register_forward_pre_hook(
                lambda _m, x, n=n: streams.update({n: x[0].reshape(-1, 16).double().numpy()})
            )
            for n, ffn in enumerate(ffns)
        ]
        logits(made.evidence.model)
        for layer in range(2):
            wanted = logits_of(arrays, layer, streams[layer]) < arrays["thresholds"][layer]
            told = forward.skipped[layer].before.reshape(-1, 24).numpy()
            assert (told == wanted).all() and wanted.any()
    for hook in hooks:
        hook.remove()


HOT = np.arange(48).reshape(2, 24) % 3 == 0


@pytest.mark.parametrize(("neurons", "never"), [("hot_only", ~HOT), ("cold_only", HOT)])
def test_neurons_of_the_other_set_are_never_computed(
    evidence_of, make_evidence, sparsifier, reads, logits, neurons, never
):
    model = evidence_of("gated-silu").model
    made = sparsifier("predicted", make_evidence(model, hot=HOT), neurons=neurons, **QUICK)
    for share in (0.0, 0.5):
        with made.attached(share):
            found = reads(made.evidence.layout, lambda: logits(model))
        for layer in range(2):
            h = found[layer, "mlp.down_proj"].numpy()
            assert (h[:, never[layer]] == 0).all()
            assert (h[:, ~never[layer]] != 0).all() is np.True_ if share == 0 else (h != 0).any()


@pytest.mark.parametrize("neurons", ["hot_only", "cold_only"])
def test_a_set_without_a_classification_is_refused_before_any_training(evidence_of, neurons):
    evidence, options = evidence_of("gated-relu"), Options(neurons=neurons, rank=8)
    entry = Predicted()
    with pytest.raises(Refused, match=f"^{neurons} needs a classification, which says what is hot"):
        entry.prepare(evidence, options)
    assert entry._sample is None


def test_another_number_of_tokens_is_another_sample(made):
    entry = Predicted()
    for tokens in (64, 512, 64):
        options = made.options.model_copy(update={"tokens": tokens})
        found = entry.at(made.evidence, made.prepared, options, 0.5)
        fresh = Predicted().at(made.evidence, made.prepared, options, 0.5)
        assert found["thresholds"].tolist() == fresh["thresholds"].tolist()


def test_training_is_the_same_with_a_checkpoint_and_keeps_one_a_layer(
    evidence_of, make_evidence, sparsifier, tmp_path
):
    model = evidence_of("gated-relu").model
    plain = sparsifier("predicted", make_evidence(model), **QUICK).prepared
    kept = make_evidence(model, checkpoint=tmp_path / "training.checkpoint")
    found = sparsifier("predicted", kept, **QUICK).prepared
    assert found.keys() == plain.keys()
    assert all((found[key] == plain[key]).all() for key in plain)
    # One a layer and rank: what is done is not done again after an interruption.
    names = {path.name.rsplit(".", 1)[0] for path in tmp_path.iterdir()}
    assert names == {"training.checkpoint.0", "training.checkpoint.1"}
    other = sparsifier("predicted", make_evidence(model, seed=1), **QUICK).prepared
    assert any((other[key] != plain[key]).any() for key in plain)


def test_one_sequence_cannot_be_held_out_and_trained_on(evidence_of, make_evidence, sparsifier):
    evidence = make_evidence(evidence_of("gated-relu").model, rows=[[1, *range(10, 40)]])
    with pytest.raises(UserError, match="0 of|of 31 tokens are held out|30 of 30"):
        sparsifier("predicted", evidence, **QUICK)


@pytest.fixture(scope="module")
def wide(make_model, make_evidence):
    """One layer with room for ranks from 8 to 48, and text that the model wrote: on any other its
    loss may fall when neurons go."""
    model = make_model(
        hidden_size=48, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=4,
    )  # fmt: skip
    starts = torch.tensor([[1, word] for word in range(10, 42)])
    torch.manual_seed(0)
    rows = model.generate(
        starts, attention_mask=torch.ones_like(starts), max_new_tokens=30, do_sample=True,
        top_k=0, suppress_tokens=[0, 1, 2, 3],
    )  # fmt: skip
    return make_evidence(model, rows.tolist())


def test_a_looser_bound_never_asks_for_a_larger_rank(wide):
    """Both searches try the same ranks until one is good enough for the looser bound alone."""
    ranks = []
    for bound in (1e-9, 0.1, 0.3, 0.6, 1e9):
        options = Options(bound=bound, steps=80, every=20, batch=128, tokens=1024)
        found, curve = Predicted().prepare(wide, options)
        ranks.append(len(found["0/first"]))
        labels = {row["label"] for row in curve}
        assert f"predictor of layer 0, rank {ranks[-1]}" in labels
        assert {row["step"] for row in curve} <= {0, 20, 40, 60, 80}
    assert ranks == sorted(ranks, reverse=True)
    assert ranks[0] == 48 and ranks[-1] == 8 and len(set(ranks)) > 2


@pytest.mark.parametrize("bound", [0.1, 0.3])
def test_the_rank_is_the_smallest_whose_predictor_keeps_perplexity_within_the_bound(wide, bound):
    schedule = {"steps": 80, "every": 20, "batch": 128, "tokens": 1024}
    found, _ = Predicted().prepare(wide, Options(bound=bound, **schedule))
    rank, rises = len(found["0/first"]), {}
    batches = wide.in_batches(wide.held_out)
    dense = text_loss(wide.model, batches)
    for tried in (rank, rank - 8):
        entry, options = Predicted(), Options(rank=tried, **schedule)
        arrays = {**entry.prepare(wide, options)[0], "thresholds": np.zeros(1)}
        with ExitStack() as ends:
            masks = Masks(wide.layout, Forward(), ends)
            entry.attach(masks, {**arrays, "allowed": np.ones((1, 64))}, options)
            rises[tried] = math.exp(text_loss(wide.model, batches) - dense) - 1
        if tried == rank:
            assert all((arrays[key] == found[key]).all() for key in found)
    assert rises[rank] <= bound < rises[rank - 8]
    assert 8 < rank < 48


@pytest.mark.parametrize(("part", "rank"), [(0.4, 8), (0.6, 16)])
def test_each_of_two_layers_may_cost_half_of_the_bound(evidence_of, monkeypatch, part, rank):
    """In nats: a rise of perplexity by 0.2 is one of the loss by log 1.2. 16 is the most there is
    of a stream of 16, taken where no rank is good enough."""
    layout = evidence_of("gated-relu").layout

    def loss(*_):
        attached = any(ffn.down.module._forward_pre_hooks for ffn in layout.ffns)
        return 3 + part * math.log(1.2) * attached

    monkeypatch.setattr("pipeline.methods.sparsifiers.predicted.text_loss", loss)
    options = Options(bound=0.2, steps=2, every=1, batch=64)
    found, _ = Predicted().prepare(evidence_of("gated-relu"), options)
    assert [len(found[f"{layer}/first"]) for layer in range(2)] == [rank] * 2
