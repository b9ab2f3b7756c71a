"""Loss on text against a plain loop over tokens."""

import math

import pytest
import torch

from pipeline.models.batches import batches
from pipeline.models.loss import text_loss
from pipeline.registry import ARCHITECTURES

SEQUENCES = [[1, 5, 9, 20, 2], [1, 40], [1, 7, 8, 33, 4, 60, 12], [41, 42, 1, 10], [1], [2, 0, 9]]
SPECIAL = (0, 1, 2)


def loop(model):
    """Every sequence alone, token by token: (sum of losses, tokens)."""
    total, tokens = 0.0, 0
    for row in SEQUENCES:
        with torch.inference_mode():
            logits = model(torch.tensor([row])).logits[0].double()
        for place in range(1, len(row)):
            if row[place] in SPECIAL:
                continue
            scores = [float(score) for score in logits[place - 1]]
            most = max(scores)
            whole = most + math.log(sum(math.exp(score - most) for score in scores))
            total, tokens = total + whole - scores[row[place]], tokens + 1
    return total, tokens


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [1, 4])
def test_the_loss_is_that_of_a_plain_loop(make_model, architecture, size):
    model = make_model(architecture)
    total, tokens = loop(model)
    assert tokens == 3 + 1 + 6 + 2 + 1
    found = text_loss(model, list(batches(SEQUENCES, size, SPECIAL, "cpu")))
    assert found == pytest.approx(total / tokens, rel=1e-5)


def test_a_text_without_a_token_to_predict_has_no_loss(make_model):
    model = make_model()
    assert text_loss(model, []) is None
    assert text_loss(model, list(batches([[5], [1, 2]], 2, SPECIAL, "cpu"))) is None


def test_logits_of_half_precision_are_made_exact_first(make_model):
    model = make_model().to(torch.bfloat16)
    total, tokens = loop(model)
    found = text_loss(model, list(batches(SEQUENCES, 1, SPECIAL, "cpu")))
    assert found == pytest.approx(total / tokens, rel=1e-6)


def test_losses_are_summed_in_double(make_model):
    """The mean over many texts is that of one, to more places than a float32 has."""
    model = make_model()
    row = [[1, *range(5, 42)]]
    one = text_loss(model, list(batches(row, 1, SPECIAL, "cpu")))
    many = text_loss(model, list(batches(row * 301, 301, SPECIAL, "cpu")))
    assert many == pytest.approx(one, rel=1e-9)
