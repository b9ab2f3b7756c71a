"""What static sparsifiers remove: by hand, at the exact boundary, and in nested steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from pipeline.config.level import Level
from pipeline.methods.plan import Asked, Refused
from pipeline.methods.sparsifiers.static import Neurons, fit, shared_with_coldest
from pipeline.registry import SPARSIFIERS

# 4 neurons in each of 4 layers; values are chosen so that no two tie.
FREQUENCY = np.array([[9, 1, 5, 0], [8, 2, 6, 3], [15, 14, 13, 12], [4, 7, 10, 11]]) / 16
HOT = FREQUENCY > 0.5


def four_by_four(**changes):
    layer, neuron = np.indices((4, 4))
    values = {
        "frequency": FREQUENCY.ravel(),
        "heat": FREQUENCY.ravel(),
        "mean_contribution": np.arange(16.0),
        "weight_norm": np.arange(16.0)[::-1].copy(),
        "hot": HOT.ravel(),
        "of_distractor": np.arange(16.0) % 5 * 3,
        **changes,
    }
    return Neurons(layer.ravel(), neuron.ravel(), **values)


def plan(name, level, neurons=None, seed=0, scope="model", matched=None, **options):
    needed = {"distractor": "other"} if name == "selective" else {}
    part = {"name": name, "options": needed | options}
    asked = Asked({"sparsifier": part}, Level.of(level), seed=seed, scope=scope)
    return fit(asked, neurons or four_by_four(), matched)


def gone(fitted, shape):
    """What a plan removes: nothing where it is refused."""
    return np.zeros(shape, dtype=bool) if fitted.refused else fitted.dropped


def removed(name, level, **options):
    return {tuple(map(int, place)) for place in np.argwhere(plan(name, level, **options).dropped)}


def test_the_coldest_quarter_by_hand():
    assert removed("drop_cold", 0.25) == {(0, 3), (0, 1), (1, 1), (1, 3)}


def test_the_hottest_quarter_by_hand():
    assert removed("keep_cold", 0.25) == {(2, 0), (2, 1), (2, 2), (2, 3)}


def test_the_least_contributing_and_the_smallest_by_hand():
    assert removed("drop_low_contribution", 0.25) == {(0, 0), (0, 1), (0, 2), (0, 3)}
    assert removed("drop_small", 0.25) == {(3, 0), (3, 1), (3, 2), (3, 3)}


def test_a_quarter_of_each_layer_by_hand():
    assert removed("drop_cold", 0.25, scope="layer") == {(0, 3), (1, 1), (2, 3), (3, 0)}


def test_facts_of_a_plan():
    fitted = plan("drop_cold", 0.25)
    assert (fitted.parts["sparsifier"]["name"], fitted.level, fitted.seed) == (
        "drop_cold",
        "0.25",
        0,
    )
    assert (fitted.share, fitted.neurons) == (0.25, 16)
    assert fitted.dropped.shape == (4, 4) and fitted.dropped.dtype == bool
    assert fitted.cold == 16 - HOT.sum() and fitted.refused is None


def test_removing_beyond_the_hot_set_is_refused_with_the_figures():
    assert HOT.sum() == 7
    fitted = plan("keep_cold", 0.5)
    assert "removing 8 of 16 neurons goes beyond the 7 hot ones" in fitted.refused
    assert fitted.dropped is None


def test_a_layer_with_too_few_hot_neurons_refuses_the_whole_condition():
    fitted = plan("keep_cold", 0.5, scope="layer")
    assert fitted.refused and fitted.dropped is None


ACTIVE = hn.arrays(
    np.int64,
    st.tuples(st.integers(1, 4), st.integers(2, 12)),
    elements=st.integers(0, 3),
)
SCOPES = st.sampled_from(["model", "layer"])
POLICIES = st.sampled_from(["coverage", "budget"])


@given(ACTIVE, SCOPES, POLICIES, st.sampled_from([0.2, 0.5, 0.8]))
def test_the_named_levels_remove_exactly_the_cold_and_the_hot_set(
    make_neurons, active, scope, policy, share
):
    """Few different counts, so that the boundary nearly always lies within a tie."""
    _, classes, neurons = make_neurons(active, policy=policy, share=share, scope=scope)
    hot = classes["hot"].to_numpy().reshape(active.shape)
    for name, level, set_ in (("drop_cold", "cold", ~hot), ("keep_cold", "hot", hot)):
        fitted = plan(name, level, neurons, scope=scope)
        if set_.any():
            assert fitted.refused is None and (fitted.dropped == set_).all()
        else:
            assert fitted.refused.startswith(f"level {level} removes none of")


def test_a_boundary_in_the_middle_of_a_large_tie_is_still_exact(make_neurons):
    _, classes, neurons = make_neurons(np.ones((4, 64), dtype=int), share=0.5)
    hot = classes["hot"].to_numpy().reshape(4, 64)
    assert hot.sum() == 128
    assert (plan("drop_cold", "cold", neurons).dropped == ~hot).all()
    assert (plan("keep_cold", "hot", neurons).dropped == hot).all()


STATIC = [name for name in SPARSIFIERS if SPARSIFIERS.load(name).static]
ORDERED = [name for name in STATIC if not SPARSIFIERS.load(name).part]
PARTED = [name for name in STATIC if SPARSIFIERS.load(name).part]


@pytest.mark.parametrize("name", ORDERED)
@given(
    active=ACTIVE, levels=st.tuples(*[st.floats(0.01, 0.99)] * 2), scope=SCOPES,
    seed=st.integers(0, 9),
)  # fmt: skip
def test_a_higher_level_removes_a_superset(make_neurons, name, active, levels, scope, seed):
    _, _, neurons = make_neurons(active)
    low, high = (plan(name, level, neurons, seed, scope) for level in sorted(levels))
    if not (low.refused or high.refused):
        assert (high.dropped >= low.dropped).all()


@pytest.mark.parametrize("scope", ["model", "layer"])
@given(active=ACTIVE, level=st.floats(0.01, 0.99))
def test_equal_levels_remove_equally_many_under_every_sparsifier(
    make_neurons, scope, active, level
):
    _, _, neurons = make_neurons(active)
    plans = [plan(name, level, neurons, scope=scope) for name in ORDERED]
    counts = {int(p.dropped.sum()) for p in plans if p.refused is None}
    size = active.size if scope == "model" else active.shape[1]
    groups = 1 if scope == "model" else active.shape[0]
    assert counts <= {groups * round(level * size)}


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_scores_have_the_right_shape_and_are_deterministic(make_neurons, name, seed):
    _, _, neurons = make_neurons(np.random.default_rng(2).integers(0, 9, (3, 32)))
    before = {field: getattr(neurons, field).copy() for field in neurons.__dataclass_fields__}
    scores = SPARSIFIERS.load(name)().scores(neurons, seed)
    assert scores.shape == (96,) and np.isfinite(scores).all()
    assert (SPARSIFIERS.load(name)().scores(neurons, seed) == scores).all()
    assert all((getattr(neurons, field) == value).all() for field, value in before.items())


@pytest.mark.parametrize("name", ORDERED)
def test_a_sparsifier_is_seeded_exactly_when_the_seed_changes_its_scores(make_neurons, name):
    _, _, neurons = make_neurons(np.random.default_rng(2).integers(0, 9, (3, 32)))
    sparsifier = SPARSIFIERS.load(name)()
    first, second = (sparsifier.scores(neurons, seed) for seed in (0, 1))
    assert sparsifier.seeded is bool((first != second).any())


@pytest.mark.parametrize("name", ORDERED)
def test_a_sparsifier_refuses_with_a_reason_or_not_at_all(name):
    sparsifier = SPARSIFIERS.load(name)()
    for count in (0, 5, 16):
        try:
            assert sparsifier.limit(count, hot=5, total=16) is None
        except Refused as reason:
            assert str(count) in str(reason)


def test_random_removal_mixes_layers_and_follows_its_seed(make_neurons):
    _, _, neurons = make_neurons(np.ones((4, 256), dtype=int))
    first, same, other = (plan("drop_random", 0.25, neurons, seed) for seed in (3, 3, 4))
    assert (first.dropped == same.dropped).all()
    by_layer = first.dropped.sum(axis=1)
    assert by_layer.sum() == 256 and by_layer.min() > 40 and by_layer.max() < 90
    # Two independent quarters of 1,024 neurons share 64 on average.
    assert 30 < (first.dropped & other.dropped).sum() < 100


@pytest.mark.parametrize("name", PARTED)
@given(active=ACTIVE, scope=SCOPES)
def test_parts_do_not_overlap_and_one_that_is_not_there_is_refused(
    make_neurons, name, active, scope
):
    _, _, neurons = make_neurons(active)
    plans = [plan(name, number, neurons, scope=scope) for number in range(0, 12)]
    assert sum(gone(p, active.shape).astype(int) for p in plans).max(initial=0) <= 1
    far = plan(name, 99, neurons, scope=scope)
    assert far.dropped is None
    assert far.refused.startswith(f"{SPARSIFIERS.load(name).part} 99: the model has none of this")


@given(active=ACTIVE, scope=SCOPES)
def test_deciles_cut_all_neurons_from_cold_to_hot(make_neurons, active, scope):
    _, _, neurons = make_neurons(active)
    plans = [plan("drop_decile", number, neurons, scope=scope) for number in range(1, 11)]
    removed = [gone(p, active.shape) for p in plans]
    assert sum(d.astype(int) for d in removed).min() == 1
    if scope == "model":
        sizes = [int(d.sum()) for d in removed]
        assert max(sizes) - min(sizes) <= 1
        score = neurons.frequency.reshape(active.shape)
        means = [score[d] for d in removed if d.any()]
        assert all(a.max() <= b.min() for a, b in zip(means, means[1:], strict=False))


def random_model(layers=3, width=40):
    """Neurons with random activity of which the coldest lie in few layers."""
    generator = np.random.default_rng(0)
    layer, neuron = np.indices((layers, width))
    frequency = generator.random((layers, width)) * (1 + layer)
    hot = frequency > np.quantile(frequency, 0.4)
    return Neurons(
        layer.ravel(), neuron.ravel(), frequency=frequency.ravel(), heat=frequency.ravel(),
        mean_contribution=generator.random(layers * width),
        weight_norm=generator.random(layers * width), hot=hot.ravel(),
        of_distractor=generator.random(layers * width),
    )  # fmt: skip


def test_random_neurons_of_every_layer_are_as_many_as_the_coldest_take():
    neurons = random_model()
    coldest, random = (plan(n, 0.25, neurons, scope="layer") for n in ("drop_cold", "drop_random"))
    assert random.dropped.sum(axis=1).tolist() == coldest.dropped.sum(axis=1).tolist() == [10] * 3
    assert not (random.dropped == coldest.dropped).all()


@pytest.mark.parametrize("among", ["all", "cold"])
def test_a_matched_draw_takes_as_many_of_each_layer_as_the_method_it_is_matched_to(among):
    neurons = random_model()
    coldest = plan("drop_cold", 0.25, neurons)
    counts = coldest.dropped.sum(axis=1)
    assert len(set(counts.tolist())) == 3
    draws = [
        plan("drop_random", 0.25, neurons, seed, matched=coldest, match="drop_cold", among=among)
        for seed in range(3)
    ]
    for drawn in draws:
        assert (drawn.dropped.sum(axis=1) == counts).all()
        hot = neurons.hot.reshape(coldest.dropped.shape)
        assert (drawn.dropped & hot).any() == (among == "all")
    assert len({drawn.dropped.tobytes() for drawn in draws}) == 3


def test_a_level_that_removes_nothing_is_refused():
    """It would be the dense model, under the level's name."""
    fitted = plan("drop_cold", 0.01, scope="layer")
    assert fitted.refused.startswith("level 0.01 removes none of this model's ")
    assert fitted.arrays == {}


def test_a_draw_among_the_cold_is_uniform_over_them():
    neurons = random_model(2, 30)
    cold = ~neurons.hot.reshape(2, 30)
    drawn = [
        plan("drop_random", 0.1, neurons, seed, scope="layer", among="cold").dropped
        for seed in range(400)
    ]
    assert all((d & ~cold).sum() == 0 and d.sum(axis=1).tolist() == [3, 3] for d in drawn)
    share = np.mean(drawn, axis=0)
    for layer in range(2):
        expected = 3 / cold[layer].sum()
        assert np.abs(share[layer][cold[layer]] - expected).max() < 0.1


def test_too_few_cold_neurons_in_a_layer_are_told_with_both_counts():
    # Layer 2 has no cold neuron, layer 3 two.
    fitted = plan("drop_random", 0.25, scope="layer", among="cold")
    assert fitted.refused == (
        "1 neurons are to be drawn among the cold ones of layer 2, which has 0 of them"
    )
    assert "of the model, which has 9" in plan("drop_random", 0.75, among="cold").refused


def test_what_is_matched_to_a_refused_condition_is_refused_with_its_reason():
    other = plan("keep_cold", 0.5)
    fitted = plan("drop_random", 0.5, matched=other, match="keep_cold")
    assert fitted.refused.startswith("the method that it is matched to: removing 8 of 16 neurons")


def test_the_share_that_the_coldest_also_take_by_hand():
    """By layer: the coldest of four are 3, 1, 3 and 0, as (layer, neuron)."""
    neurons = four_by_four()
    dropped = np.zeros((4, 4), dtype=bool)
    dropped[0, 3] = dropped[1, 0] = dropped[3, 0] = True
    assert shared_with_coldest(dropped, neurons) == 2 / 3
    # Two of a layer are held against its two coldest.
    dropped[0, 0] = True
    assert shared_with_coldest(dropped, neurons) == 2 / 4
    assert shared_with_coldest(np.zeros((4, 4), dtype=bool), neurons) is None


def test_only_draws_are_told_how_much_they_share_with_the_coldest():
    assert plan("drop_cold", 0.25).shared_with_coldest is None
    assert 0 <= plan("drop_random", 0.25).shared_with_coldest <= 1


def test_deciles_of_every_layer():
    neurons = random_model(2, 40)
    first = plan("drop_decile", 1, neurons, scope="layer").dropped
    assert first.sum(axis=1).tolist() == [4, 4]
    assert (first == plan("drop_cold", 0.1, neurons, scope="layer").dropped).all()


def test_one_layers_cold_neurons_are_those_of_the_cold_set_in_it(make_neurons):
    _, _, neurons = make_neurons(np.random.default_rng(2).integers(0, 9, (3, 32)))
    whole = plan("drop_cold", "cold", neurons).dropped
    for layer in range(3):
        dropped = plan("drop_cold_layer", layer, neurons).dropped
        assert (dropped[layer] == whole[layer]).all() and dropped.sum() == dropped[layer].sum()
