"""Logits of chosen tokens against the model's own, for every architecture."""

import pytest
import torch

from pipeline.models import memory
from pipeline.models.forward import Forward
from pipeline.models.head import hidden_states, logits, pieces, scored, summed
from pipeline.models.size import of_loaded
from pipeline.registry import ARCHITECTURES

TOKENS = torch.tensor([[1, 5, 6, 7, 30], [1, 8, 9, 0, 0]])
ATTENTION = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
#: What some architectures do behind the output matrix.
BEHIND = {
    "Gemma2ForCausalLM": {"final_logit_softcapping": 2.0},
    "Gemma3ForCausalLM": {"final_logit_softcapping": 2.0},
    "GraniteForCausalLM": {"logits_scaling": 3.0},
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_of_chosen_tokens_are_the_models_own(make_model, architecture):
    model = make_model(architecture, **BEHIND.get(architecture, {}))
    with torch.inference_mode():
        whole = model(input_ids=TOKENS, attention_mask=ATTENTION).logits
        hidden = hidden_states(model, TOKENS, ATTENTION)
        present = ATTENTION.bool()
        torch.testing.assert_close(logits(model, hidden[present]), whole[present])
        torch.testing.assert_close(logits(model, hidden[0, 2:3])[0], whole[0, 2])
        again = model(input_ids=TOKENS, attention_mask=ATTENTION).logits
    assert torch.equal(again, whole)
    if architecture in BEHIND:
        plain = model.get_output_embeddings()(hidden[present])
        assert (plain - whole[present]).abs().max() > 0.1
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_size_of_a_loaded_model_is_that_of_its_modules(make_model, architecture):
    model = make_model(architecture)
    size = of_loaded(model)
    assert (size.layers, size.width, size.d_model, size.cache) == (2, 24, 16, 2 * 2 * 8)
    assert size.vocabulary == model.get_output_embeddings().weight.shape[0]
    assert size.parameters == sum(each.numel() for each in model.parameters())


def test_a_pass_is_one_call_with_all_its_tokens_and_no_logits(make_model):
    model, forward, given = make_model(), Forward(), []
    model.lm_head.register_forward_pre_hook(lambda _module, args: given.append(args[0].shape))
    with torch.inference_mode(), forward.watching(model):
        hidden = hidden_states(model, TOKENS, ATTENTION)
        assert forward.tokens == 8
        logits(model, hidden[0])
        assert forward.tokens == 8
    assert given == [(2, 0, 16), (1, 5, 16)]


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_pieces_change_nothing(make_model, monkeypatch, rows):
    """Against a softmax of all logits in float64."""
    model = make_model()
    targets = torch.tensor([5, 6, 7, 30, 9])
    with torch.inference_mode():
        hidden = hidden_states(model, TOKENS, ATTENTION)[0]
        whole = model(input_ids=TOKENS).logits[0].double().log_softmax(-1)
        targets[3] = whole[3].argmax()
        monkeypatch.setattr(memory, "PIECE_BYTES", rows * 12 * 153)
        assert len(pieces(5, model)) == -(-5 // rows)
        found = scored(model, hidden, targets)
    wanted = whole.gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(found.logs.double(), wanted, atol=1e-5, rtol=0)
    assert found.logs.dtype == torch.float32
    assert found.likeliest.tolist() == (whole.argmax(1) == targets).tolist()


def test_no_tokens_have_no_scores(make_model):
    model = make_model()
    found = scored(model, torch.zeros(0, 16), torch.zeros(0, dtype=torch.long))
    assert found.logs.shape == found.likeliest.shape == (0,)


def test_gradients_of_pieces_are_those_of_the_whole(make_model, monkeypatch):
    model = make_model().double()
    hidden = torch.randn(7, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(7)
    found = []
    for rows in (2, 100):
        monkeypatch.setattr(memory, "PIECE_BYTES", rows * 12 * 153)
        mine = hidden.clone().requires_grad_(True)

        def piece(part, mine=mine):
            told = logits(model, mine[part])
            return torch.nn.functional.cross_entropy(told, targets[part], reduction="sum")

        total = summed(piece, pieces(7, model))
        total.backward()
        found.append((float(total.detach()), mine.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    torch.testing.assert_close(found[0][1], found[1][1])
