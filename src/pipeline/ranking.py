"""The order of neurons that classification and methods share."""

import numpy as np


def ordered(scores: np.ndarray, layers: np.ndarray, neurons: np.ndarray, seed: int = 0) -> np.ndarray:
    """Indices by ascending score, ties in a fixed random order of (seed, layer, neuron).

    Many neurons tie at zero activations; breaking ties by index would take whole layers first and
    make the ranking one of depth.
    """
    return np.lexsort((scrambled(layers, neurons, seed), scores))


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
