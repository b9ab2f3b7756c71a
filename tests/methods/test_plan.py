"""Plans are read as they were written, and only together with their own arrays."""

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.methods.plan import Plan, named, under
from pipeline.store.artifacts import read_json
from pipeline.tables.plan import PLAN

DROPPED = np.array([[True, False, False], [False, True, True]])
PARTS = {
    "weights": {"name": "wanda", "options": {"pattern": "2:4", "share": 0.5}},
    "sparsifier": {"name": "drop_cold", "options": {}},
}
RECORD = {
    "name": "backbone",
    "source": "owner/name",
    "commit": "0123",
    "dtype": "float32",
    "weights_digest": "f" * 32,
}


def of(dropped, **facts):
    arrays = {"sparsifier/dropped": dropped.astype(np.uint8)}
    return Plan(PARTS, "0.5", 0, arrays, neurons=dropped.size, cold=4, **facts)


def write(plan, folder, manifest):
    folder.mkdir(exist_ok=True)
    plan.write(folder / "plan.json", folder / "plan.safetensors", manifest, RECORD)
    return folder / "plan.json", folder / "plan.safetensors"


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"sparse_from": 8},
        {
            "measure": "neuron_sparsity",
            "share": 0.25,
            "reach": (0.0, 0.75),
            "achieved": {"imposed": {"neuron_sparsity": 0.5}, "total": {"neuron_sparsity": 0.5}},
            "sparse_from": "continuation",
        },
    ],
)
def test_a_plan_is_read_as_it_was_written(tmp_path, manifest, facts):
    plan = of(DROPPED, **facts)
    found = Plan.read(*write(plan, tmp_path / "p", manifest))
    assert (found.dropped == DROPPED).all() and found.dropped.dtype == bool
    for name in plan.__dataclass_fields__:
        if name != "arrays":
            assert getattr(found, name) == getattr(plan, name), name


def test_a_refused_plan_has_a_reason_and_no_arrays(tmp_path, manifest):
    plan = Plan(PARTS, "0.5", 0, neurons=6, refused="it makes no sense")
    found = Plan.read(*write(plan, tmp_path / "p", manifest))
    assert found.refused == "it makes no sense" and found.dropped is None and not found.arrays


def test_a_plan_names_the_model_it_is_of(tmp_path, manifest):
    document, _ = write(of(DROPPED), tmp_path / "p", manifest)
    body = read_json(document, "plan", PLAN.version)
    assert (body["model"], body["source"]) == ("backbone", "owner/name@0123")
    assert body["weights_digest"] == "f" * 32


def test_neurons_of_two_parts_are_dropped_together():
    arrays = {
        "weights/dropped": np.array([[1, 0, 0], [0, 0, 0]], dtype=np.uint8),
        "sparsifier/dropped": np.array([[0, 0, 1], [0, 1, 0]], dtype=np.uint8),
    }
    assert Plan(PARTS, "0.5", 0, arrays).dropped.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_arrays_are_named_by_their_part():
    arrays = {"0/q/mask": np.ones(1), "dropped": np.zeros(1)}
    whole = {**named(arrays, "weights"), **named({"x": np.ones(2)}, "sparsifier")}
    assert sorted(whole) == ["sparsifier/x", "weights/0/q/mask", "weights/dropped"]
    assert under(whole, "weights").keys() == arrays.keys()


def test_a_plan_gives_the_same_bytes_anywhere(tmp_path, manifest):
    one, two = (write(of(DROPPED), tmp_path / name, manifest) for name in ("one", "two"))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


OTHERS = [np.zeros_like(DROPPED), ~np.zeros_like(DROPPED)]


@pytest.mark.parametrize("other", OTHERS)
def test_arrays_of_another_plan_are_refused(tmp_path, manifest, other):
    document, _ = write(of(DROPPED), tmp_path / "one", manifest)
    _, arrays = write(of(other), tmp_path / "two", manifest)
    with pytest.raises(UserError, match="not the arrays of plan.json; remove both"):
        Plan.read(document, arrays)


def test_arrays_of_other_names_are_refused(tmp_path, manifest):
    document, _ = write(of(DROPPED), tmp_path / "one", manifest)
    other = Plan(PARTS, "0.5", 0, {"sparsifier/thresholds": np.ones(2)})
    _, arrays = write(other, tmp_path / "two", manifest)
    with pytest.raises(UserError, match="not the arrays of plan.json; remove both"):
        Plan.read(document, arrays)
