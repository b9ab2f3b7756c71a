"""Online predictors: logits and figures by hand, a planted problem, the search for a rank."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from pipeline.errors import UserError
from pipeline.methods.descent import Schedule
from pipeline.methods.sparsifiers.predictor import (
    Predictor,
    adapt,
    cross_entropy,
    first_rank,
    fit_predictor,
    negative_weight,
    quality,
    threshold_for,
)

# Rank 2 between 4 channels and 4 neurons. The rows of X have root mean squares 1, 2, 1 and 5.
FIRST = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, -1.0]]
SECOND = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]]
X = [[1.0, 1.0, 1.0, 1.0], [2.0, -2.0, 2.0, 2.0], [-1.0, 1.0, -1.0, -1.0], [0.0, 8.0, 0.0, 6.0]]
# Hidden, before a ReLU: (2, 0), (2, -2), (-2, 2), (0, 0.4).
LINEAR = [[2, 0, 2, 4], [2, -2, 0, 6], [-2, 2, 0, -6], [0, 0.4, 0.4, -0.4]]
RELU = [[2, 0, 2, 4], [2, 0, 2, 4], [0, 2, 2, -2], [0, 0.4, 0.4, -0.4]]


def tensor(values, dtype="float32"):
    import torch

    return torch.tensor(values, dtype=getattr(torch, dtype))


def by_hand(form, dtype="float32"):
    return Predictor(tensor(FIRST, dtype), tensor(SECOND, dtype), form)


@pytest.mark.parametrize("form, expected", [("linear", LINEAR), ("relu", RELU)])
def test_logits_by_hand(form, expected):
    found = by_hand(form).logits(tensor(X))
    np.testing.assert_allclose(found.numpy(), np.array(expected), rtol=1e-6)


def test_logits_keep_leading_dimensions():
    x = tensor(X)
    many = by_hand("relu").logits(x.reshape(2, 2, 4))
    assert many.shape == (2, 2, 4)
    assert (many.reshape(4, 4) == by_hand("relu").logits(x)).all()
    assert by_hand("relu").logits(x[0]).shape == (4,)


@pytest.mark.parametrize("form", ["linear", "relu"])
def test_the_length_of_an_input_changes_nothing(form):
    """Exactly so for powers of 2, which move no digit."""
    rng = np.random.default_rng(0)
    x = tensor(rng.normal(size=(8, 4)))
    expected = by_hand(form).logits(x)
    scales = tensor(2.0 ** rng.integers(-40, 40, size=(8, 1)))
    assert (by_hand(form).logits(x * scales) == expected).all()
    np.testing.assert_allclose(by_hand(form).logits(x * 0.3), expected, rtol=1e-5, atol=1e-6)


def test_inputs_in_half_precision_do_not_overflow():
    x = tensor(X) * 4096
    assert (by_hand("linear").logits(x.half()) == by_hand("linear").logits(x)).all()


def test_a_token_of_zeros_has_logits_of_zero():
    assert (by_hand("relu").logits(tensor([[0.0] * 4])) == 0).all()


def test_layers_that_do_not_fit_and_unknown_forms_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4\) and \(4, 4\) share no rank"):
        Predictor(tensor(FIRST), tensor(X), "relu")
    with pytest.raises(ValueError, match="form 'gelu' is none of relu, linear"):
        by_hand("gelu")


def test_cross_entropy_by_hand():
    """Log-odds of ln 3 are probabilities of 3/4."""
    logits = tensor([[math.log(3), 0.0], [-math.log(3), math.log(3)]], "float64")
    active = tensor([[1, 0], [0, 0]]).bool()
    plain = math.log(4 / 3) + math.log(2) + math.log(4 / 3) + math.log(4)
    assert float(cross_entropy(logits, active)) == pytest.approx(plain / 4)
    weight = negative_weight(active, balanced=True)
    assert weight == pytest.approx(0.255) and negative_weight(active, balanced=False) == 1
    weighted = math.log(4 / 3) + 0.255 * (math.log(2) + math.log(4 / 3) + math.log(4))
    assert float(cross_entropy(logits, active, weight)) == pytest.approx(weighted / 4)


@pytest.mark.parametrize("form", ["linear", "relu"])
@pytest.mark.parametrize("balanced", [False, True])
def test_gradients_agree_with_finite_differences(form, balanced):
    rng = np.random.default_rng(1)
    first, second, x = rng.normal(size=(2, 4)), rng.normal(size=(4, 2)), rng.normal(size=(6, 4))
    active = tensor(rng.random((6, 4)) < 0.3, "bool")
    weight = negative_weight(active, balanced)

    def loss(values):
        layers = (
            tensor(values[:8].reshape(2, 4), "float64"),
            tensor(values[8:].reshape(4, 2), "float64"),
        )
        for layer in layers:
            layer.requires_grad_()
        logits = Predictor(*layers, form).logits(tensor(x, "float64"))
        return layers, cross_entropy(logits, active, weight)

    values = np.concatenate([first.ravel(), second.ravel()])
    layers, total = loss(values)
    total.backward()
    found = np.concatenate([layer.grad.numpy().ravel() for layer in layers])
    steps = 1e-6 * np.eye(16)
    differences = [(loss(values + s)[1] - loss(values - s)[1]).item() / 2e-6 for s in steps]
    np.testing.assert_allclose(found, differences, rtol=1e-6, atol=1e-9)


PLANTED_RANK = 4
SCHEDULE = Schedule(learning_rate=0.01, steps=600, batch=256, every=50, patience=4)


@pytest.fixture(scope="module")
def planted():
    """Neurons of 24 that fire when a mixture of 4 of 16 directions is positive; token lengths
    differ by factors of thousands."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3000, 16))
    gate = rng.normal(size=(24, PLANTED_RANK)) @ rng.normal(size=(PLANTED_RANK, 16))
    active = x @ gate.T > 0
    lengths = np.exp(rng.normal(size=(3000, 1)) * 2)
    held_out = np.arange(3000) >= 2700
    return tensor(x * lengths), tensor(active, "bool"), tensor(held_out, "bool")


def recall_at_equal_share(predictor, data):
    """Of the held-out tokens, with as many pairs predicted as there are active ones, where recall
    is precision; by chance it would be 0.5. The lower of the two where equal logits (a ReLU gives
    zeros) let no such threshold be."""
    inputs, active, held_out = data
    logits, truth = predictor.logits(inputs[held_out]), active[held_out]
    told = quality(logits, truth, threshold_for(logits, 1 - float(truth.float().mean())))
    return min(told["recall"], told["precision"])


@pytest.mark.parametrize("form, rank", [("linear", PLANTED_RANK), ("relu", 3 * PLANTED_RANK)])
def test_a_planted_gate_is_learned(planted, form, rank):
    predictor, curve = fit_predictor(*planted, rank, form, SCHEDULE, 0, None, "planted")
    assert predictor.first.shape == (rank, 16) and predictor.second.shape == (24, rank)
    assert predictor.form == form
    assert recall_at_equal_share(predictor, planted) > 0.95
    assert min(row["held_out"] for row in curve) < curve[0]["held_out"] / 3


@pytest.mark.parametrize("form, rank", [("linear", 1), ("relu", 2)])
def test_a_predictor_of_too_small_a_rank_does_not_learn_it(planted, form, rank):
    predictor, _ = fit_predictor(*planted, rank, form, SCHEDULE, 0, None, "planted")
    assert recall_at_equal_share(predictor, planted) < 0.85


SHORT = Schedule(learning_rate=0.01, steps=20, batch=64, every=10, patience=9)


def as_bytes(predictor):
    return predictor.first.numpy().tobytes(), predictor.second.numpy().tobytes()


def test_the_seed_decides_everything(planted):
    first, same, other = (
        fit_predictor(*planted, 8, "relu", SHORT, seed, None, "seeded") for seed in (3, 3, 4)
    )
    assert as_bytes(first[0]) == as_bytes(same[0]) and first[1] == same[1]
    assert as_bytes(first[0]) != as_bytes(other[0])


def test_weights_are_by_default_what_goes_with_the_form(planted):
    for form, own in (("linear", True), ("relu", False)):
        default, same, other = (
            fit_predictor(*planted, 8, form, SHORT, 0, None, "weights", balanced)[1]
            for balanced in (None, own, not own)
        )
        assert default == same != other


def test_a_balanced_predictor_finds_more_of_what_is_rarely_active():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1500, 16))
    active = x @ rng.normal(size=(16, 24)) + 4 * rng.normal(size=(1500, 24)) > 9
    held_out = tensor(np.arange(1500) >= 1200, "bool")
    inputs, truth = tensor(x), tensor(active, "bool")
    recalls = []
    for balanced in (False, True):
        predictor, _ = fit_predictor(
            inputs, truth, held_out, 16, "relu", SCHEDULE, 0, None, "rare", balanced
        )
        recalls.append(quality(predictor.logits(inputs), truth, 0.0)["recall"])
    assert 0.02 < float(active.mean()) < 0.1
    assert recalls[1] > recalls[0] + 0.2


def test_held_out_losses_are_means_over_all_pairs_however_they_are_cut(planted, monkeypatch):
    inputs, active, held_out = planted
    predictor, curve = fit_predictor(*planted, 8, "linear", SHORT, 0, None, "whole")
    truth = active[held_out]
    expected = cross_entropy(
        predictor.logits(inputs[held_out]), truth, negative_weight(truth, balanced=True)
    )
    kept = [row["held_out"] for row in curve if row["best"]]
    assert kept == [pytest.approx(float(expected), rel=1e-6)]
    monkeypatch.setattr("pipeline.methods.sparsifiers.predictor._CHUNK", 7)
    _, cut = fit_predictor(*planted, 8, "linear", SHORT, 0, None, "whole")
    assert [row["held_out"] for row in cut] == pytest.approx([r["held_out"] for r in curve])


def test_held_out_tokens_are_not_trained_on(planted):
    inputs, active, held_out = planted
    foreign = inputs.clone()
    foreign[held_out] = foreign[held_out].flip(0)
    _, one = fit_predictor(inputs, active, held_out, 8, "linear", SHORT, 0, None, "one")
    _, other = fit_predictor(foreign, active, held_out, 8, "linear", SHORT, 0, None, "one")
    assert [row["train"] for row in one] == [row["train"] for row in other]
    assert all(a["held_out"] != b["held_out"] for a, b in zip(one, other, strict=True))


def test_an_interrupted_fit_goes_on_and_a_checkpoint_of_other_data_does_not_count(
    planted, tmp_path, monkeypatch
):
    inputs, active, held_out = planted
    checkpoint = tmp_path / "checkpoint.pt"
    plain = cross_entropy
    calls = []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return plain(*arguments)

    def fit(active, checkpoint):
        return fit_predictor(inputs, active, held_out, 8, "relu", SHORT, 0, checkpoint, "again")

    monkeypatch.setattr("pipeline.methods.sparsifiers.predictor.cross_entropy", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit(active, checkpoint)
    resumed = fit(active, checkpoint)
    # 10 steps and a measurement, no more.
    assert len(calls) == 15 + 11
    undisturbed = fit(active, None)
    assert as_bytes(resumed[0]) == as_bytes(undisturbed[0]) and resumed[1] == undisturbed[1]
    other, expected = fit(~active, checkpoint), fit(~active, None)
    assert as_bytes(other[0]) == as_bytes(expected[0]) and other[1] == expected[1]


def test_tensors_that_do_not_fit_and_empty_parts_are_refused(planted):
    inputs, active, held_out = planted
    with pytest.raises(ValueError, match=r"active \(5, 24\) and held_out \(3000,\) differ"):
        fit_predictor(inputs, active[:5], held_out, 8, "relu", SHORT, 0, None, "x")
    with pytest.raises(ValueError, match="rank 0 is below 1"):
        fit_predictor(inputs, active, held_out, 0, "relu", SHORT, 0, None, "x")
    for part in (held_out & False, held_out | True):
        with pytest.raises(UserError, match="of 3000 tokens are held out; at least one must be"):
            fit_predictor(inputs, active, part, 8, "relu", SHORT, 0, None, "x")


def test_first_ranks_by_hand():
    # A neuron active half the time has an entropy of 1 bit, one active 11 % of the time 0.49992.
    assert first_rank(0.5, 512, 2048) == 256
    assert first_rank(0.11, 512, 2048) == 128
    assert first_rank(0.11, 512, 128) == 32
    assert first_rank(0.0, 512, 2048) == first_rank(1.0, 512, 2048) == 8
    with pytest.raises(ValueError, match="outside"):
        first_rank(1.5, 512, 2048)


@given(st.tuples(*[st.floats(0, 0.5)] * 2), st.integers(1, 9000), st.integers(1, 9000))
def test_sparser_layers_start_with_no_larger_a_rank(densities, d_model, d_ff):
    low, high = (first_rank(density, d_model, d_ff) for density in sorted(densities))
    assert 8 <= low <= high <= max(8, min(d_model, d_ff))
    assert low % 8 == high % 8 == 0


@given(st.integers(1, 3000), st.integers(1, 2000), st.integers(1, 2000), st.integers(0, 2500))
def test_adapt_finds_the_step_and_asks_once_a_rank(start, one, other, step):
    least, most = sorted((one, other))
    asked = []

    def good(rank):
        asked.append(rank)
        return rank >= step

    found = adapt(start, good, most, least)
    allowed = [r for r in range(least, most + 1) if r % 8 == 0 or r in (least, most)]
    assert found == next((rank for rank in allowed if rank >= step), most)
    assert len(set(asked)) == len(asked) and set(asked) <= set(allowed)
    assert len(asked) <= math.log2(most / least) + max(math.log2(most / 8), 0) + 3


def test_adapt_starts_where_it_is_told_and_doubles_or_halves():
    asked = []
    assert adapt(32, lambda rank: asked.append(rank) or rank >= 104, 512) == 104
    assert asked == [32, 64, 128, 96, 112, 104]
    asked.clear()
    assert adapt(256, lambda rank: asked.append(rank) or rank >= 40, 512) == 40
    assert asked == [256, 128, 64, 32, 48, 40]


def test_adapt_gives_the_most_where_none_is_good_and_refuses_an_empty_range():
    assert adapt(8, lambda rank: False, 100) == 100
    assert adapt(8, lambda rank: True, 100) == 8
    with pytest.raises(ValueError, match="no ranks from 8 to 4"):
        adapt(8, lambda rank: True, 4)


def test_quality_by_hand():
    active = tensor([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]]).bool()
    # At 1.0: 6 predicted, of which 4 are active, of 5.
    logits = tensor(
        [
            [3.0, 1.0, 0.0, -1.0],
            [0.9, 2.0, 1.0, 0.0],
            [-3.0, -3.0, -3.0, -3.0],
            [1.0, 1.5, 0.5, 0.0],
        ]
    )
    assert quality(logits, active, 1.0) == {
        "recall": 4 / 5,
        "precision": 4 / 6,
        "accuracy": 13 / 16,
        "predicted_share": 6 / 16,
        "actual_share": 5 / 16,
    }


def test_quality_that_is_undefined_is_none():
    logits = tensor([[1.0, 2.0]])
    none = quality(logits, tensor([[0, 0]]).bool(), 9.0)
    assert none["recall"] is None and none["precision"] is None
    assert none["accuracy"] == 1 and none["predicted_share"] == none["actual_share"] == 0
    nothing = quality(logits[:0], tensor([[0, 0]]).bool()[:0], 0.0)
    assert set(nothing.values()) == {None}
    with pytest.raises(ValueError, match=r"logits \(1, 2\), active \(1, 1\)"):
        quality(logits, tensor([[0]]).bool(), 0.0)


FINITE = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
SHARES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0]))


@given(hn.arrays(np.float32, st.integers(1, 40), elements=FINITE, unique=True), SHARES)
def test_of_distinct_logits_exactly_the_nearest_number_falls_below(values, share):
    if len(set(values.tolist())) < values.size:  # 0.0 and -0.0
        return
    below = int((tensor(values) < threshold_for(tensor(values), share)).sum())
    assert abs(below - share * values.size) <= 0.5 + 1e-9


@given(hn.arrays(np.float32, (4, 6), elements=st.sampled_from([-1.5, -0.0, 0.0, 0.1, 7.0])), SHARES)
def test_of_equal_logits_no_other_threshold_comes_nearer(values, share):
    logits = tensor(values)
    found = int((logits < threshold_for(logits, share)).sum())
    possible = {int((values < v).sum()) for v in values.ravel()} | {values.size}
    assert found in possible
    nearest = min(abs(count - share * values.size) for count in possible)
    assert abs(found - share * values.size) == pytest.approx(nearest)


def test_thresholds_by_hand():
    logits = tensor([[4.0, 1.0], [3.0, 2.0]])
    assert threshold_for(logits, 0.5) == 3.0
    assert threshold_for(logits, 0.0) == 1.0
    # 1.5 pairs lie between 1 and 2; 1 is taken.
    assert threshold_for(logits, 0.375) == 2.0
    assert not (logits >= threshold_for(logits, 1.0)).any()
    assert math.isfinite(threshold_for(logits, 1.0))


def test_a_threshold_of_nothing_or_beyond_shares_is_refused():
    with pytest.raises(ValueError, match="outside"):
        threshold_for(tensor([1.0]), 1.1)
    for values in ([], [math.nan], [math.inf]):
        with pytest.raises(ValueError, match="no logits, or some are not finite"):
            threshold_for(tensor(values), 0.5)
