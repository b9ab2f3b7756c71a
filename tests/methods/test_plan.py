"""Plans are read as they were written, and only together with their own arrays."""

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.methods.plan import Plan

DROPPED = np.array([[True, False, False], [False, True, True]])
PLAN = Plan("drop_cold", "0.5", 0, DROPPED, cold=4)


def write(plan, folder, manifest):
    folder.mkdir(exist_ok=True)
    plan.write(folder / "plan.json", folder / "plan.safetensors", manifest)
    return folder / "plan.json", folder / "plan.safetensors"


@pytest.mark.parametrize("refused", [None, "it makes no sense"])
def test_a_plan_is_read_as_it_was_written(tmp_path, manifest, refused):
    plan = Plan("keep_cold", "hot", 2, DROPPED, cold=1, refused=refused)
    found = Plan.read(*write(plan, tmp_path / "p", manifest))
    assert (found.dropped == DROPPED).all() and found.dropped.dtype == bool
    assert (found.sparsifier, found.level, found.seed) == ("keep_cold", "hot", 2)
    assert (found.cold, found.refused) == (1, refused)


def test_a_plan_gives_the_same_bytes_anywhere(tmp_path, manifest):
    one, two = (write(PLAN, tmp_path / name, manifest) for name in ("one", "two"))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


@pytest.mark.parametrize("other", [DROPPED[:1], np.zeros_like(DROPPED), ~np.zeros_like(DROPPED)])
def test_arrays_of_another_plan_are_refused(tmp_path, manifest, other):
    document, _ = write(PLAN, tmp_path / "one", manifest)
    _, arrays = write(Plan("drop_cold", "0.5", 0, other, cold=4), tmp_path / "two", manifest)
    with pytest.raises(UserError, match="not the arrays of plan.json; remove both"):
        Plan.read(document, arrays)
