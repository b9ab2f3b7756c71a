"""The profile of a model in memory, by the steps that a study divides among jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.profile import Profile
from pipeline.models.views import EXACT_ZERO_ACTIVATIONS, view
from pipeline.profiling.merge import merge_histograms, merge_neurons
from pipeline.profiling.sample import profile_sample
from pipeline.profiling.shard import magnitudes, profile_shard
from pipeline.tables.neurons import HISTOGRAMS, NEURONS
from pipeline.tables.sampled import NORMS, THRESHOLDS

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class WholeProfile:
    """A model's profile on one text: frames of tables.neurons.NEURONS and HISTOGRAMS, and of every
    layer the |h| of each neuron at which its contribution is the CETT threshold, (d_ff,)."""

    neurons: "pl.DataFrame"
    histograms: "pl.DataFrame"
    above: list[np.ndarray]


def profile_whole(
    model: Any, sequences: Sequence[Sequence[int]], special: Sequence[int], config: Profile
) -> WholeProfile:
    """Profile a model on token sequences, with the values of profile_sample, profile_shard and
    merge_profile on the same ones. Two forward passes, the first over a sample."""
    sample = profile_sample(model, sequences, special, config)
    norms = NORMS.frame(sample["norms"])
    above = magnitudes(THRESHOLDS.frame(sample["thresholds"]), norms)
    sums, _, histograms = profile_shard(model, sequences, special, above, config, 0, 1)
    exact_zeros = view(model).ffns[0].activation in EXACT_ZERO_ACTIVATIONS
    return WholeProfile(
        NEURONS.frame(merge_neurons([sums], config.blocks, norms, exact_zeros)),
        HISTOGRAMS.frame(merge_histograms([histograms])),
        above,
    )
