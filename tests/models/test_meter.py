"""Achieved sparsity of a gated ReLU toy, worked out by hand, and of small models of every
architecture against a count of single weights."""

import itertools
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from pipeline.methods.apply import remove
from pipeline.methods.masks import Masks
from pipeline.models.forward import CONTINUATION, START, Forward, Skipped
from pipeline.models.meter import Meter, figures
from pipeline.models.views import FFNView, ModelView, Projection, linear_layers, matrix, view
from pipeline.registry import ARCHITECTURES
from pipeline.tables.samples import COUNTS

PAD, FIRST, SECOND, STOP = range(4)


class Toy(torch.nn.Module):
    """Each token goes straight into one FFN of four neurons; `other` stands for attention.

    h of FIRST is (1, 0, 1, 0), of SECOND (0, 1, 1, 0), of STOP (0, 0, 0, -4), of PAD all zeros.
    """

    def __init__(self):
        super().__init__()
        self.values = torch.tensor([[0.0, 0], [1, 0], [0, 1], [-1, -1]])
        self.gate = linear([[1, 0], [0, 1], [1, 1], [-1, -1]])
        self.up = linear([[1, 1]] * 4)
        self.down = linear([[1, 0, 2, 0], [0, 1, 0, 3]])
        self.other = linear([[1, 0]] * 4)

    def forward(self, input_ids, attention_mask=None):
        x = self.values[input_ids]
        return self.down(torch.relu(self.gate(x)) * self.up(x))


def linear(rows):
    matrix = torch.tensor(rows, dtype=torch.float32)
    made = torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
    made.weight = torch.nn.Parameter(matrix)
    return made


@pytest.fixture
def toy():
    return Toy()


@pytest.fixture
def measure(toy):
    """A function: calls of the model and the removed neurons -> meter."""
    ffn = FFNView(
        (Projection(toy.gate), Projection(toy.up)), Projection(toy.down), "relu", toy, toy
    )

    def run(*calls, dropped=()):
        mask = np.zeros((1, 4), dtype=bool)
        mask[0, list(dropped)] = True
        ffn.zero(torch.from_numpy(mask[0]))
        forward = Forward(frozenset({STOP, PAD}), removed=mask)
        meter = Meter(ModelView([ffn], [toy]), forward)
        with torch.inference_mode(), meter.watching(toy):
            for tokens, *attention in calls:
                masks = {"attention_mask": torch.tensor(attention[0])} if attention else {}
                toy(input_ids=torch.tensor(tokens), **masks)
        return meter

    return run


def test_natural_zeros_alone(measure):
    # Two tokens of two zeros each. A zero spares its up row and down column: 4 of 6 weights.
    found = figures(measure(([[FIRST, SECOND]],)).counts())
    assert found["imposed"] == {
        "neuron_sparsity": 0,
        "ffn_weight_sparsity": 0,
        "model_weight_sparsity": 0,
    }
    assert found["total"] == {
        "neuron_sparsity": 4 / 8,
        "ffn_weight_sparsity": 4 * 4 / (2 * 24),
        "model_weight_sparsity": 4 * 4 / (2 * 32),
    }


def test_a_removed_neuron_spares_all_its_weights(measure):
    # Neuron 2 is gone, so each token has three zeros, one of them imposed.
    found = figures(measure(([[FIRST, SECOND]],), dropped=[2]).counts())
    assert found["imposed"] == {
        "neuron_sparsity": 1 / 4,
        "ffn_weight_sparsity": 6 / 24,
        "model_weight_sparsity": 6 / 32,
    }
    assert found["total"] == {
        "neuron_sparsity": 3 / 4,
        "ffn_weight_sparsity": (6 + 2 * 4) / 24,
        "model_weight_sparsity": (6 + 2 * 4) / 32,
    }


def test_everything_removed_spares_everything(measure):
    found = figures(measure(([[FIRST, SECOND]],), dropped=range(4)).counts())
    for basis in ("imposed", "total"):
        assert found[basis]["neuron_sparsity"] == 1
        assert found[basis]["ffn_weight_sparsity"] == 1
        assert found[basis]["model_weight_sparsity"] == 24 / 32


PROMPT = ([[PAD, FIRST], [FIRST, SECOND]], [[0, 1], [1, 1]])


def step(number, first, second):
    """One step of generation after PROMPT: a token a row, and the mask of all tokens so far."""
    ones = [1] * number
    return [[first], [second]], [[0, 1, *ones], [1, 1, *ones]]


def test_padding_and_steps_after_an_end_do_not_count(measure):
    # Counted: three prompt tokens, then SECOND and FIRST of the row that goes on.
    meter = measure(PROMPT, step(1, SECOND, STOP), step(2, FIRST, PAD))
    assert meter.tokens == 5
    assert figures(meter.counts())["total"]["neuron_sparsity"] == 10 / 20


def test_a_row_that_ended_stays_ended(measure):
    meter = measure(PROMPT, step(1, SECOND, STOP), step(2, FIRST, SECOND))
    assert meter.tokens == 5


def test_a_new_prompt_of_the_same_batch_size_starts_anew(measure):
    assert measure(PROMPT, step(1, STOP, STOP), PROMPT, step(1, FIRST, FIRST)).tokens == 8


def test_a_new_prompt_of_one_token_starts_anew(measure):
    # The harness pads on the left, so a prompt comes with a mask no longer than itself.
    one = ([[FIRST], [FIRST]], [[1], [1]])
    assert measure(one, ([[STOP], [STOP]], [[1, 1], [1, 1]]), one).tokens == 4


def test_a_prompt_without_a_mask_counts_whole(measure):
    assert measure(([[FIRST, FIRST, PAD]],)).tokens == 3


def test_measures_of_nothing_are_zero(measure):
    found = figures(measure().counts())
    assert set(found["total"].values()) == set(found["imposed"].values()) == {0.0}


def test_reset_starts_counting_anew(measure, toy):
    meter = measure(([[FIRST, SECOND]],))
    meter.reset()
    with torch.inference_mode(), meter.watching(toy):
        toy(input_ids=torch.tensor([[STOP]]))
    assert meter.tokens == 1 and figures(meter.counts())["total"]["neuron_sparsity"] == 3 / 4


def test_nonfinite_activations_are_counted(measure, toy):
    toy.up.weight.data[0] = float("inf")
    meter = measure(([[FIRST, SECOND]],), ([[PAD]],), dropped=[3])
    # FIRST and SECOND make h of neuron 0 infinite; PAD gives 0 * inf, which is no number.
    assert meter.counts()[0]["nonfinite"] == 3
    assert 0 <= figures(meter.counts())["total"]["neuron_sparsity"] <= 1


def test_no_hook_stays_behind_even_after_an_error(measure, toy):
    with pytest.raises(IndexError):
        measure(([[99]],))
    assert not any(m._forward_pre_hooks for m in toy.modules())
