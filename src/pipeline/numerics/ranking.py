"""The order of neurons that classification and methods share."""

import numpy as np


def ordered(
    scores: np.ndarray, layers: np.ndarray, neurons: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Indices by ascending score, ties in a fixed random order of (seed, layer, neuron).

    Many neurons tie at zero activations; breaking ties by index would take whole layers first and
    turn the ranking into one of depth.
    """
    return np.lexsort((scrambled(layers, neurons, seed), scores))


def heat_ranks(frequency: np.ndarray, layers: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    """1 for the hottest neuron, 2 for the next, ...; `frequency` may be any measure of activity.

    Classification and the arms that follow it use this one order, so removing as many neurons as
    are cold removes the cold set itself, ties included.
    """
    ranks = np.empty(frequency.size, dtype=np.int64)
    ranks[ordered(-frequency, layers, neurons)] = np.arange(1, frequency.size + 1)
    return ranks


def deciles(frequency: np.ndarray, layers: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    """1 for neurons of the coldest tenth to 10 for those of the hottest, by heat_ranks; the sizes
    differ by one at most."""
    coldness = frequency.size - heat_ranks(frequency, layers, neurons)
    return coldness * 10 // max(1, frequency.size) + 1


def scrambled(layers: np.ndarray, neurons: np.ndarray, seed: int = 0) -> np.ndarray:
    """A fixed 64-bit hash of each (seed, layer, neuron), uint64; the SplitMix64 finalizer."""
    key = (
        np.uint64(seed % 2**32) << np.uint64(32)
        ^ layers.astype(np.uint64) << np.uint64(40)
        ^ neurons.astype(np.uint64)
    )
    key = _mix(_mix(key + np.uint64(0x9E3779B97F4A7C15)) + np.uint64(seed))
    return key


def _mix(key: np.ndarray) -> np.ndarray:
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))
