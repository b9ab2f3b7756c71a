"""GRIFFIN: its statistic by hand and by loops; what a prompt chooses stays for its answer, and
nothing looks ahead in a text."""

import math

import numpy as np
import pytest
import torch

from pipeline.methods.masks import Seen
from pipeline.methods.sparsifiers.griffin import statistic
from pipeline.models.forward import CONTINUATION, Forward

# Lengths 5, 1, 0 and 13.
H = torch.tensor([[[3.0, 4, 0, 0], [0, 0, -1, 0], [0, 0, 0, 0], [0, 5, 0, 12]]])
PROMPTS = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 60], [0, 0, 0, 1, 40, 41, 42, 10]])
ATTENTION = (PROMPTS != 0).long()


def test_the_statistic_by_hand():
    wanted = [[9 / 25, 16 / 25, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 25 / 169, 0, 144 / 169]]
    torch.testing.assert_close(statistic(H, None), torch.tensor([wanted]))
    # Tokens count alike, however long their h is.
    scaled = H * torch.tensor([1e4, 1e-4, 1, 7]).reshape(1, 4, 1)
    torch.testing.assert_close(statistic(scaled, None), torch.tensor([wanted]))


def test_padding_adds_nothing_whatever_stands_there():
    h = H.clone()
    h[0, 1] = float("nan")
    found = statistic(h, torch.tensor([[True, False, True, True]]))
    assert found[0, 1].tolist() == [0, 0, 0, 0] and bool(found.isfinite().all())


def test_neurons_of_a_text_by_hand(rules):
    # Sums so far: .36 .64 0 0; .36 .64 1 0; the same; .36 .79 1 .85.
    skip = rules("griffin", {"kept": 1}).skip
    one = skip(Seen(H)).before[0].int().tolist()
    assert one == [[1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 0, 1]]
    two = rules("griffin", {"kept": 2}).skip(Seen(H)).before[0].int().tolist()
    assert two == [[0, 0, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 0, 0]]


def test_as_many_as_the_share_leaves_are_kept(sparsifier):
    made = sparsifier("griffin", "gated-silu")
    assert [int(made.at(s)["kept"]) for s in (0.0, 0.1, 0.5, 1.0)] == [24, 22, 12, 0]
    assert made.entry.sparse_from == CONTINUATION


def chosen(h, number):
    """Indices of the `number` neurons of the largest L2 norm over tokens of h / ||h||, by loops."""
    totals = [0.0] * h.shape[1]
    for row in h:
        length = math.sqrt(sum(v * v for v in row))
        for neuron, value in enumerate(row):
            totals[neuron] += (value / length) ** 2
    norms = [math.sqrt(total) for total in totals]
    return set(sorted(range(len(norms)), key=norms.__getitem__)[-number:])


@pytest.fixture
def made(sparsifier):
    return sparsifier("griffin", "gated-silu")


@pytest.fixture
def generate(made):
    """A function: prompts, Forward and share -> h as the down projections read it, by layer, a list
    of passes each, (sequences, length, d_ff)."""

    def run(share, forward, prompts=PROMPTS):
        model, seen = made.evidence.model, {0: [], 1: []}
        with made.attached(share, forward):
            hooks = [
                ffn.watch(lambda h, layer=layer: seen[layer].append(h.clone()))
                for layer, ffn in enumerate(made.evidence.layout.ffns)
            ]
            model.generate(
                prompts, attention_mask=(prompts != 0).long(), max_new_tokens=6,
                min_new_tokens=6, do_sample=False,
            )  # fmt: skip
        for hook in hooks:
            hook.remove()
        return seen

    return run


def test_what_a_prompt_chose_stays_for_its_whole_answer(made, generate):
    dense = generate(0.0, Forward(sparse_from=CONTINUATION))
    sparse = generate(0.5, Forward(sparse_from=CONTINUATION))
    for layer in range(2):
        prompt, *steps = sparse[layer]
        # Prompts are dense.
        assert torch.equal(prompt, dense[layer][0]) and len(steps) == 5
        for sequence in range(2):
            tokens = prompt[sequence][ATTENTION[sequence].bool()].double().tolist()
            kept = chosen(np.array(tokens), 12)
            for step in steps:
                assert set(step[sequence, 0].nonzero().flatten().tolist()) == kept


def test_the_next_prompt_chooses_anew(generate):
    others = torch.tensor([[1, 90, 80, 70, 60], [1, 50, 51, 52, 53]])
    fresh = generate(0.5, Forward(sparse_from=CONTINUATION), others)
    forward = Forward(sparse_from=CONTINUATION)
    first = generate(0.5, forward)
    again = generate(0.5, forward, others)
    for layer in range(2):
        assert all(torch.equal(a, b) for a, b in zip(again[layer], fresh[layer], strict=True))
        assert not torch.equal(again[layer][1] == 0, first[layer][1] == 0)


def test_steps_after_a_text_that_is_sparse_keep_the_neurons_of_all_of_it(generate):
    sparse = generate(0.5, Forward(), PROMPTS[:1])
    for prompt, *steps in sparse.values():
        last = set(prompt[0, -1].nonzero().flatten().tolist())
        # In the first layer h of the text is the dense model's but for the mask.
        assert all(set(step[0, 0].nonzero().flatten().tolist()) == last for step in steps)


def told(made, tokens, share=0.5, forward=None, attention=None):
    """What is skipped, layer by layer, (sequences, length, d_ff) bool."""
    with made.attached(share, forward or Forward()) as watched, torch.inference_mode():
        made.evidence.model(tokens, attention_mask=attention)
        return [watched.skipped[layer].before.clone() for layer in range(2)]


def test_a_texts_masks_are_those_of_its_tokens_so_far(made, reads, logits):
    tokens = PROMPTS[:1]
    masks = told(made, tokens)
    ffn = made.evidence.layout.ffns[0]
    seen = []
    hook = ffn.watch(seen.append)
    logits(made.evidence.model, tokens)
    hook.remove()
    h = seen[0][0].double().numpy()
    for place in range(8):
        kept = set((~masks[0][0, place]).nonzero().flatten().tolist())
        assert kept == chosen(h[: place + 1], 12)


def test_nothing_looks_ahead_in_a_text(made):
    tokens = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 60]])
    masks = told(made, tokens)
    for place in range(1, 8):
        changed = tokens.clone()
        changed[0, place] = 77
        for mask, other in zip(masks, told(made, changed), strict=True):
            assert torch.equal(mask[:, :place], other[:, :place])
    assert not torch.equal(masks[1], told(made, tokens.flip(1))[1])


def test_padding_changes_no_mask(made):
    row = torch.tensor([[1, 40, 41, 42, 10]])
    alone = told(made, row)
    for padded, places in (
        (torch.tensor([[1, 5, 9, 20, 33, 4], [1, 40, 41, 42, 10, 0]]), slice(0, 5)),
        (torch.tensor([[1, 5, 9, 20, 33, 4], [0, 1, 40, 41, 42, 10]]), slice(1, 6)),
    ):
        batch = told(made, padded, attention=(padded != 0).long())
        assert all(torch.equal(b[1, places], a[0]) for a, b in zip(alone, batch, strict=True))


def test_a_choice_keeps_the_neurons_of_the_text_before_it(made, logits):
    tokens = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 60], [1, 40, 41, 42, 10, 11, 0, 0]])
    contexts = torch.tensor([3, 5])

    def of(given):
        forward = Forward(sparse_from=CONTINUATION)
        forward.contexts = contexts
        return told(made, given, forward=forward, attention=(given != 0).long())

    masks, seen = of(tokens), []
    hook = made.evidence.layout.ffns[0].watch(seen.append)
    logits(made.evidence.model, tokens)
    hook.remove()
    for sequence, (start, end) in enumerate(((3, 8), (5, 6))):
        assert all(not mask[sequence, :start].any() for mask in masks)
        kept = chosen(seen[0][sequence, :start].double().numpy(), 12)
        for place in range(start, end):
            assert set((~masks[0][sequence, place]).nonzero().flatten().tolist()) == kept
    changed = tokens.clone()
    changed[0, 3:], changed[1, 5] = 99, 98
    for mask, other in zip(masks, of(changed), strict=True):
        assert torch.equal(mask[0], other[0]) and torch.equal(mask[1, :6], other[1, :6])


@pytest.mark.parametrize("layer", [0, 1])
def test_an_ffn_as_plain_python_has_it(made, passed, plain, layer):
    with made.attached(0.5):
        seen = passed(made.evidence.model, layer)
    own = plain(made.evidence.model, layer)
    h = own.hidden(seen.x).reshape(2, 8, 24)
    left = np.zeros_like(h)
    for sequence in range(2):
        for place in range(8):
            kept = sorted(chosen(h[sequence, : place + 1], 12))
            left[sequence, place, kept] = h[sequence, place, kept]
    output = left.reshape(16, 24) @ own.down.T
    np.testing.assert_allclose(seen.output, output, rtol=1e-4, atol=1e-5)
