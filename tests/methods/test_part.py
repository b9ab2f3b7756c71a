"""What every registered part of a method says of itself."""

import re

import pytest
import yaml

from pipeline.config.base import Section
from pipeline.config.roles import ARM, COLDEST, CONTROL, HOTTEST, RANDOM
from pipeline.config.study import parse_study
from pipeline.methods.part import FittingCost, NoOptions, Part
from pipeline.planning.study import Study
from pipeline.registry import PARTS
from pipeline.store.digest import SOURCE_ROOT

ENTRIES = [(kind, name) for kind, registry in PARTS.items() for name in registry]
CLASSES = [PARTS[kind].load(name) for kind, name in ENTRIES]
each_part = pytest.mark.parametrize(("kind", "name"), ENTRIES)


@each_part
def test_a_part_has_a_label_a_role_and_typed_options(kind, name):
    entry = PARTS[kind].load(name)
    assert issubclass(entry, Part)
    assert entry.label == entry.label.strip() != ""
    assert entry.role in ("arm", "control", "method")
    assert issubclass(entry.Options, Section)
    for field in entry.Options.model_fields.values():
        assert field.annotation is not None


def test_no_two_parts_have_one_label():
    labels = [entry.label for entry in CLASSES]
    assert len(set(labels)) == len(labels)


@each_part
def test_every_sample_is_a_method_that_a_study_accepts(kind, name, study_values):
    """With all that planning demands of a method, and with the part that it is a sample of."""
    sample = yaml.safe_load(PARTS[kind].load(name).sample())
    chosen = sample[kind]
    assert name == (chosen if isinstance(chosen, str) else chosen["name"])
    study_values["calibration"]["prose"] = study_values["calibration"]["reasoning"]
    study_values["methods"]["sample"] = sample
    study = Study(parse_study(study_values))
    assert study.config.methods["sample"].parts[kind]["name"] == name


def test_a_part_without_a_sample_of_its_own_has_none():
    class Own(Part):
        """Nothing to show."""

    assert Own.sample() == ""


@each_part
def test_a_part_tells_what_it_costs_with_its_default_options(kind, name):
    entry = PARTS[kind].load(name)
    required = {"distractor": "prose"} if "distractor" in entry.Options.model_fields else {}
    cost = entry().cost(entry.Options.model_validate(required))
    assert isinstance(cost, FittingCost)
    assert min(cost.tokens, cost.passes, cost.trained) >= 0 < cost.copies
    assert not cost.trained or entry.objective


def test_costs_of_parts_add_up_but_for_the_copies_of_the_weights():
    both = FittingCost.of_all(
        [FittingCost(tokens=5, copies=2), FittingCost(tokens=1, passes=1, trained=8)]
    )
    assert both == FittingCost(tokens=6, passes=1, trained=8, copies=2)
    assert FittingCost.of_all([]) == FittingCost()


def test_arms_and_the_draw_say_which_neurons_go_first():
    """The first question of a study needs one order from each end, and their control."""
    orders = {entry.order: entry for entry in CLASSES if getattr(entry, "order", None)}
    assert set(orders) == {COLDEST, HOTTEST, RANDOM}
    assert (orders[COLDEST].role, orders[HOTTEST].role, orders[RANDOM].role) == (ARM, ARM, CONTROL)
    assert all(entry.static for entry in orders.values())
    assert orders[RANDOM].seeded


def test_arms_need_the_classification_and_other_kinds_of_part_are_no_arms():
    for (kind, _), entry in zip(ENTRIES, CLASSES, strict=True):
        if entry.role == ARM:
            assert kind == "sparsifier"
            assert entry.needs_classification({})


def test_a_base_has_no_options():
    assert Part.Options is NoOptions


def test_no_part_is_called_by_its_name_where_studies_are_planned_analysed_and_told():
    """Its label, its role and its cost are asked of it, so a new one needs no line there."""
    # CETT is also what a profile measures.
    names = "|".join(name for registry in PARTS.values() for name in registry if name != "cett")
    called = re.compile(rf"[\"'>`]({names})[\"'<`]")
    package = SOURCE_ROOT / "pipeline"
    found = {
        (path.name, match[1])
        for room in ("analysis", "planning", "report", "running", "store")
        for path in (package / room).rglob("*")
        if path.suffix in (".py", ".j2")
        for match in called.finditer(path.read_text(encoding="utf-8"))
    }
    assert found == set()
