"""The order of neurons: scores first, ties by a fixed scramble."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from pipeline.numerics.ranking import deciles, heat_ranks, ordered, scrambled

COUNTS = hn.arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 4))


def places(size, layers=2):
    """Layer and neuron of every index."""
    return np.arange(size) % layers, np.arange(size) // layers


def splitmix(key):
    """SplitMix64's finalizer, in Python integers."""
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    key = (key ^ key >> 27) * 0x94D049BB133111EB % 2**64
    return key ^ key >> 31


def test_distinct_scores_decide_alone():
    layer, neuron = places(4)
    assert ordered(np.array([3.0, 1.0, 4.0, 2.0]), layer, neuron).tolist() == [1, 3, 0, 2]


def test_heat_ranks_of_distinct_frequencies():
    layer, neuron = places(4)
    assert heat_ranks(np.array([0.2, 0.9, 0.0, 0.5]), layer, neuron).tolist() == [3, 1, 4, 2]


def test_the_scramble_is_the_splitmix_finalizer_of_seed_layer_and_neuron():
    golden = 0x9E3779B97F4A7C15
    for seed, layer, neuron in [(0, 0, 0), (0, 0, 1), (0, 31, 11007), (5, 2, 3)]:
        key = seed << 32 ^ layer << 40 ^ neuron
        wanted = splitmix((splitmix((key + golden) % 2**64) + seed) % 2**64)
        found = scrambled(np.array([layer]), np.array([neuron]), seed)
        assert found.dtype == np.uint64 and int(found[0]) == wanted


def test_no_two_neurons_of_a_large_model_share_a_scramble():
    layer, neuron = np.divmod(np.arange(32 * 4096), 4096)
    assert np.unique(scrambled(layer, neuron)).size == layer.size


def test_ties_mix_the_layers_instead_of_taking_one_after_the_other():
    layer, neuron = np.divmod(np.arange(400), 100)
    first = layer[ordered(np.zeros(400), layer, neuron)[:100]]
    assert np.bincount(first, minlength=4).min() >= 10


def test_another_seed_orders_ties_otherwise():
    layer, neuron = places(40)
    scores = np.zeros(40)
    one, other = (ordered(scores, layer, neuron, seed).tolist() for seed in (0, 1))
    assert one != other and sorted(one) == sorted(other)


@given(COUNTS)
def test_heat_ranks_are_a_permutation_that_falls_with_frequency(counts):
    ranks = heat_ranks(counts, *places(counts.size))
    assert sorted(ranks) == list(range(1, counts.size + 1))
    assert (np.diff(counts[np.argsort(ranks)]) <= 0).all()


@given(COUNTS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_who_comes_first(counts, random):
    layer, neuron = places(counts.size)
    shuffled = list(range(counts.size))
    random.shuffle(shuffled)
    ranks = heat_ranks(counts, layer, neuron)
    assert (
        heat_ranks(counts[shuffled], layer[shuffled], neuron[shuffled]) == ranks[shuffled]
    ).all()


@given(COUNTS)
def test_frequencies_rank_as_the_counts_behind_them(counts):
    layer, neuron = places(counts.size)
    assert (
        heat_ranks(counts, layer, neuron) == heat_ranks(counts / 1_234_567, layer, neuron)
    ).all()


@given(COUNTS)
def test_deciles_follow_the_heat_and_are_of_one_size(counts):
    layer, neuron = places(counts.size)
    part = deciles(counts, layer, neuron)
    ranks = heat_ranks(counts, layer, neuron)
    assert part.min() == 1 and part.max() <= 10
    assert (np.diff(part[np.argsort(-ranks)]) >= 0).all()
    sizes = np.bincount(part, minlength=11)[1:]
    assert sizes.max() - sizes.min() <= 1
