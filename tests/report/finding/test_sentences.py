"""Wording of the finding: what each sentence says of which figures, and when it is not said."""

import pytest

from pipeline.config.orders import Order, Orders
from pipeline.config.roles import RANDOM
from pipeline.report.finding.sentences import sentences
from tests.orders import EVERY_CONTROL

MATTERS = {
    "less": "To reasoning, cold neurons matter less than random ones of the same layers",
    "more": "To reasoning, cold neurons matter more than random ones of the same layers",
    "none": "To reasoning, cold neurons do not clearly matter less than random ones of the same "
    "layers",
}


def curve(method, level, loss, seeds=1, model="m", corrected=0.1, **changes):
    """A row of CURVES, as far as it is read; twice the loss is lost of what is above chance."""
    ends = (None, None) if corrected is None else (2 * loss - 0.1, 2 * loss + 0.1)
    return {
        "model": model,
        "method": method,
        "level": level,
        "task": "reasoning",
        "reasoning": True,
        "seeds": seeds,
        "nonfinite": 0,
        "neuron_sparsity_imposed": 0.4,
        "loss": loss,
        "loss_low": loss - 0.05,
        "loss_high": loss + 0.05,
        "corrected_loss": None if corrected is None else 2 * loss,
        "corrected_low": ends[0],
        "corrected_high": ends[1],
    } | changes


def contrast(first, second, estimate, width=0.05, level="0.25", model="m"):
    return {
        "model": model,
        "first": {"method": first, "level": level},
        "second": {"method": second, "level": level},
        "estimate": estimate,
        "low": estimate - width,
        "high": estimate + width,
    }


def part(name, estimate, scope="layer", model="m"):
    ends = {"low": estimate - 0.05, "high": estimate + 0.05}
    first = "among_cold" if name == "order of coldness" else "random"
    head = {"model": model, "scope": scope, "part": name, "first": first}
    return head | {"estimate": estimate, **ends}


def removal(shared, method="among_cold", level="0.25", model="m"):
    return {"model": model, "method": method, "level": level, "shared_with_coldest": shared}


FEW = "One random draw says too little of whether cold neurons matter less than others. Removing "
DENSE = curve("dense", "0", 0)
#: The coldest of every layer and as many at random, at the reference level.
BOTH = [DENSE, curve("cold", "0.25", 0.2), curve("random", "0.25", 0.3, seeds=5)]
AGAINST = [contrast("cold", "random", -0.1)]


@pytest.fixture
def orders():
    """Orders of a study with every control."""
    return EVERY_CONTROL


@pytest.fixture
def tell(orders):
    """Makes the sentences of rows of CURVES and more; models are those that have rows."""

    def make(curves, contrasts=(), level="0.25", chosen=orders, decomposition=(), **more):
        tables = dict(perplexity=[], correlations=[], removals=[]) | more | {"curves": curves}
        finding = {
            "models": [{"model": name} for name in dict.fromkeys(row["model"] for row in curves)],
            "contrasts": list(contrasts),
            "decomposition": list(decomposition),
            "reference_level": level,
            "confidence": 0.95,
        }
        return sentences(finding, tables, Orders(chosen))

    return make


def of_models(*rows):
    """Rows of model m, given again for n."""
    return [row | {"model": model} for model in "mn" for row in rows]


@pytest.mark.parametrize(
    ("estimate", "width", "verdict", "said"),
    [
        (-0.1, 0.05, "less", "10.0 [5.0, 15.0] more"),
        (0.1, 0.05, "more", "10.0 [5.0, 15.0] less"),
        (0.1, 0.15, "none", "10.0 [−5.0, 25.0] less (not clear of zero)"),
        (-0.1, 0.15, "none", "10.0 [−5.0, 25.0] more (not clear of zero)"),
    ],
)
def test_coldness_is_judged_beside_random_neurons_of_the_same_layers(
    tell, estimate, width, verdict, said
):
    first = tell(BOTH, [contrast("cold", "random", estimate, width)])[0]
    assert first == (
        f"{MATTERS[verdict]}. Removing the coldest 25% of every layer costs 20.0 [15.0, 25.0] on "
        f"m, in points of reasoning accuracy. As many drawn at random cost {said} on m (5 draws, "
        "paired 95% intervals)."
    )


def test_a_level_between_whole_percents_is_told_as_it_is(tell):
    rows = [row | {"level": "0.125"} for row in BOTH[1:]]
    of = [contrast("cold", "random", -0.1, level="0.125"),
          contrast("cold_of_model", "as_model", 0.1, level="0.125")]  # fmt: skip
    first, second, *_ = tell([DENSE, *rows, curve("cold_of_model", "0.125", 0.2)], of, "0.125")
    assert "the coldest 12.5% of every layer" in first and "the coldest 12.5% cost" in second


def test_one_draw_says_little_of_others(tell):
    rows = [*BOTH[:2], curve("random", "0.25", 0.3)]
    first = tell(rows, AGAINST)[0]
    assert first.startswith(FEW)
    assert first.endswith("(one draw, paired 95% intervals).")


def test_models_that_disagree_are_told_to(tell):
    found = [contrast("cold", "random", 0.1 * sign, model=m) for m, sign in (("m", 1), ("n", -1))]
    first = tell(of_models(*BOTH), found)[0]
    assert first.startswith(
        "Cold neurons do not differ from random ones of the same layers alike on all models. "
    )
    assert "costs 20.0 [15.0, 25.0] on m and 20.0 [15.0, 25.0] on n, in points" in first
    assert "cost 10.0 [5.0, 15.0] less on m and 10.0 [5.0, 15.0] more on n (" in first


def test_models_that_agree_are_judged_together(tell):
    found = [contrast("cold", "random", -0.1, model=model) for model in "mn"]
    assert tell(of_models(*BOTH), found)[0].startswith(MATTERS["less"])


def test_without_a_matched_control_nothing_is_said_of_coldness(tell, orders):
    none = (
        "This study compares no level of the coldest neurons of every layer with as many drawn at "
        "random."
    )
    of_model = [order for order in orders if order.scope == "model"]
    unmatched = [o for o in orders if o.scope == "layer" and o.order != RANDOM]
    for chosen in (of_model, unmatched, []):
        assert tell(BOTH, AGAINST, chosen=chosen)[0] == none
    assert tell(BOTH[:2])[0] == tell(BOTH, AGAINST, "0.5")[0] == none


def test_draws_that_are_matched_to_another_method_are_no_control(tell):
    rows = [*BOTH[:2], curve("as_model", "0.25", 0.9, seeds=5)]
    found = tell(rows, [contrast("cold", "as_model", -0.7)])
    assert found[0].startswith("This study compares no level")


def test_the_first_of_several_orders_is_told(tell):
    rows = [*BOTH, curve("cold_of_prose", "0.25", 0.9), curve("cold_of_prose", "cold", 0.9)]
    rows.append(curve("cold", "cold", 0.2))
    found = tell(rows, [*AGAINST, contrast("cold_of_prose", "random", 0.6)])
    assert "costs 20.0" in found[0] and not any("90" in sentence for sentence in found)


def test_every_number_of_draws_is_told(tell):
    other = [row | {"model": "n"} for row in BOTH]
    other[2] |= {"seeds": 3}
    against = [contrast("cold", "random", -0.1, model=model) for model in "mn"]
    assert "(3 to 5 draws, " in tell([*BOTH, *other], against)[0]
    other[2] |= {"seeds": 1}
    first = tell([*BOTH, *other], against)[0]
    assert first.startswith(FEW) and "(1 to 5 draws, " in first


def test_a_whole_set_without_a_share_of_what_lies_above_chance_is_not_told(tell):
    rows = [DENSE, curve("cold", "cold", 0.2), curve("hot", "hot", 0.4, corrected=None)]
    rows.append(curve("random", "cold", 0.5, corrected=None))
    told = tell(rows)[1]
    assert "removing it costs 40% [30%, 50%] on m (40% of its neurons)." in told
    assert "hot set costs" not in told


def test_parts_of_the_difference_are_told_by_model(tell):
    parts = [part("not hot", 0.08), part("order of coldness", 0.02)]
    parts += [row | {"model": "n", "estimate": 0.01} for row in parts]
    # Those of the model's ranking stand in the table alone.
    parts.append(part("layers", 0.5, scope="model"))
    found = [contrast("cold", "random", -0.1, model=model) for model in "mn"]
    second = tell(of_models(*BOTH), found, decomposition=parts)[1]
    assert second == (
        "The coldest cost less than random neurons by these parts: 8.0 [3.0, 13.0] by not being "
        "hot and 2.0 [−3.0, 7.0] by their order within the cold set on m; 1.0 [3.0, 13.0] by not "
        "being hot and 1.0 [−3.0, 7.0] by their order within the cold set on n."
    )
    half = tell(BOTH, AGAINST, decomposition=parts[:1])
    assert not any("by these parts" in sentence for sentence in half)


@pytest.mark.parametrize(("hot", "order"), [(-0.10, -0.05), (-0.10, 0.02), (0.02, -0.10)])
def test_parts_of_a_difference_that_is_not_in_favour_of_coldness_are_told_with_their_signs(
    tell, hot, order
):
    parts = [part("not hot", hot), part("order of coldness", order)]
    second = tell(BOTH, AGAINST, decomposition=parts)[1]
    assert second.startswith(
        "What random neurons cost beyond the coldest, below 0 where they cost less, has these "
        f"parts: {'−' if hot < 0 else ''}{abs(100 * hot):.1f} ["
    )
    assert "cost less than" not in second


@pytest.mark.parametrize(("shared", "told"), [(0.81, True), (0.8, False), (None, False)])
def test_order_cannot_be_told_where_draws_are_mostly_the_coldest(tell, shared, told):
    parts = [part("not hot", 0.08), part("order of coldness", 0.02)]
    second = tell(BOTH, AGAINST, decomposition=parts, removals=[removal(shared)])[1]
    words = (
        " On m the order cannot be told: more than 80% of the cold neurons drawn are the coldest "
        "themselves."
    )
    assert second.endswith(words) is told


def test_other_draws_levels_and_models_do_not_keep_the_order_from_being_told(tell):
    parts = [part("not hot", 0.08), part("order of coldness", 0.02)]
    others = [removal(0.9, "random"), removal(0.9, level="0.5"), removal(0.9, "cold_as_model")]
    # n is not clear of chance, and left out.
    rows = [*BOTH, curve("dense", "0", 0, model="n", corrected=None)]
    others.append(removal(0.9, model="n"))
    second = tell(rows, AGAINST, decomposition=parts, removals=others)[1]
    assert "cannot be told" not in second


def test_the_ranking_of_the_whole_model_has_a_sentence_of_its_own(tell):
    rows = [*BOTH, curve("cold_of_model", "0.25", 0.4)]
    against = contrast("cold_of_model", "as_model", 0.03, 0.01)
    assert tell(rows, [*AGAINST, against])[1] == (
        "Ranked over the whole model instead, which may empty layers, the coldest 25% cost 40.0 "
        "[35.0, 45.0] on m, 3.0 [2.0, 4.0] more than as many random ones of each layer."
    )
    # An even draw is no control of it.
    uneven = tell(rows, [*AGAINST, contrast("cold_of_model", "random", 0.1)])[1]
    assert uneven.endswith("the coldest 25% cost 40.0 [35.0, 45.0] on m.")
    assert not any("whole model" in sentence for sentence in tell(BOTH, AGAINST))


def test_controls_are_told_of_the_same_coldest(tell):
    def control(task, loss, method="cold", level="0.25", model="m"):
        return curve(method, level, loss, task=task, reasoning=False, model=model)

    rows = [
        *BOTH, control("copying", 0.01), control("spelling", 0.3), control("copying", 0.9, "hot"),
        control("copying", 0.9, level="0.5"), control("copying", 0.9, "cold_of_model"),
        curve("cold", "0.25", 0.9, task="sum"),
    ]  # fmt: skip
    assert tell(rows, AGAINST)[1] == (
        "Of tasks that need no reasoning, the coldest 25% of every layer cost copying 1.0 [−4.0, "
        "6.0] on m; spelling 30.0 [25.0, 35.0] on m."
    )


def test_sets_are_told_in_shares_of_what_lies_above_chance(tell):
    rows = [DENSE, curve("cold", "cold", 0.2), curve("random", "cold", 0.5),
            curve("hot", "hot", 0.45), curve("random", "hot", 0.3)]  # fmt: skip
    assert tell(rows)[1] == (
        "The cold set as a whole cannot be spared: removing it costs 40% [30%, 50%] on m (40% of "
        "its neurons; as many at random 100% [90%, 110%]); removing the hot set costs 90% [80%, "
        "100%] on m (40% of its neurons; as many at random 60% [50%, 70%]). (Shares of what the "
        "dense model scores above chance; at 100% only chance is left.)"
    )


def test_a_hot_set_alone_starts_its_sentence(tell):
    assert tell([DENSE, curve("hot", "hot", 0.45)])[1].startswith("Removing the hot set costs 90%")


def test_a_set_is_not_told_beside_draws_that_take_other_numbers(tell, orders):
    rows = [DENSE, curve("cold", "cold", 0.2)]
    others = [curve(name, "cold", 0.5) for name in ("among_cold", "as_model", "cold_as_model")]
    assert "at random" not in tell(rows + others)[1]
    # How many are cold on prose is another number.
    chosen = [order for order in orders if order.method in ("cold_of_prose", "random")]
    rows = [DENSE, curve("cold_of_prose", "cold", 0.2), curve("random", "cold", 0.5)]
    assert "at random" not in tell(rows, chosen=chosen)[1]


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ((0.2, 0.2), "The cold set as a whole cannot be spared: "),
        ((0.01, 0.02), "The whole cold set costs nothing that is clear of zero: "),
        ((-0.2, -0.1), "The model gains by the loss of its cold set: "),
        ((0.2, 0.01), "The cold set as a whole is not spared alike by all models: "),
    ],
)
def test_the_whole_cold_set_is_judged_over_all_models(tell, losses, said):
    rows = []
    for model, loss in zip("mn", losses, strict=True):
        rows += [DENSE | {"model": model}, curve("cold", "cold", loss, model=model)]
    assert tell(rows)[1].startswith(said)


def test_a_model_that_is_not_clear_of_chance_has_nothing_to_lose(tell):
    rows = [curve("dense", "0", 0, corrected=None), curve("cold", "cold", 0.0, corrected=None)]
    first, last = tell(rows)
    assert first.startswith("No model of this study is clear of chance")
    assert last == "The table of the dense models shows their accuracies beside chance."
    able = [curve("dense", "0", 0, model="n"), curve("cold", "cold", 0.1, model="n")]
    _, second, third = tell(rows + able)
    assert "on n (" in second and "on m (" not in second
    assert third == "Not clear of chance before pruning, and left out: m."


def test_a_study_without_reasoning_tasks_says_so(tell):
    rows = [curve("dense", "0", 0, task="copying", reasoning=False)]
    first, _ = tell(rows)
    assert first.startswith("No task of this study has right or wrong answers that need reasoning")


def test_texts_are_told_beside_as_many_at_random_at_the_same_level(tell):
    def nats(method, loss, level="0.25", reasoning=False):
        ends = {"loss_low": loss - 0.01, "loss_high": loss + 0.01}
        head = {"model": "m", "method": method, "level": level, "task": "prose", "nonfinite": 0}
        return head | {"reasoning": reasoning, "loss": loss} | ends

    texts = [nats("as_model", 9.0), nats("among_cold", 9.0), nats("cold", 0.4),
             nats("random", 0.06), nats("cold", 3.0, "cold")]  # fmt: skip
    assert tell(BOTH, AGAINST, perplexity=texts)[1] == (
        "On prose, which needs no reasoning, the coldest 25% of every layer cost, in nats a token, "
        "0.40 [0.39, 0.41] on m (as many at random 0.06 [0.05, 0.07])."
    )
    worked = [text | {"task": "examples", "reasoning": True} for text in texts]
    told = tell(BOTH, AGAINST, perplexity=worked)[1]
    assert told.startswith(
        "On examples the coldest 25% of every layer cost, in nats a token, 0.40 "
    )
    # Without a control, and without the coldest.
    assert tell(BOTH, AGAINST, perplexity=texts[:3])[1].endswith("0.40 [0.39, 0.41] on m.")
    assert len(tell(BOTH, AGAINST, perplexity=texts[:2])) == len(tell(BOTH, AGAINST))
    # A single text has no interval.
    single = [text | {"loss_low": None, "loss_high": None} for text in texts]
    assert "0.40 on m (as many at random 0.06)." in tell(BOTH, AGAINST, perplexity=single)[1]


def related(model, spearman, units=10, p=0.001, level="neuron", strata=None, **changes):
    measures = {"neuron": "activity", "layer": "natural_sparsity", "removal": "activity_removed"}
    facts = {"level": level, "measure": measures[level], "method": "parts", "units": units, "p": p}
    found = {"spearman": spearman, "strata": strata, "least_p": 0.0001}
    return facts | {"model": model} | found | changes


PAIR = [related("m", 0.7), related("n", 0.9)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([*PAIR, related(None, 0.8, units=20)],
         "the loss rises with how active the tenth is (rank correlation 0.70 on m, 0.90 on n; p = "
         "0.001, 20 removals)."),
        ([related("m", -0.7, p=0.0001)],
         "the loss falls with how active the tenth is (rank correlation −0.70 on m; p < 0.001, 10 "
         "removals)."),
        ([*PAIR, related(None, 0.8, units=20, p=0.06)],
         "the loss does not clearly go with how active the tenth is (rank correlation 0.70 on m, "
         "0.90 on n; p = 0.060, 20 removals)."),
        ([related("m", -0.4), related("n", 0.8), related(None, 0.2, units=20, p=0.7)],
         "20 removals; the models disagree in its sign)."),
        ([related("m", 0.87, units=3, p=0.667, least_p=0.333)],
         "3 are too few to tell whether the loss goes with how active the tenth is."),
    ],
)  # fmt: skip
def test_what_the_parts_say_is_told_last_model_by_model_and_only_when_clear(tell, rows, said):
    others = [row | {"method": "other", "spearman": 0.99} for row in rows]
    *_, last = tell([DENSE, curve("cold", "cold", 0.2)], correlations=rows + others)
    start = "Removing a tenth of every layer's neurons at a time, "
    assert last.startswith(start) and last.endswith(said)


def test_removals_of_equally_many_are_told_and_what_only_describes_is_not(tell):
    rows = [
        related("m", 0.5, 18, 0.01, "removal", 3, method=""),
        related("m", 0.99, 40, None, "removal", method="", measure="activity_removed, pooled"),
        related("m", 0.98, 40, None, "removal", method="", measure="neurons removed, pooled"),
    ]
    *others, last = tell(BOTH, AGAINST, correlations=rows)
    assert last == (
        "Removing equally many neurons in different ways, the loss rises with the share of all "
        "activations that they carried (rank correlation 0.50 on m; p = 0.010, 18 removals)."
    )
    assert not any("0.99" in sentence or "0.98" in sentence for sentence in others)
    assert tell(BOTH, AGAINST, correlations=rows[1:]) == tell(BOTH, AGAINST)


def test_equal_removals_too_few_for_any_order_to_count_are_told_as_such(tell):
    rows = [related("m", 1.0, 3, 0.332, "removal", 1, method="", least_p=1 / 3)]
    *_, last = tell(BOTH, AGAINST, correlations=rows)
    assert last == (
        "Removing equally many neurons in different ways, 3 are too few to tell whether the loss "
        "goes with the share of all activations that they carried."
    )


def test_a_tenth_of_the_models_neurons_is_told_as_such(tell, orders):
    of_model = [o for o in orders if o.method != "deciles"]
    of_model.append(Order("deciles", "drop_decile", "model", "reasoning"))
    rows = [related("m", 0.7, method="deciles")]
    *_, last = tell(BOTH, AGAINST, chosen=of_model, correlations=rows)
    assert last.startswith("Removing a tenth of the model's neurons at a time, the loss rises")
    *_, last = tell(BOTH, AGAINST, correlations=rows)
    assert last.startswith("Removing a tenth of every layer's neurons at a time, the loss rises")


def test_parts_that_do_not_vary_are_not_told(tell):
    flat = related("m", None, p=None)
    assert tell(BOTH, AGAINST, correlations=[flat]) == tell(BOTH, AGAINST)
    # One model that varies beside one that does not stands for itself.
    *_, last = tell(BOTH, AGAINST, correlations=[related("m", 0.7), flat | {"model": "n"}])
    assert last.endswith("(rank correlation 0.70 on m; p = 0.001, 10 removals).")


def test_many_conditions_with_scores_that_are_not_finite_are_counted(tell):
    rows = [
        curve("cold", str(n), 0.1, task=task, nonfinite=600)
        for n in range(5)
        for task in ("sum", "reasoning")
    ]
    assert tell(rows)[-1].endswith(
        "3,000 items, every seed counted, by cold at 0 on m, cold at 1 on m, cold at 2 on m and 2 "
        "other conditions."
    )
