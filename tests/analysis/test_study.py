"""A whole small study: losses, corrected losses, contrasts and sentences worked out by hand."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from pipeline.analysis.finding import backbone_facts
from pipeline.analysis.material import Backbone, PartProfile, clusters
from pipeline.config.orders import Order, Orders
from pipeline.config.roles import COLDEST, HOTTEST, RANDOM
from pipeline.report.finding.sentences import sentences
from pipeline.tables.correlations import CORRELATIONS, STEPS, UNITS
from pipeline.tables.curves import CURVES, PERPLEXITY, REFUSED
from pipeline.tables.finding import FINDING
from pipeline.tables.removals import REMOVALS, REMOVED_BY_LAYER

DENSE = {"sum": [1, 1, 1, 1, 1, 1], "logic": [1, 1, 1, 1, 1, 0], "copying": [1] * 6}
COLD = {"sum": [1, 1, 1, 0, 0, 0], "logic": [1, 1, 1, 1, 0, 0], "copying": [1] * 6}
HOT = {"sum": [0] * 6, "logic": [0] * 6, "copying": [0, 0, 0, 1, 1, 1]}
NONE = {"sum": [1] * 6, "logic": [1, 1, 1, 1, 1, 0], "copying": [1] * 6}
ORDERS = [
    Order("cold", COLDEST, "layer", "reasoning"),
    Order("hot", HOTTEST, "layer", "reasoning"),
    Order("random", RANDOM, "layer", "reasoning"),
]


@pytest.fixture
def result(condition, analyse, plan):
    evaluated = [
        condition("cold", "0.25", NONE, 0.25, plan=plan([2, 3], 0.1, 0.2)),
        condition("cold", "0.5", COLD, 0.5),
        condition("cold", "cold", COLD, 0.7),
        condition("hot", "hot", HOT, 0.3),
        condition("random", "0.25", COLD, 0.25, seed=0),
        condition("random", "0.25", NONE, 0.25, seed=1),
        condition("dense", "0", DENSE),
    ]
    return analyse(evaluated, ORDERS, seed=5)


def said(result, orders=ORDERS):
    """The finding in sentences."""
    return sentences(result.finding, vars(result), Orders(orders))


def row(result, method, level, task):
    (found,) = (
        r for r in result.curves if (r["method"], r["level"], r["task"]) == (method, level, task)
    )
    return found


def test_rows_are_the_contract(result):
    assert CURVES.frame(result.curves).height == 6 * 4
    assert set(result.finding) == set(FINDING.keys)
    kinds = (PERPLEXITY, CORRELATIONS, UNITS, STEPS, REMOVALS, REMOVED_BY_LAYER, REFUSED)
    assert [table.frame(getattr(result, table.name)).height for table in kinds] == [
        # Two tasks with two step counts each, in five pruned conditions.
        0, 1, 0, 5 * 2 * 2, 1, 2, 0
    ]  # fmt: skip


def test_removals_are_told_with_their_loss(result):
    (removed,) = result.removals
    assert (removed["method"], removed["removed"], removed["loss"]) == ("cold", 5, 0)
    assert row(result, "cold", "0.25", "sum")["activity_removed"] == 0.1
    assert row(result, "cold", "0.5", "sum")["activity_removed"] is None


def test_answers_that_stay_are_told_by_steps_of_what_the_dense_model_gets_right(result):
    found = {
        (r["method"], r["level"], r["task"], r["steps"]): (r["questions"], r["stayed"])
        for r in result.steps
    }
    # Items 0, 2 and 4 need one step and 1, 3 and 5 two; the dense model gets item 5 of logic wrong.
    assert found["cold", "0.5", "sum", 1] == (3, pytest.approx(2 / 3))
    assert found["cold", "0.5", "sum", 2] == (3, pytest.approx(1 / 3))
    assert found["cold", "0.5", "logic", 2] == (2, 1)
    assert not any(task == "copying" for _, _, task, _ in found)


def test_loss_is_dense_minus_pruned(result):
    assert row(result, "cold", "0.5", "sum")["loss"] == pytest.approx(3 / 6)
    assert row(result, "cold", "0.5", "logic")["loss"] == pytest.approx(1 / 6)
    assert row(result, "cold", "0.5", "copying")["loss"] == 0
    assert row(result, "random", "0.25", "sum")["loss"] == pytest.approx(3 / 12)


def test_reasoning_is_the_mean_of_the_reasoning_tasks_without_controls(result):
    pooled = row(result, "cold", "0.5", "reasoning")
    assert pooled["loss"] == pytest.approx((3 / 6 + 1 / 6) / 2)
    assert pooled["n"] == 12
    assert pooled["reasoning"] is True
    assert row(result, "cold", "0.5", "copying")["reasoning"] is False


def test_corrected_loss_divides_by_what_is_above_chance(result):
    # All answers to sum differ, three a step count: a constant gets one of three.
    sums = row(result, "cold", "0.5", "sum")
    assert sums["chance"] == pytest.approx(1 / 3)
    assert sums["corrected_loss"] == pytest.approx((3 / 6) / (1 - 1 / 3))


def test_corrected_loss_is_null_where_dense_is_not_clear_of_chance(result):
    # Targets F T T F T T; steps 1 has items 0, 2, 4 and steps 2 has 1, 3, 5: a constant gets 4 of
    # 6, which six items cannot tell from the dense model's 5 of 6.
    assert row(result, "cold", "0.5", "logic")["corrected_loss"] is None


def test_intervals_hold_their_estimates(result):
    for r in result.curves:
        assert -1 <= r["loss_low"] <= r["loss"] <= r["loss_high"] <= 1
        if r["corrected_loss"] is not None:
            assert r["corrected_low"] <= r["corrected_loss"] <= r["corrected_high"]
    assert max(r["corrected_loss"] or 0 for r in result.curves) > 1


def test_no_change_still_has_an_interval(result):
    unchanged = row(result, "cold", "0.25", "sum")
    assert unchanged["loss"] == 0
    # Two halves that change among eight questions, at 90 %.
    assert unchanged["loss_high"] == pytest.approx(1.644854 / 8)
    assert row(result, "dense", "0", "sum")["loss_high"] == 0


def test_contrast_is_the_difference_of_losses(result):
    (sets,) = (c for c in result.finding["contrasts"] if c["first"]["level"] == "cold")
    loss = {a: row(result, *a, "reasoning")["loss"] for a in (("cold", "cold"), ("hot", "hot"))}
    assert sets["estimate"] == pytest.approx(loss["cold", "cold"] - loss["hot", "hot"])
    assert sets["high"] < 0
    (chosen,) = (c for c in result.finding["contrasts"] if c["second"]["method"] == "random")
    assert chosen["estimate"] == pytest.approx(
        0 - row(result, "random", "0.25", "reasoning")["loss"]
    )


def test_rank_correlation_needs_three_conditions(result):
    (cold,) = (c for c in result.correlations if c["level"] == "condition")
    # Losses 0, x, x at sparsity 0.25, 0.5, 0.7: ranks 1, 2.5, 2.5 against 1, 2, 3.
    assert cold["method"] == "cold"
    assert cold["spearman"] == pytest.approx(np.corrcoef([1, 2.5, 2.5], [1, 2, 3])[0, 1])
    assert cold["p"] is cold["strata"] is None


def test_dense_rows_give_accuracy_and_chance_per_task_and_step_count(result):
    dense = {(r["task"], r["steps"]): r for r in result.finding["dense"]}
    assert dense["logic", None]["accuracy"] == pytest.approx(5 / 6)
    assert dense["logic", 2]["accuracy"] == pytest.approx(2 / 3)
    assert dense["logic", 2]["n"] == 3


def test_sentences_name_sets_costs_and_direction(result):
    first, controls, sets = said(result)
    # No question changes: two halves in each of two tasks of six, 1.645 / 8 over the root of two.
    assert first.startswith(
        "To reasoning, cold neurons do not clearly matter less than random ones of the same "
        "layers. Removing the coldest 25% of every layer costs 0.0 [−14.5, 14.5] on m, in points "
        "of reasoning accuracy. As many drawn at random cost 16.7 ["
    )
    assert first.endswith(" more (not clear of zero) on m (2 draws, paired 90% intervals).")
    assert controls == (
        "Of tasks that need no reasoning, the coldest 25% of every layer cost copying 0.0 [−20.6, "
        "20.6] on m."
    )
    # Chance is (1/3 + 4/6) / 2 and the dense model's mean 11/12, so there are 5/12 to lose.
    assert sets.startswith("The cold set as a whole cannot be spared: removing it costs 80% [")
    # Sizes are those measured, not those of a classification.
    assert " on m (70% of its neurons); removing the hot set costs 220% [" in sets
    assert "on m (30% of its neurons). (Shares of what the dense model scores above " in sets


def test_items_of_one_content_are_one_cluster(condition):
    samples = condition("dense", "0", {"sum": [1] * 4, "logic": [1] * 2}).samples
    same = samples.with_columns(
        cluster=pl.when(pl.col("item") == 3).then(pl.lit("sum1")).otherwise(pl.col("cluster"))
    )
    found = clusters(same)
    assert found["sum"].tolist() == [0, 1, 2, 1] and found["logic"].tolist() == [0, 1]


def test_items_of_one_content_count_once(condition, analyse):
    """Every question twice, with one hash, has the interval of every question once."""

    def intervals(times):
        def asked(method, level, right):
            made = condition(method, level, {k: np.repeat(v, times) for k, v in right.items()})
            content = pl.col("task") + (pl.col("item") // times).cast(pl.String)
            samples = made.samples.with_columns(
                cluster=content, steps=(1 + pl.col("item") // times % 2).cast(pl.Int32)
            )
            return type(made)("m", method, level, 0, samples, made.sparsity)

        reasoning = {"sum": COLD["sum"], "logic": COLD["logic"]}
        before = {"sum": DENSE["sum"], "logic": DENSE["logic"]}
        evaluated = [asked("cold", "0.5", reasoning), asked("dense", "0", before)]
        found = analyse(evaluated, ORDERS, seed=5)
        rows = [r for r in found.curves if r["method"] == "cold"] + found.steps
        ends = ("loss_low", "loss_high", "corrected_low", "corrected_high", "low", "high")
        return [r.get(name) for r in rows for name in ends]

    assert intervals(2) == pytest.approx(intervals(1))


def test_the_same_inputs_give_the_same_figures(condition, analyse, result):
    evaluated = [condition("cold", "0.5", COLD, 0.5), condition("dense", "0", DENSE)]
    again = analyse(evaluated, ORDERS, seed=5)
    assert row(again, "cold", "0.5", "reasoning") == row(result, "cold", "0.5", "reasoning")


def test_a_study_without_arms_says_so(condition, analyse):
    only = [condition("dense", "0", DENSE)]
    found = analyse(only, [])
    first, second = said(found, [])
    assert "compares no level" in first
    assert "no condition that removes a whole cold or hot set" in second
    assert found.finding["contrasts"] == found.finding["decomposition"] == []
    assert found.removals == found.steps == found.correlations == []


def test_backbone_facts_mean_over_layers():
    layers = pl.DataFrame({"natural_sparsity": [0.8, 0.9]})
    record = {"name": "m", "activation": "relu", "parameters": 10}
    names = ("neurons", "active_rule", "policy", "share", "hot", "carried")
    backbone = Backbone(record, layers, dict.fromkeys(names))
    assert backbone_facts(backbone)["natural_sparsity"] == pytest.approx(0.85)


def test_a_model_with_nothing_to_lose_has_no_correlation(condition, analyse):
    wrong = {"sum": [0] * 6, "logic": [0] * 6, "copying": [1] * 6}
    evaluated = [condition("one", str(n), wrong, 0.1) for n in range(1, 11)]
    evaluated.append(condition("dense", "0", wrong))
    neurons = pl.DataFrame({"layer": [0] * 20, "neuron": range(20), "active": range(20),
                            "tokens": [20] * 20})  # fmt: skip
    classes = neurons.select("layer", "neuron", hot=pl.col("active") > 9)
    part = PartProfile("m", "one", "decile", True, neurons, classes)
    order = Order("one", None, "layer", "reasoning")
    result = analyse(evaluated, [order], [part])
    assert len(result.units) == 10 and result.correlations == []


def test_a_study_without_reasoning_tasks_says_so(condition, analyse, plan):
    copying = {"copying": [1] * 6}
    evaluated = [
        condition("cold", "0.25", copying, 0.25, plan=plan([2, 3], 0.1, 0.2)),
        condition("dense", "0", copying),
    ]
    found = analyse(evaluated, ORDERS)
    first, second = said(found)
    assert first.startswith("No task of this study has right or wrong answers that need reasoning")
    assert found.finding["contrasts"] == found.finding["decomposition"] == found.steps == []
    assert [row["loss"] for row in found.removals] == [None]


def test_a_study_of_texts_alone_is_analysed(condition, analyse, plan):
    def texts(method, level, nats, **facts):
        made = condition(method, level, {"prose": [1, 1]}, **facts)
        scored = made.samples.with_columns(
            correct=pl.lit(None, dtype=pl.Boolean), reasoning=pl.lit(False),
            nats=pl.lit(nats), scored_tokens=pl.lit(2, dtype=pl.Int32),
        )  # fmt: skip
        return type(made)("m", method, level, 0, scored, made.sparsity, plan=made.plan)

    evaluated = [
        texts("cold", "0.25", 3.0, plan=plan([2, 3], 0.1, 0.2)),
        texts("dense", "0", 2.0),
    ]
    found = analyse(evaluated, ORDERS)
    assert [row["loss"] for row in found.perplexity] == [0.5, 0]
    assert found.curves == [] and [row["loss"] for row in found.removals] == [None]


def with_nothing_imposed(made, *tasks):
    """The condition, as if its method had skipped nothing at the tasks' tokens."""
    spared = (pl.col("basis") == "imposed") & pl.col("task").is_in(tasks)
    measures = [name for name in made.sparsity.columns if name.endswith("_sparsity")]
    cleared = [pl.when(spared).then(0.0).otherwise(pl.col(name)).alias(name) for name in measures]
    return dataclasses.replace(made, sparsity=made.sparsity.with_columns(cleared))


def test_a_task_that_a_method_does_not_touch_does_not_enter_its_mean(condition, analyse, plan):
    """On logic nothing could be lost; its loss of zero would halve the mean."""
    changed = {"sum": COLD["sum"], "logic": DENSE["logic"], "copying": [1] * 6}
    told = plan([2, 3], 0.1, 0.2)
    late = with_nothing_imposed(condition("cold", "0.25", changed, 0.25, plan=told), "logic")
    other = condition("random", "0.25", COLD, 0.25, plan=told)
    dense = condition("dense", "0", DENSE)
    result = analyse([late, other, dense], ORDERS)
    mean, alone = row(result, "cold", "0.25", "reasoning"), row(result, "cold", "0.25", "sum")
    assert mean["left_out"] == "logic" and mean["n"] == 6
    for key in ("loss", "accuracy", "accuracy_dense", "chance", "neuron_sparsity_imposed"):
        assert mean[key] == pytest.approx(alone[key])
    assert row(result, "cold", "0.25", "logic")["loss"] == 0
    for method, level in (("dense", "0"), ("random", "0.25")):
        assert row(result, method, level, "reasoning")["left_out"] is None
    # What is compared with it is compared on the same tasks, and so is each draw.
    (contrast,) = result.finding["contrasts"]
    assert contrast["n"] == 6
    assert contrast["estimate"] == pytest.approx(
        alone["loss"] - row(result, "random", "0.25", "sum")["loss"]
    )
    assert [r["loss"] for r in result.removals if r["method"] == "cold"] == [alone["loss"]]


def test_a_method_that_touches_no_reasoning_task_has_no_mean_of_them(condition, analyse, plan):
    told = plan([2, 3], 0.1, 0.2)
    late = condition("cold", "0.25", NONE, 0.25, plan=told)
    late = with_nothing_imposed(late, "logic", "sum")
    never = condition("random", "0.25", NONE, 0.0, plan=told)
    evaluated = [late, never, condition("dense", "0", DENSE)]
    result = analyse(evaluated, ORDERS)
    tasks = {(r["method"], r["task"]) for r in result.curves}
    assert ("cold", "reasoning") not in tasks and ("cold", "sum") in tasks
    # One that imposes nothing anywhere is at work in another way.
    assert row(result, "random", "0.25", "reasoning")["left_out"] is None
    assert result.finding["contrasts"] == []


def test_scores_that_are_not_finite_and_answers_out_of_form_are_counted(condition, analyse, plan):
    odd = condition("cold", "0.5", COLD, 0.5, plan=plan([2, 3], 0.1, 0.2))
    lost = (pl.col("task") == "sum") & (pl.col("item") > 3)
    asked = pl.col("task") == "sum"
    samples = odd.samples.with_columns(
        finite=~lost, in_form=pl.when(asked).then(pl.col("item") % 3 > 0)
    )
    odd = dataclasses.replace(odd, samples=samples)
    again = dataclasses.replace(odd, seed=1)
    evaluated = [odd, again, condition("dense", "0", DENSE)]
    result = analyse(evaluated, ORDERS)
    assert CURVES.frame(result.curves).height == 2 * 4
    for task, nonfinite, share in (("sum", 4, 1 / 3), ("logic", 0, None), ("reasoning", 4, 1 / 3)):
        found = row(result, "cold", "0.5", task)
        assert found["nonfinite"] == nonfinite
        assert found["out_of_form"] == (None if share is None else pytest.approx(share))
    assert row(result, "dense", "0", "sum")["out_of_form"] == 0
    assert said(result)[-1] == (
        "Scores that are not finite numbers, which count as wrong and give no nats: those of 4 "
        "items, every seed counted, by cold at 0.5 on m."
    )
