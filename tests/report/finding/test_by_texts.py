"""The finding on texts, where a model is not clear of chance before pruning."""

import pytest

from pipeline.config.orders import Orders
from pipeline.report.finding.sentences import sentences
from tests.orders import EVERY_CONTROL
from tests.report.finding.test_sentences import BOTH, contrast, curve, part, removal

AT_CHANCE = (
    "Accuracy cannot tell what pruning costs a model that is not clear of chance before it: "
    "unpruned, m gets 37.5% [27.5%, 49.4%] right on the mean of the reasoning tasks, where chance "
    "is 38.9%. Texts tell instead, in nats a token."
)
NO_SETS = (
    "This study holds no condition that removes a whole cold or hot set (levels `cold` and `hot`), "
    "so it cannot say what either costs."
)
UNABLE = [curve("dense", "0", 0, corrected=None), curve("cold", "0.25", 0.0, corrected=None)]


def nats(method, loss, level="0.25", task="prose", seeds=1, model="m"):
    """A row of PERPLEXITY, as far as it is read."""
    return {
        "model": model, "method": method, "level": level, "task": task, "nonfinite": 0,
        "reasoning": False, "seeds": seeds, "neuron_sparsity_imposed": 0.4, "loss": loss,
        "loss_low": loss - 0.01, "loss_high": loss + 0.01,
    }  # fmt: skip


def on(task, row):
    return row | {"task": task}


TEXTS = [nats("dense", 0.0, "0"), nats("cold", 0.4), nats("random", 0.9, seeds=5)]
AGAINST = [on("prose", contrast("cold", "random", -0.5))]


@pytest.fixture
def tell():
    """Makes the sentences of a study whose model m is at chance."""

    def make(perplexity, contrasts=(), parts=(), curves=UNABLE, **more):
        tables = dict(correlations=[], removals=[]) | more
        names = dict.fromkeys(row["model"] for row in (*curves, *perplexity))
        standing = {"accuracy": 0.375, "low": 0.275, "high": 0.494, "chance": 0.389}
        finding = {
            "models": [{"model": name} for name in names],
            "contrasts": more.pop("of_points", []),
            "decomposition": [],
            "dense_reasoning": [{"model": name, **standing} for name in names],
            "text_contrasts": list(contrasts),
            "text_decomposition": list(parts),
            "reference_level": "0.25",
            "confidence": 0.95,
        }
        tables |= {"curves": curves, "perplexity": perplexity}
        return sentences(finding, tables, Orders(EVERY_CONTROL))

    return make


@pytest.mark.parametrize(
    ("estimate", "verdict", "said"),
    [
        (-0.5, "matter less than", "0.50 [0.45, 0.55] more"),
        (0.5, "matter more than", "0.50 [0.45, 0.55] less"),
        (-0.03, "do not clearly matter less than", "0.03 [−0.02, 0.08] more (not clear of zero)"),
    ],
)
def test_coldness_is_judged_on_texts_and_accuracy_is_said_to_tell_nothing(
    tell, estimate, verdict, said
):
    found = tell(TEXTS, [on("prose", contrast("cold", "random", estimate))])
    assert found == [
        AT_CHANCE,
        f"On prose, cold neurons {verdict} random ones of the same layers. Removing the coldest "
        "25% of every layer costs 0.40 [0.39, 0.41] on m, in nats a token of prose. As many drawn "
        f"at random cost {said} on m (5 draws, paired 95% intervals).",
        NO_SETS,
    ]


def test_every_part_of_the_finding_has_its_sentence_on_texts(tell):
    more = [nats("cold_of_model", 0.3), nats("cold", 1.2, "cold"), nats("random", 2.5, "cold"),
            nats("hot", 7.0, "hot")]  # fmt: skip
    others = [("cold", "hot", -4.0), ("cold_of_model", "as_model", -0.2)]
    contrasts = AGAINST + [on("prose", contrast(*other)) for other in others]
    parts = [on("prose", part("not hot", 0.3)), on("prose", part("order of coldness", 0.2))]
    found = tell([*TEXTS, *more], contrasts, parts, removals=[removal(0.9)])
    assert found[2:] == [
        "On prose, the coldest cost less than random neurons by these parts: 0.30 [0.25, 0.35] by "
        "not being hot and 0.20 [0.15, 0.25] by their order within the cold set on m. On m the "
        "order cannot be told: more than 80% of the cold neurons drawn are the coldest themselves.",
        "On prose, as many of the hottest of every layer cost 4.00 [3.95, 4.05] more on m than the "
        "coldest.",
        "On prose, ranked over the whole model instead, which may empty layers, the coldest 25% "
        "cost 0.30 [0.29, 0.31] on m, 0.20 [0.15, 0.25] less than as many random ones of each "
        "layer.",
        "The cold set as a whole cannot be spared: removing it costs 1.20 [1.19, 1.21] on m (40% "
        "of its neurons; as many at random 2.50 [2.49, 2.51]); removing the hot set costs 7.00 "
        "[6.99, 7.01] on m (40% of its neurons), in nats a token of prose.",
    ]


def test_each_task_is_told_by_its_own_figures(tell):
    other = [row | {"task": "web", "loss": 2 * row["loss"]} for row in TEXTS]
    found = tell([*TEXTS, *other], [*AGAINST, on("web", contrast("cold", "random", 0.7))])
    assert found[1].startswith("On prose, cold neurons matter less")
    assert found[2].startswith("On web, cold neurons matter more")
    assert "costs 0.80 [" in found[2] and "on m, in nats a token of web. " in found[2]


def test_without_a_comparison_the_cost_alone_is_told(tell):
    single = [row | {"loss_low": None, "loss_high": None} for row in TEXTS]
    assert tell(single)[1:] == [
        "On prose, which needs no reasoning, the coldest 25% of every layer cost, in nats a token, "
        "0.40 on m (as many at random 0.90).",
        NO_SETS,
    ]


def test_a_model_at_chance_does_not_change_what_is_said_of_another(tell):
    able = [row | {"model": "n"} for row in BOTH]
    points = [contrast("cold", "random", -0.1, model="n")]
    of_n = [row | {"model": "n", "loss": 0.7} for row in TEXTS]
    alone = tell(of_n, curves=able, of_points=points)
    both = tell([*TEXTS, *of_n], AGAINST, curves=[*UNABLE, *able], of_points=points)
    assert both[: len(alone)] == alone
    assert both[len(alone)] == AT_CHANCE
    assert both[len(alone) + 1].startswith("On prose, cold neurons matter less")
    assert "on n" not in " ".join(both[len(alone) :])
    assert not any("left out" in sentence for sentence in both)


def test_a_study_of_texts_alone_has_a_finding(tell):
    found = tell(TEXTS, AGAINST, curves=[])
    assert found[0].startswith("No task of this study has right or wrong answers that need")
    assert found[1].startswith("On prose, cold neurons matter less than random ones")
    assert not any("Accuracy cannot tell" in sentence for sentence in found)
