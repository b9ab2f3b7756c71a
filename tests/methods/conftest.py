"""Neurons with chosen statistics, classified as the pipeline classifies them."""

import numpy as np
import polars as pl
import pytest

from pipeline.classification.base import PolicyEvidence
from pipeline.classification.classify import classify
from pipeline.config.classification import Classification
from pipeline.methods.sparsifiers.neurons import neurons_of


@pytest.fixture(scope="session")
def make_neurons():
    """A function: (layers, width) activation counts -> (profile, classes, Neurons)."""

    def make(active, policy="coverage", share=0.8, scope="model", tokens=1000, seed=0):
        active = np.array(active)
        generator = np.random.default_rng(seed)
        layer, neuron = np.indices(active.shape)
        profile = pl.DataFrame(
            {
                "layer": layer.ravel().astype(np.int32),
                "neuron": neuron.ravel().astype(np.int32),
                "tokens": np.full(active.size, tokens),
                "active": active.ravel(),
                "sum_contribution": generator.random(active.size),
                "weight_norm": generator.random(active.size),
            }
        )
        config = Classification(policy=policy, share=share, scope=scope)
        columns, _ = classify(PolicyEvidence(profile), config, exact_zeros=True)
        classes = pl.DataFrame(columns)
        other = profile.with_columns(sum_contribution=generator.random(active.size))
        return profile, classes, neurons_of(profile, classes, other)

    return make
