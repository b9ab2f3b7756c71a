"""Classification of a profile, by hand and by its invariants."""

import numpy as np
import polars as pl
import pytest

from pipeline.classification.base import PolicyEvidence
from pipeline.classification.classify import classify
from pipeline.config.classification import Classification
from pipeline.registry import POLICIES
from pipeline.tables.classes import CLASSES, CLASSIFICATION


def profile(active, tokens=100):
    """A profile with the given (layers, neurons) activation counts."""
    active = np.array(active)
    layer, neuron = np.indices(active.shape)
    counts = active.ravel()
    frame = pl.DataFrame(
        {
            "layer": layer.ravel(),
            "neuron": neuron.ravel(),
            "active": counts,
            "active_cett": counts,
            "sum_abs": 0.5 * counts,
            "sum_contribution": 2.0 * counts,
            "tokens": np.full(active.size, tokens),
        }
    )
    return PolicyEvidence(
        frame, other=frame, rise=lambda removed: counts[removed].sum() / counts.sum()
    )


ACTIVE = [[50, 1, 30, 0], [10, 4, 2, 3]]


def test_coverage_over_the_model_by_hand():
    columns, facts = classify(
        profile(ACTIVE),
        Classification(policy="coverage", share=0.8, scope="model"),
        exact_zeros=True,
    )
    assert columns["score"].tolist() == [0.5, 0.01, 0.3, 0, 0.1, 0.04, 0.02, 0.03]
    assert columns["rank"].tolist() == [1, 7, 2, 8, 3, 4, 6, 5]
    assert columns["hot"].tolist() == [True, False, True] + [False] * 5
    assert facts == {
        "policy": "coverage",
        "share": 0.8,
        "scope": "model",
        "other": None,
        "rise": None,
        "neurons": 8,
        "hot": 2,
        "carried": 0.8,
        "active_rule": "nonzero",
    }


def test_coverage_within_each_layer_by_hand():
    # Layer 0: 50 + 30 of 81 reach 0.8; layer 1: 10 + 4 of 19 do not, 10 + 4 + 3 do.
    columns, facts = classify(
        profile(ACTIVE),
        Classification(policy="coverage", share=0.8, scope="layer"),
        exact_zeros=False,
    )
    assert columns["rank"].tolist() == [1, 3, 2, 4, 1, 2, 4, 3]
    assert columns["hot"].tolist() == [True, False, True, False, True, True, False, True]
    assert (facts["hot"], facts["carried"]) == (5, 0.97)
    assert facts["active_rule"] == "cett"


def test_budget_by_hand():
    columns, facts = classify(
        profile(ACTIVE), Classification(policy="budget", share=0.5), exact_zeros=True
    )
    assert columns["hot"].tolist() == [True, False, True, False, True, True, False, False]
    assert (facts["hot"], facts["carried"]) == (4, 0.94)


def test_nothing_active_is_no_division_by_zero():
    columns, facts = classify(
        profile([[0, 0], [0, 0]], tokens=0),
        Classification(policy="coverage", share=0.8),
        exact_zeros=True,
    )
    assert columns["score"].tolist() == [0, 0, 0, 0]
    assert (facts["hot"], facts["carried"]) == (0, 0.0)


@pytest.mark.parametrize("scope", ["model", "layer"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_classification_fits_its_tables_and_hot_is_a_run_of_ranks(policy, scope):
    generator = np.random.default_rng(0)
    given = profile(generator.integers(0, 5, (3, 40)))
    options = {"share": 0.4, "rise": 0.2, "other": "another"}
    taken = {name: options[name] for name in POLICIES.load(policy).options}
    config = Classification(policy=policy, scope=scope, **taken)
    columns, facts = classify(given, config, exact_zeros=True)
    frame = CLASSES.frame(columns)
    assert set(facts) == set(CLASSIFICATION.keys)
    assert facts["hot"] == frame["hot"].sum() and facts["neurons"] == frame.height == 120
    groups = [frame] if scope == "model" else frame.partition_by("layer")
    for group in groups:
        ranked = group.sort("rank")
        assert ranked["rank"].to_list() == list(range(1, group.height + 1))
        assert ranked["score"].is_sorted(descending=True)
        assert ranked["hot"].to_list() == sorted(ranked["hot"].to_list(), reverse=True)


def test_the_order_of_a_profiles_rows_does_not_matter():
    given = profile(np.random.default_rng(1).integers(0, 3, (4, 20)))
    config = Classification(policy="coverage", share=0.5)
    plain = CLASSES.frame(classify(given, config, True)[0])
    shuffled = PolicyEvidence(given.neurons.sample(fraction=1, shuffle=True, seed=3))
    mixed = CLASSES.frame(classify(shuffled, config, True)[0])
    assert plain.equals(mixed.sort("layer", "neuron"))
