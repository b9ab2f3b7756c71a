"""The full study holds every condition that the twelve claims and the question need."""

import itertools

import pytest

from pipeline.config.roles import METHOD
from pipeline.config.study import parse_study
from pipeline.planning.study import PROJECT, read_config
from pipeline.registry import PARTS

NOTHING = (None, {})
SITES = ("down", "all")
#: Compensation at each sites: the method, and the closed form at the same.
COMPENSATIONS = [(name, {"sites": sites}) for name in ("spon", "mean_bias") for sites in SITES]


@pytest.fixture(scope="module")
def study():
    return parse_study(read_config(PROJECT / "configs" / "full.yaml"))


@pytest.fixture(scope="module")
def levels(study):
    """A function: parts as (name, options) -> the levels of the methods that have just these."""

    def found(weights=NOTHING, quantization=NOTHING, sparsifier=NOTHING, compensation=NOTHING,
              corpus="reasoning", measure=None):  # fmt: skip
        asked = (weights, quantization, sparsifier, compensation)
        return {
            level.value
            for method in study.methods.values()
            if (method.corpus, method.measure) == (corpus, measure)
            and all(
                _is(part, *wanted)
                for part, wanted in zip(
                    (method.weights, method.quantization, method.sparsifier, method.compensation),
                    asked,
                    strict=True,
                )
            )
            for level in method.levels
        }

    return found


def _is(part, name, options):
    if part is None or name is None:
        return part is None and name is None
    return part.name == name and options.items() <= part.options.items()


TEAL = ("teal", {"allocation": "uniform"})
OWN = {"corpus": None}
MODEL = {"measure": "model_weight_sparsity"}


def test_there_are_five_backbones_three_of_them_without_relu(study):
    assert len(study.models) == 5
    assert {"ref-geglu", "ref-swiglu", "ref-gelu"} <= set(study.models)
    assert {"prose", "worked_examples", "copying", "reciting"} <= set(study.evaluation.tasks)


@pytest.mark.parametrize("bits", [None, "bf16", "int8", "int4"])
def test_c1_c2_c9_c10_teal_and_spon_at_every_precision(levels, bits):
    quantization = (bits, {})
    wanted = {0.5} if bits in ("bf16", "int8") else {0.5, 0.75}
    assert levels(quantization=quantization, sparsifier=TEAL, **MODEL) >= wanted
    for sites in SITES:
        spon = ("spon", {"sites": sites} | OWN)
        found = levels(quantization=quantization, sparsifier=TEAL, compensation=spon, **MODEL)
        assert found >= wanted
    # What L(dense, q) is.
    assert bits is None or levels(quantization=quantization) == {"whole"}


@pytest.mark.parametrize(
    ("weights", "bits"), [("wanda", None), ("sparsegpt", None), ("wanda", "int4")]
)
def test_c3_c5_teal_and_spon_on_pruned_weights(levels, weights, bits):
    pruned = (weights, {"share": 0.5, "pattern": "unstructured"})
    parts = {"weights": pruned, "quantization": (bits, {}), "sparsifier": TEAL}
    assert 0.5 in levels(**parts)
    for name, sites in (("spon", "down"), ("spon", "all"), ("mean_bias", "down")):
        assert 0.5 in levels(**parts, compensation=(name, {"sites": sites}))


@pytest.mark.parametrize("compensation", COMPENSATIONS)
def test_c3_what_spon_gains_on_the_unpruned_model_at_the_same_inputs(levels, compensation):
    if compensation != ("mean_bias", {"sites": "all"}):
        assert 0.5 in levels(sparsifier=TEAL, compensation=compensation)


@pytest.mark.parametrize("weights", ["wanda", "sparsegpt"])
@pytest.mark.parametrize("compensation", COMPENSATIONS)
def test_c4_pruned_weights_with_dense_activations(levels, weights, compensation):
    pruned = (weights, {"pattern": "unstructured"})
    assert 0.5 in levels(weights=pruned) and 0.5 in levels(
        weights=pruned, compensation=compensation
    )


@pytest.mark.parametrize("sites", SITES)
def test_c7_c8_spon_and_teal_across_levels(levels, sites):
    wanted = {0.25, 0.5, 0.75}
    assert wanted <= levels(sparsifier=TEAL, **MODEL)
    for name in ("spon", "mean_bias"):
        assert wanted <= levels(sparsifier=TEAL, compensation=(name, {"sites": sites}), **MODEL)
    assert levels(compensation=("spon_dense", {"sites": sites})) == {"whole"}


@pytest.mark.parametrize(
    ("weights", "pattern"),
    list(itertools.product(["wanda", "sparsegpt"], ["unstructured", "2:4"])),
)
def test_c11_network_pruning_at_half_of_the_weights(levels, weights, pattern):
    assert 0.5 in levels(weights=(weights, {"pattern": pattern}))


@pytest.mark.parametrize("sites", SITES)
def test_c12_spon_trained_on_another_corpus(levels, sites):
    spon = ("spon", {"sites": sites, "corpus": "prose"})
    assert 0.5 in levels(sparsifier=TEAL, compensation=spon, **MODEL)
    assert 0.5 in levels(sparsifier=TEAL, corpus="prose", **MODEL)


def test_the_three_readings_of_the_question_and_their_controls(study, levels):
    for arm in ("drop_cold", "drop_random", "drop_small", "drop_low_contribution"):
        assert 0.25 in levels(sparsifier=(arm, {}))
    assert "cold" in levels(sparsifier=("drop_cold", {}))
    assert "hot" in levels(sparsifier=("keep_cold", {}))
    assert {"cold", "hot"} <= levels(sparsifier=("drop_random", {}))
    for neurons in ("all", "hot_only", "cold_only"):
        found = {m.sparsifier.options.get("neurons") for m in study.methods.values()
                 if m.sparsifier and m.sparsifier.name == "predicted"}  # fmt: skip
        assert neurons in found
    assert len(study.methods["drop_random"].seeds) >= 5


def test_every_arm_and_control_and_every_kind_of_part_is_in_the_study(study):
    """A new sparsifier that is neither is compared where somebody asks for it."""
    for key, registry in PARTS.items():
        used = {part.name for m in study.methods.values() if (part := getattr(m, key))}
        wanted = {name for name in registry if registry.load(name).role != METHOD}
        # Parts of the model by themselves are the default study's.
        assert used and wanted - used <= {"drop_decile", "drop_cold_layer"}, key
