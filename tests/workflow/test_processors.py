"""A study's rows are those of any other processor, as far as one machine can pass for several."""

import pytest

from tests.conftest import PROCESSORS
from tests.rows import differences

pytestmark = pytest.mark.workflow


def test_the_rows_are_the_same_on_an_older_processor(fresh, finished):
    fresh.variables.update(PROCESSORS["oldest"])
    fresh.run()
    assert differences(finished.work, fresh.work) == []
    samples = "shared/evaluate_dense/*/samples.parquet"
    here, there = (next((c.work / "results").glob(samples)) for c in (finished, fresh))
    if here.read_bytes() == there.read_bytes():
        pytest.skip("on this processor the settings change nothing, so nothing was shown")
