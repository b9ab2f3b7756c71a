"""Every name that configuration can use leads to an object; unknown ones are explained."""

import pytest

from pipeline import registry
from pipeline.errors import UserError, unknown_name
from pipeline.registry import Registry

REGISTRIES = {name: value for name, value in vars(registry).items() if isinstance(value, Registry)}
ENTRIES = [(name, entry) for name, table in REGISTRIES.items() for entry in table]


@pytest.mark.parametrize(("table", "entry"), ENTRIES)
def test_every_entry_loads_the_object_it_names(table, entry):
    loaded = REGISTRIES[table].load(entry)
    module, _, attribute = REGISTRIES[table][entry].partition(":")
    assert loaded is vars(__import__(module, fromlist=[attribute]))[attribute]


def test_a_near_miss_is_answered_with_the_nearest_name_and_the_list():
    table = Registry("colour", {"red": "a:b", "green": "a:c"})
    with pytest.raises(UserError) as refused:
        table.load("gren")
    assert str(refused.value) == ("unknown colour 'gren'. Did you mean 'green'? Known: green, red.")


def test_a_far_miss_gets_the_list_without_a_guess():
    assert unknown_name("colour", "xyzzy", ["red"]) == "unknown colour 'xyzzy'. Known: red."


def test_check_returns_the_name_and_imports_nothing():
    table = Registry("thing", {"broken": "no.such.module:thing"})
    assert table.check("broken") == "broken"
    with pytest.raises(ModuleNotFoundError):
        table.load("broken")


def test_a_registry_is_a_mapping_of_its_table():
    table = Registry("thing", {"a": "m:x", "b": "m:y"})
    assert (len(table), list(table), table["b"], "c" in table) == (2, ["a", "b"], "m:y", False)
