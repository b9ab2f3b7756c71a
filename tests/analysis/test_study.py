"""A whole small study: losses, corrected losses, contrasts and wording worked out by hand."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from pipeline.analysis.sentences import not_finite, sentences
from pipeline.analysis.study import PartProfile, analysed, backbone_facts
from pipeline.config.analysis import Analysis
from pipeline.tables.curves import CURVES
from pipeline.tables.finding import FINDING

DENSE = {"sum": [1, 1, 1, 1, 1, 1], "logic": [1, 1, 1, 1, 1, 0], "copying": [1] * 6}
COLD = {"sum": [1, 1, 1, 0, 0, 0], "logic": [1, 1, 1, 1, 0, 0], "copying": [1] * 6}
HOT = {"sum": [0] * 6, "logic": [0] * 6, "copying": [0, 0, 0, 1, 1, 1]}
NONE = {"sum": [1] * 6, "logic": [1, 1, 1, 1, 1, 0], "copying": [1] * 6}
SPARSIFIERS = {"cold": "drop_cold", "hot": "keep_cold", "random": "drop_random"}
BACKBONE = (
    {"name": "m", "activation": "relu", "parameters": 10},
    pl.DataFrame({"natural_sparsity": [0.8, 0.9]}),
    {
        "neurons": 100,
        "hot": 30,
        "carried": 0.81,
        "active_rule": "nonzero",
        "policy": "coverage",
        "share": 0.8,
    },
)


@pytest.fixture
def result(condition, targets):
    evaluated = [
        condition("cold", "0.25", NONE, 0.25),
        condition("cold", "0.5", COLD, 0.5),
        condition("cold", "cold", COLD, 0.7),
        condition("hot", "hot", HOT, 0.3),
        condition("random", "0.25", COLD, 0.25, seed=0),
        condition("random", "0.25", NONE, 0.25, seed=1),
        condition("dense", "0", DENSE),
    ]
    analysis = Analysis(bootstrap=500, confidence=0.9, reference_level=0.25)
    return analysed(evaluated, [BACKBONE], [], targets.to_dicts(), SPARSIFIERS, analysis, seed=5)


def row(result, method, level, task):
    (found,) = (
        r for r in result.curves if (r["method"], r["level"], r["task"]) == (method, level, task)
    )
    return found


def test_rows_are_the_contract(result):
    assert CURVES.frame(result.curves).height == 6 * 4
    assert set(result.finding) == set(FINDING.keys)


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
    assert unchanged["loss_high"] == pytest.approx(1 - 0.05 ** (1 / 6))
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
    assert cold["p"] is cold["low"] is None


def test_dense_rows_give_accuracy_and_chance_per_task_and_step_count(result):
    dense = {(r["task"], r["steps"]): r for r in result.finding["dense"]}
    assert dense["logic", None]["accuracy"] == pytest.approx(5 / 6)
    assert dense["logic", 2]["accuracy"] == pytest.approx(2 / 3)
    assert dense["logic", 2]["n"] == 3


def test_sentences_name_sets_costs_and_direction(result):
    first, second = result.finding["sentences"]
    assert first.startswith(
        "To reasoning, cold neurons do not clearly matter less than random ones: where 25% "
    )
    assert "the coldest cost 0.0 [−22.1, 22.1] on m (16.7 [" in first
    assert first.endswith("(points of reasoning accuracy, paired 90% intervals; 2 draws).")
    # Sizes are those measured, not those of a classification.
    assert second.startswith("The cold set as a whole cannot be spared: removing it costs 33.3 [")
    assert " on m (70% of its neurons); removing the hot set costs 91.7 [" in second
    assert second.endswith("on m (30% of its neurons).")


@pytest.mark.parametrize(
    ("low", "high", "estimate", "said"),
    [
        (-0.2, -0.05, -0.1, "10.0 [5.0, 20.0] less than as many at random) ("),
        (0.05, 0.2, 0.1, "10.0 [5.0, 20.0] more than as many at random) ("),
        (
            -0.05,
            0.2,
            0.1,
            "10.0 [−5.0, 20.0] more than as many at random, which is not clear of zero) (",
        ),
    ],
)
def test_a_difference_is_told_with_its_interval_the_same_way_round(low, high, estimate, said):
    own = curve("cold", "0.25", 0.2)
    random = curve("random", "0.25", 0.3, seeds=5)
    contrast = {
        "model": "m",
        "first": {"method": "cold", "level": "0.25"},
        "second": {"method": "random", "level": "0.25"},
        "estimate": estimate,
        "low": low,
        "high": high,
    }
    facts = [curve("dense", "0", 0.0), own, random]
    first = sentences([MODEL], facts, [], [contrast], [], SPARSIFIERS, 0.95)[0]
    assert f" the coldest cost 20.0 [15.0, 25.0] on m ({said}" in first
    assert first.endswith("paired 95% intervals; 5 draws).")
    verdicts = {
        -0.2: "To reasoning, cold neurons matter less than random ones",
        0.05: "To reasoning, cold neurons matter more than random ones",
        -0.05: "To reasoning, cold neurons do not clearly matter less than random ones",
    }
    assert first.split(":")[0] == verdicts[low]


def curve(method, level, loss, seeds=1, corrected=0.1):
    return {
        "model": "m",
        "method": method,
        "level": level,
        "task": "reasoning",
        "seeds": seeds,
        "neuron_sparsity_imposed": 0.4,
        "loss": loss,
        "loss_low": loss - 0.05,
        "loss_high": loss + 0.05,
        "corrected_loss": corrected,
    }


MODEL = {"model": "m"}


def test_a_set_is_told_beside_as_many_neurons_at_random():
    rows = [curve("dense", "0", 0), curve("cold", "cold", 0.2), curve("random", "cold", 0.5)]
    _, second = sentences([MODEL], rows, [], [], [], SPARSIFIERS, 0.95)
    beside = "(40% of its neurons; as many at random 50.0 [45.0, 55.0])"
    assert f"removing it costs 20.0 [15.0, 25.0] on m {beside}." in second


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ((0.2, 0.2), "The cold set as a whole cannot be spared: "),
        ((0.01, 0.02), "The whole cold set costs nothing that is clear of zero: "),
        ((-0.2, -0.1), "The model gains by the loss of its cold set: "),
        ((0.2, 0.01), "The cold set as a whole is not spared alike by all models: "),
    ],
)
def test_the_whole_cold_set_is_judged_over_all_models(losses, said):
    rows = []
    for model, loss in zip("mn", losses, strict=True):
        of = [curve("dense", "0", 0), curve("cold", "cold", loss)]
        rows += [{**row, "model": model} for row in of]
    models = [MODEL, {**MODEL, "model": "n"}]
    assert sentences(models, rows, [], [], [], SPARSIFIERS, 0.95)[1].startswith(said)


def test_a_model_that_is_not_clear_of_chance_has_nothing_to_lose():
    rows = [curve("dense", "0", 0, corrected=None), curve("cold", "cold", 0.0, corrected=None)]
    first, _ = sentences([MODEL], rows, [], [], [], SPARSIFIERS, 0.95)
    assert first.startswith("No model of this study is clear of chance")
    able = [{**row, "model": "n", "corrected_loss": 0.1} for row in rows]
    second = sentences(
        [MODEL, {**MODEL, "model": "n"}], rows + able, [], [], [], SPARSIFIERS, 0.95
    )[1]
    assert "on n (" in second and "on m (" not in second
    assert "Not clear of chance before pruning, and left out: m." in second


def test_the_first_of_several_methods_with_one_sparsifier_is_told():
    rows = [curve("dense", "0", 0), curve("cold", "cold", 0.2), curve("other", "cold", 0.9)]
    _, second = sentences(
        [MODEL], rows, [], [], [], {"cold": "drop_cold", "other": "drop_cold"}, 0.95
    )
    assert "costs 20.0" in second and "90.0" not in second


def test_the_same_inputs_give_the_same_figures(condition, targets, result):
    evaluated = [condition("cold", "0.5", COLD, 0.5), condition("dense", "0", DENSE)]
    analysis = Analysis(bootstrap=500, confidence=0.9, reference_level=0.25)
    again = analysed(evaluated, [BACKBONE], [], targets.to_dicts(), SPARSIFIERS, analysis, seed=5)
    assert row(again, "cold", "0.5", "reasoning") == row(result, "cold", "0.5", "reasoning")


def test_a_study_without_arms_says_so(condition, targets):
    analysis = Analysis(bootstrap=100, confidence=0.9, reference_level=0.25)
    only = [condition("dense", "0", DENSE)]
    first, second = analysed(
        only, [BACKBONE], [], targets.to_dicts(), {}, analysis, seed=0
    ).finding["sentences"]
    assert "compares no level" in first
    assert "no condition that removes a whole cold or hot set" in second


def test_backbone_facts_mean_over_layers():
    assert backbone_facts(*BACKBONE)["natural_sparsity"] == pytest.approx(0.85)


def test_models_that_disagree_are_told_to():
    models = [MODEL, {**MODEL, "model": "n"}]
    rows, found = [], []
    for model, sign in (("m", 1), ("n", -1)):
        of = [curve("dense", "0", 0), curve("cold", "0.25", 0.2)]
        of.append(curve("random", "0.25", 0.3, seeds=5))
        rows += [{**row, "model": model} for row in of]
        sides = [{"method": method, "level": "0.25"} for method in ("cold", "random")]
        bounds = {"estimate": 0.1 * sign, "low": 0.1 * sign - 0.05, "high": 0.1 * sign + 0.05}
        found.append({"model": model, "first": sides[0], "second": sides[1], **bounds})
    first = sentences(models, rows, [], found, [], SPARSIFIERS, 0.95)[0]
    assert first.startswith("Cold neurons do not differ from random ones alike on all models: ")


def test_the_coldest_are_told_against_the_least_contributing_too():
    rows = [curve("dense", "0", 0), curve("cold", "0.25", 0.2), curve("random", "0.25", 0.3)]
    found = [
        {
            "model": "m",
            "first": {"method": "cold", "level": "0.25"},
            "second": {"method": second, "level": "0.25"},
            "estimate": estimate,
            "low": estimate - 0.05,
            "high": estimate + 0.05,
        }
        for second, estimate in (
            ("random", -0.1),
            ("least", 0.15),
            ("small", -0.05),
            ("elsewhere", 0.02),
        )
    ]
    named = {**SPARSIFIERS, "least": "drop_low_contribution", "small": "drop_small",
             "elsewhere": "drop_cold"}  # fmt: skip
    first = sentences([MODEL], rows, [], found, [], named, 0.95)[0]
    least, smallest, other = first.removesuffix(".").split("; ")[-3:]
    assert least == "than as many of the least contributing, 15.0 [10.0, 20.0] more on m"
    assert smallest == "than as many with the smallest weights, 5.0 [0.0, 10.0] less on m"
    assert other == "than as many by elsewhere, 2.0 [−3.0, 7.0] more on m"
    assert first.startswith("Against one random draw, which says little of others: ")


def related(model, spearman, estimate, units=10, p=0.001, **changes):
    facts = {"level": "neuron", "measure": "activity", "method": "parts", "units": units, "p": p}
    ends = {"low": estimate - 0.01, "high": estimate + 0.01}
    own = {"model": model, "spearman": spearman, "estimate": estimate}
    return {**facts, **ends, **own, **changes}


BOTH = [related("m", 0.7, 0.2), related("n", 0.9, 0.05)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([*BOTH, related(None, 0.8, 0.12, units=20)],
         "the loss rises with how active the tenth is (mean of the models' Spearman's coefficients "
         "0.80, p = 0.001, 20 units): by 20.0 [19.0, 21.0] on m and 5.0 [4.0, 6.0] on n points "
         "per standard deviation."),
        ([related("m", -0.7, -0.2, p=0.0001)],
         "the loss falls with how active the tenth is (Spearman's coefficients −0.70, p < 0.001, "
         "10 units): by −20.0 [−21.0, −19.0] on m points per standard deviation."),
        ([*BOTH, related(None, 0.8, 0.12, units=20, p=0.06)],
         "the loss does not clearly go with how active the tenth is (mean of the models' "
         "Spearman's coefficients 0.80, p = 0.060, 20 units)."),
        ([related("m", -0.4, -0.06), related("n", 0.8, 0.01),
          related(None, 0.2, -0.03, units=20, p=0.7)], "the models disagree in its sign)."),
        ([related("m", 0.87, 0.2, units=3, p=0.667)],
         "3 are too few to tell whether the loss goes with how active the tenth is."),
    ],
)  # fmt: skip
def test_what_the_parts_say_is_told_last_model_by_model_and_only_when_clear(rows, said):
    told = [curve("dense", "0", 0), curve("cold", "cold", 0.2)]
    others = [row | {"method": "other", "spearman": 0.99} for row in rows]
    *_, last = sentences([MODEL], told, [], [], rows + others, SPARSIFIERS, 0.95)
    assert last.startswith("Removing a tenth of the neurons at a time, ") and last.endswith(said)


def test_texts_are_told_beside_as_many_at_random_at_the_same_level():
    def nats(method, loss, level="0.25"):
        return {"model": "m", "method": method, "level": level, "task": "prose", "loss": loss,
                "reasoning": False, "loss_low": loss - 0.01, "loss_high": loss + 0.01}  # fmt: skip

    rows = [curve("dense", "0", 0), curve("cold", "0.25", 0.2), curve("random", "0.25", 0.3)]
    sides = [{"method": method, "level": "0.25"} for method in ("cold", "random")]
    contrast = {"model": "m", "first": sides[0], "second": sides[1],
                "estimate": -0.1, "low": -0.2, "high": -0.05}  # fmt: skip
    texts = [nats("cold", 0.4), nats("random", 0.06), nats("cold", 3.0, "cold")]
    told = sentences([MODEL], rows, texts, [contrast], [], SPARSIFIERS, 0.95)
    assert told[1] == (
        "On prose, which needs no reasoning, the same coldest cost, in nats a token, 0.40 [0.39, "
        "0.41] on m (as many at random 0.06 [0.05, 0.07])."
    )
    lost = [texts[0] | {"loss": None}, texts[1]]
    told = sentences([MODEL], rows, lost, [contrast], [], SPARSIFIERS, 0.95)
    assert "in nats a token, no finite number on m (as many at random 0.06 [" in told[1]
    worked = [text | {"task": "examples", "reasoning": True} for text in texts]
    told = sentences([MODEL], rows, worked, [contrast], [], SPARSIFIERS, 0.95)
    assert told[1].startswith("On examples the same coldest cost, in nats a token, 0.40 ")
    assert len(sentences([MODEL], rows, texts[:1], [contrast], [], SPARSIFIERS, 0.95)) == 2


def test_a_model_with_nothing_to_lose_has_no_correlation(condition, targets):
    wrong = {"sum": [0] * 6, "logic": [0] * 6, "copying": [1] * 6}
    evaluated = [condition("one", str(n), wrong, 0.1) for n in range(1, 11)]
    evaluated.append(condition("dense", "0", wrong))
    neurons = pl.DataFrame({"layer": [0] * 20, "neuron": range(20), "active": range(20),
                            "tokens": [20] * 20})  # fmt: skip
    classes = neurons.select("layer", "neuron", hot=pl.col("active") > 9)
    part = PartProfile("m", "one", "decile", neurons, classes)
    analysis = Analysis(bootstrap=100, confidence=0.9, reference_level=0.25)
    result = analysed(
        evaluated, [BACKBONE], [part], targets.to_dicts(), {"one": "drop_decile"}, analysis, 0
    )
    assert len(result.units) == 10 and result.correlations == []


def test_a_study_without_reasoning_tasks_says_so(condition, targets):
    analysis = Analysis(bootstrap=100, confidence=0.9, reference_level=0.25)
    only = [condition("dense", "0", {"copying": [1] * 6})]
    first, second = analysed(
        only, [BACKBONE], [], targets.to_dicts(), {}, analysis, seed=0
    ).finding["sentences"]
    assert first.startswith("No task of this study has right or wrong answers that need reasoning")


ANALYSIS = Analysis(bootstrap=100, confidence=0.9, reference_level=0.25)


def with_nothing_imposed(made, *tasks):
    """The condition, as if its method had skipped nothing at the tasks' tokens."""
    spared = (pl.col("basis") == "imposed") & pl.col("task").is_in(tasks)
    measures = [name for name in made.sparsity.columns if name.endswith("_sparsity")]
    cleared = [pl.when(spared).then(0.0).otherwise(pl.col(name)).alias(name) for name in measures]
    return dataclasses.replace(made, sparsity=made.sparsity.with_columns(cleared))


def test_a_task_that_a_method_does_not_touch_does_not_enter_its_mean(condition, targets):
    """On logic nothing could be lost; its loss of zero would halve the mean."""
    changed = {"sum": COLD["sum"], "logic": DENSE["logic"], "copying": [1] * 6}
    late = with_nothing_imposed(condition("late", "0.5", changed, 0.5), "logic")
    other = condition("random", "0.5", COLD, 0.5)
    dense = condition("dense", "0", DENSE)
    sparsifiers = {"late": "drop_cold", "random": "drop_random"}
    analysis = Analysis(bootstrap=100, confidence=0.9, reference_level=0.5)
    result = analysed(
        [late, other, dense], [BACKBONE], [], targets.to_dicts(), sparsifiers, analysis, 0
    )
    mean, alone = row(result, "late", "0.5", "reasoning"), row(result, "late", "0.5", "sum")
    assert mean["left_out"] == "logic" and mean["n"] == 6
    for key in ("loss", "accuracy", "accuracy_dense", "chance", "neuron_sparsity_imposed"):
        assert mean[key] == pytest.approx(alone[key])
    assert row(result, "late", "0.5", "logic")["loss"] == 0
    for method, level in (("dense", "0"), ("random", "0.5")):
        assert row(result, method, level, "reasoning")["left_out"] is None
    # What is compared with it is compared on the same tasks.
    (contrast,) = result.finding["contrasts"]
    assert contrast["n"] == 6
    assert contrast["estimate"] == pytest.approx(
        alone["loss"] - row(result, "random", "0.5", "sum")["loss"]
    )


def test_a_method_that_touches_no_reasoning_task_has_no_mean_of_them(condition, targets):
    late = with_nothing_imposed(condition("late", "0.25", NONE, 0.25), "logic", "sum")
    never = condition("quantized", "0.25", NONE, 0.0)
    evaluated = [late, never, condition("dense", "0", DENSE)]
    named = {"late": "drop_cold", "quantized": "drop_random"}
    result = analysed(evaluated, [BACKBONE], [], targets.to_dicts(), named, ANALYSIS, 0)
    tasks = {(r["method"], r["task"]) for r in result.curves}
    assert ("late", "reasoning") not in tasks and ("late", "sum") in tasks
    # One that imposes nothing anywhere is at work in another way.
    assert row(result, "quantized", "0.25", "reasoning")["left_out"] is None
    assert result.finding["contrasts"] == []


def test_scores_that_are_not_finite_and_answers_out_of_form_are_counted(condition, targets):
    odd = condition("cold", "0.5", COLD, 0.5)
    lost = (pl.col("task") == "sum") & (pl.col("item") > 3)
    asked = pl.col("task") == "sum"
    samples = odd.samples.with_columns(
        finite=~lost, in_form=pl.when(asked).then(pl.col("item") % 3 > 0)
    )
    odd = dataclasses.replace(odd, samples=samples)
    again = dataclasses.replace(odd, seed=1)
    evaluated = [odd, again, condition("dense", "0", DENSE)]
    result = analysed(evaluated, [BACKBONE], [], targets.to_dicts(), SPARSIFIERS, ANALYSIS, 0)
    assert CURVES.frame(result.curves).height == 2 * 4
    for task, nonfinite, share in (("sum", 4, 1 / 3), ("logic", 0, None), ("reasoning", 4, 1 / 3)):
        found = row(result, "cold", "0.5", task)
        assert found["nonfinite"] == nonfinite
        assert found["out_of_form"] == (None if share is None else pytest.approx(share))
    assert row(result, "dense", "0", "sum")["out_of_form"] == 0
    assert result.finding["sentences"][-1] == (
        "Scores that are not finite numbers, which count as wrong and give no nats: those of 4 "
        "items, every seed counted, by cold at 0.5 on m."
    )


def test_many_conditions_with_scores_that_are_not_finite_are_counted():
    rows = [
        {"model": "m", "method": "cold", "level": str(n), "task": task, "nonfinite": 600}
        for n in range(5)
        for task in ("sum", "reasoning")
    ]
    (told,) = not_finite(rows, [])
    assert told.endswith(
        "3,000 items, every seed counted, by cold at 0 on m, cold at 1 on m, cold at 2 on m and 2 "
        "other conditions."
    )
