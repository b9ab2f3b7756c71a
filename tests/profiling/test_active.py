"""Active sets as bits, against sets of Python."""

import numpy as np
import pytest
import torch

from pipeline.profiling.active import ActiveSets


@pytest.mark.parametrize("neurons", [1, 8, 24, 63, 64, 65, 200])
def test_sets_of_any_width(neurons):
    active = torch.rand(300, neurons, generator=torch.Generator().manual_seed(neurons)) < 0.3
    made = ActiveSets(active)
    sets = [set(np.flatnonzero(row)) for row in active.numpy()]
    assert made.number.tolist() == [len(one) for one in sets]
    share = [sum(n in one for one in sets) / 300 for n in range(neurons)]
    assert made.frequency.tolist() == share
    some, others = np.array([0, 5, 7, 7]), np.array([1, 299, 7, 0])
    for one, other, found in zip(some, others, made.overlaps(some, others), strict=True):
        either = sets[one] | sets[other]
        wanted = len(sets[one] & sets[other]) / len(either) if either else np.nan
        assert found == pytest.approx(wanted, nan_ok=True)
    run = np.arange(3, 9)
    wanted = [len(set.intersection(*sets[3 : end + 1])) / neurons for end in run]
    assert made.always(run).tolist() == wanted


def test_a_neuron_that_is_always_active_counts_every_token():
    # More tokens than eight bits count.
    made = ActiveSets(torch.ones(1000, 3, dtype=torch.bool))
    assert made.frequency.tolist() == [1, 1, 1] and made.number.tolist() == [3] * 1000


def test_no_tokens_have_no_sets():
    made = ActiveSets(torch.zeros(0, 5, dtype=torch.bool))
    assert made.number.tolist() == [] and made.frequency.tolist() == [0] * 5
