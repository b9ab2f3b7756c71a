"""What methods need of a model and its text in addition to the profile on disk."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pipeline.config.profile import Profile
from pipeline.models.views import view
from pipeline.profiling.merge import merge_histograms
from pipeline.profiling.shard import profile_shard


def histograms(
    model: Any, sequences: Sequence[Sequence[int]], special: Sequence[int], config: Profile
) -> pl.DataFrame:
    """Rows of tables.neurons.HISTOGRAMS of a model as it is now, in one pass."""
    above = [np.full(ffn.d_ff, np.inf) for ffn in view(model).ffns]
    return merge_histograms([profile_shard(model, sequences, special, above, config, 0, 1)[2]])
