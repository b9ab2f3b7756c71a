"""Profiles and classifications pair by layer and neuron."""

import numpy as np
import polars as pl
import pytest

from pipeline.methods.sparsifiers.neurons import neurons_of

ACTIVE = [[3, 1], [0, 2]]


def test_statistics_are_per_token_and_pair_by_place(make_neurons):
    profile, classes, plain = make_neurons(ACTIVE, tokens=4)
    assert plain.frequency.tolist() == [0.75, 0.25, 0.0, 0.5]
    assert plain.mean_contribution == pytest.approx(profile["sum_contribution"].to_numpy() / 4)
    mixed = neurons_of(profile.reverse(), classes.sample(fraction=1, shuffle=True, seed=1))
    for field in set(plain.__dataclass_fields__) - {"of_distractor"}:
        assert (getattr(mixed, field) == getattr(plain, field)).all()
    assert np.isnan(mixed.of_distractor).all()
    assert mixed.layer.tolist() == [0, 0, 1, 1] and mixed.neuron.tolist() == [0, 1, 0, 1]


def test_no_tokens_are_no_division_by_zero(make_neurons):
    profile, classes, _ = make_neurons(ACTIVE)
    empty = profile.with_columns(tokens=pl.lit(0), active=pl.lit(0))
    assert np.isfinite(neurons_of(empty, classes).frequency).all()


def test_a_profile_and_a_classification_of_other_neurons_do_not_pair(make_neurons):
    profile, classes, _ = make_neurons(ACTIVE)
    with pytest.raises(ValueError, match="do not cover the same neurons"):
        neurons_of(profile, classes.head(3))
    with pytest.raises(ValueError, match="do not cover the same neurons"):
        neurons_of(profile.head(3), classes)
    with pytest.raises(pl.exceptions.ComputeError):
        neurons_of(profile, pl.concat([classes, classes.head(1)]))


def test_the_mean_on_another_text_pairs_by_place_and_goes_by_its_own_tokens(make_neurons):
    profile, classes, _ = make_neurons(ACTIVE, tokens=4)
    other = profile.with_columns(
        sum_contribution=pl.Series([1.0, 2.0, 3.0, 4.0]), tokens=pl.lit(2)
    ).reverse()
    assert neurons_of(profile, classes, other).of_distractor.tolist() == [0.5, 1.0, 1.5, 2.0]
