"""Correlations of the parts of a model with what removing them costs, by hand and on known data."""

import itertools

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis.correlations import of_conditions, of_removals, of_units, spearman
from pipeline.tables.correlations import CORRELATIONS


def test_spearman_is_scipys_with_ties_and_nan_without_variation():
    generator = np.random.default_rng(0)
    x, rows = generator.integers(0, 5, 12), generator.integers(0, 4, (6, 12))
    wanted = [stats.spearmanr(x, row).statistic for row in rows]
    assert spearman(x, rows) == pytest.approx(wanted)
    assert np.isnan(spearman(x, np.ones((1, 12)))[0])


def found(losses, models="mn"):
    """Deciles with these losses in every model, as `units` gives them."""
    return [
        {"model": model, "method": "parts", "activity": place / 10, "loss": loss}
        for model in models
        for place, loss in enumerate(losses)
    ]


def test_a_perfect_order_is_pooled_over_backbones():
    rows = of_units("neuron", found(np.arange(10) / 20), 0)
    assert [row["model"] for row in rows] == ["m", "n", None]
    assert {row["spearman"] for row in rows} == {1.0}
    assert [row["units"] for row in rows] == [10, 10, 20]
    assert {row["strata"] for row in rows} == {None}
    assert rows[-1]["p"] <= rows[0]["p"] < 0.001


def test_the_pooled_rank_correlation_is_the_mean_by_number_of_units():
    rows = found([0.1, 0.2, 0.3, 0.4], "m") + found([0.4, 0.3, 0.2, 0.1, 0.0, -0.1], "n")
    assert [row["spearman"] for row in of_units("neuron", rows, 0)] == [
        1.0, -1.0, pytest.approx((4 - 6) / 10)
    ]  # fmt: skip


def test_p_is_that_of_all_permutations_when_they_are_few():
    """Of the 24 orders of four units, the ascending and the descending one are as extreme."""
    (row,) = of_units("neuron", found([0.1, 0.2, 0.3, 0.4], models="m"), 0)
    assert row["p"] == pytest.approx(2 / 24, abs=0.01)
    assert row["least_p"] == pytest.approx(2 / 24)


def test_no_p_can_be_less_than_that_of_as_many_permutations_as_are_drawn():
    *_, pooled = of_units("neuron", found([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], models="mn"), 0)
    assert pooled["p"] == pooled["least_p"] == 1e-4


def test_units_that_do_not_vary_or_are_too_few_say_nothing():
    flat = of_units("neuron", found([0.2] * 4), 0)
    assert {row["spearman"] for row in flat} == {row["p"] for row in flat} == {None}
    assert {row["model"] for row in flat} == {"m", "n"}
    assert of_units("neuron", found([0.1, 0.2]), 0) == of_units("neuron", [], 0) == []


def test_backbones_without_variation_are_left_out_of_the_pool():
    steep = found([0.1, 0.2, 0.3, 0.4], models="mn")
    rows = of_units("neuron", steep + found([0.2] * 4, models="o"), 0)
    (pooled,) = (row for row in rows if row["model"] is None)
    assert pooled["units"] == 8 and pooled["spearman"] == 1.0


def test_chance_alone_is_seldom_significant(monkeypatch):
    """200 studies in which activity and loss have nothing to do with each other."""
    monkeypatch.setattr("pipeline.analysis.correlations._PERMUTATIONS", 199)
    generator = np.random.default_rng(1)
    small = 0
    for study in range(200):
        losses = generator.permutation(10) / 20
        small += of_units("neuron", found(losses, models="m"), study)[0]["p"] <= 0.05
    assert small <= 20


UNLIKE = itertools.count()


def removal(activity, loss, removed=25, model="m", method=None, seed=0):
    """A row of REMOVALS, as far as it is read; of a method of its own where none is named."""
    return {
        "model": model, "method": method or f"method{next(UNLIKE)}", "level": "0.25", "seed": seed,
        "removed": removed, "neurons": 100, "activity_removed": activity, "loss": loss,
    }  # fmt: skip


def strata(generator, counts, relation, per_count=6, model="m"):
    """Removals of several numbers of neurons. Activity and loss both rise with the number; within
    one number the loss follows the activity by `relation`, and is noise for the rest."""
    rows = []
    for count in counts:
        apart = generator.standard_normal(per_count)
        noise = generator.standard_normal(per_count)
        for one, other in zip(apart, noise, strict=True):
            loss = relation * one + (1 - relation) * other
            rows.append(removal(count / 100 + one / 100, count / 50 + loss / 100, count, model))
    return rows


def within(rows, model="m"):
    """The one row of removals that has a p."""
    (found,) = (r for r in rows if r["p"] is not None and r["model"] == model)
    return found


def test_a_relation_within_removals_of_equally_many_neurons_is_found():
    rows = strata(np.random.default_rng(0), (10, 25, 50), relation=0.9)
    row = within(of_removals(rows, 0))
    assert (row["level"], row["method"], row["measure"]) == ("removal", "", "activity_removed")
    assert (row["units"], row["strata"]) == (18, 3)
    assert row["spearman"] > 0.8 and row["p"] < 0.001


def test_what_number_alone_explains_is_not_significant_and_only_described():
    """Over all removals activity and loss go together; within equal numbers they do not."""
    generator = np.random.default_rng(5)
    rows = of_removals(strata(generator, (10, 20, 30, 40, 50, 60), relation=0.0), 0)
    assert within(rows)["p"] > 0.05
    described = {row["measure"]: row for row in rows if row["p"] is None}
    assert described["activity_removed, pooled"]["spearman"] > 0.9
    assert described["neurons removed, pooled"]["spearman"] > 0.9
    assert abs(described["activity_removed given the number"]["spearman"]) < 0.5
    assert {row["units"] for row in rows} == {36}


def test_p_within_strata_is_uniform_where_nothing_is_planted(monkeypatch):
    """300 studies of four strata; 199 permutations say enough."""
    monkeypatch.setattr("pipeline.analysis.correlations._PERMUTATIONS", 199)
    generator = np.random.default_rng(7)
    found = [
        within(of_removals(strata(generator, (10, 25, 50, 70), 0.0), study))["p"]
        for study in range(300)
    ]
    assert stats.kstest(found, "uniform").pvalue > 0.05
    assert np.mean(np.array(found) <= 0.05) < 0.08


def test_the_mean_over_strata_weighs_them_by_their_removals():
    one = [removal(a, a) for a in (0.1, 0.2, 0.3)]
    other = [removal(a, -a, removed=50) for a in (0.1, 0.2, 0.3, 0.4)]
    row = within(of_removals(one + other, 0))
    assert row["spearman"] == pytest.approx((3 * 1 - 4 * 1) / 7)


def test_removals_to_a_hundredth_of_the_model_are_equally_many():
    rows = [removal(a, a, removed=count) for a, count in ((0.1, 249), (0.2, 250), (0.3, 251))]
    for row in rows:
        row["neurons"] = 1000
    assert within(of_removals(rows, 0))["strata"] == 1
    rows[0]["removed"] = 260
    assert not any(row["strata"] for row in of_removals(rows, 0))


def test_few_or_equal_removals_of_one_number_make_no_stratum():
    few = [removal(0.1, 0.2), removal(0.2, 0.3), removal(0.1, 0.1, removed=50)]
    assert not any(row["strata"] for row in of_removals(few, 0))
    alike = [removal(0.1 * place, 0.2) for place in range(4)]
    assert of_removals(alike, 0) == of_removals([], 0) == []


def test_draws_of_one_condition_are_one_removal_their_mean():
    drawn = [removal(0.2 + 0.01 * s, 0.4 - 0.1 * s, method="drawn", seed=s) for s in range(3)]
    # Their means are 0.21 and 0.3, between the others.
    rows = [removal(0.1, 0.2), *drawn, removal(0.3, 0.5)]
    row = within(of_removals(rows, 0))
    assert (row["units"], row["spearman"]) == (3, 1.0)
    assert {row["units"] for row in of_removals(rows, 0)} == {3}
    assert not any(row["strata"] for row in of_removals(rows[:-1], 0))


def test_draws_that_cost_alike_do_not_make_chance_significant(monkeypatch):
    """200 studies of three strata with two methods of five draws and three of one."""
    monkeypatch.setattr("pipeline.analysis.correlations._PERMUTATIONS", 199)
    generator = np.random.default_rng(0)

    def condition(removed, name, draws):
        activity, loss = generator.standard_normal(2)
        return [
            removal(activity + 0.01 * generator.standard_normal(),
                    loss + 0.1 * generator.standard_normal(), removed, "m", name, seed)
            for seed in range(draws)
        ]  # fmt: skip

    found = []
    for study in range(200):
        rows = [
            row
            for removed in (10, 25, 50)
            for name, draws in (("a", 5), ("b", 5), ("c", 1), ("d", 1), ("e", 1))
            for row in condition(removed, f"{name}{removed}", draws)
        ]
        found.append(within(of_removals(rows, study))["p"] <= 0.05)
    assert np.mean(found) <= 0.09


def test_removals_whose_loss_is_unknown_are_left_out():
    rows = [removal(a, a) for a in (0.1, 0.2, 0.3)]
    more = [*rows, removal(0.9, None)]
    assert within(of_removals(more, 0))["units"] == 3
    assert of_removals([removal(a, None) for a in (0.1, 0.2, 0.3)], 0) == []


def test_models_are_pooled_only_where_several_have_strata():
    own = [removal(a, a) for a in (0.1, 0.2, 0.3)]
    other = [removal(0.1 * n, 0.2 * n, removed=10 * n, model="n") for n in (1, 3, 2)]
    assert not any(row["model"] is None for row in of_removals(own + other, 0))
    both = of_removals(own + [row | {"model": "n"} for row in own], 0)
    pooled = within(both, None)
    assert (pooled["units"], pooled["strata"], pooled["spearman"]) == (6, 2, 1.0)
    # Two strata of three: both in order, or both turned, of 36.
    assert pooled["p"] == pytest.approx(2 / 36, abs=0.01)
    assert pooled["least_p"] == pytest.approx(2 / 36)


def described(rows):
    return {row["measure"]: row["spearman"] for row in of_removals(rows, 0) if row["p"] is None}


def test_the_partial_correlation_by_hand():
    # Ranks of activity 1 2 3 4, of number 1 3 2 4, of loss 2 1 3 4: each pair of activity with
    # another is 0.8, number with loss 0.4.
    rows = ((0.1, 10, 0.2), (0.2, 30, 0.1), (0.3, 20, 0.3), (0.4, 40, 0.4))
    found = described([removal(a, b, removed=n) for a, n, b in rows])
    assert found["activity_removed, pooled"] == pytest.approx(0.8)
    assert found["neurons removed, pooled"] == pytest.approx(0.4)
    wanted = (0.8 - 0.4 * 0.8) / np.sqrt((1 - 0.4**2) * (1 - 0.8**2))
    assert found["activity_removed given the number"] == pytest.approx(wanted)


def test_there_is_no_partial_correlation_where_activity_and_number_rank_alike():
    generator = np.random.default_rng(0)
    for size in (5, 7, 12, 30):
        rows = [removal(n / 100, loss, removed=2 * n)
                for n, loss in enumerate(generator.random(size))]  # fmt: skip
        assert described(rows)["activity_removed given the number"] is None


def test_conditions_are_described_and_no_more():
    rows = [
        {"model": "m", "method": "a", "task": "reasoning", "neuron_sparsity_imposed": x, "loss": y}
        for x, y in ((0.1, 0.0), (0.2, 0.3), (0.3, 0.2))
    ]
    (row,) = of_conditions(rows, ["a", "b"])
    assert row["spearman"] == pytest.approx(0.5)
    assert row["p"] is row["strata"] is None
    assert set(row) == set(CORRELATIONS.columns)
    assert of_conditions(rows[:2], ["a"]) == []
