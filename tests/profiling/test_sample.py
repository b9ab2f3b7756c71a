"""What is measured token by token: by hand on a 4-neuron FFN, against oracles on a small Llama."""

import copy

import numpy as np
import pytest
import torch

from pipeline.config.profile import Profile
from pipeline.errors import UserError
from pipeline.models.views import view
from pipeline.profiling.sample import profile_sample, sampled
from pipeline.tables import sampled as tables

CONFIG = Profile(cett=0.3, cett_tokens=64)
TABLES = {
    table.name: table
    for table in (tables.THRESHOLDS, tables.NORMS, tables.TOKENS, tables.CETT_CURVE,
                  tables.ALWAYS_ACTIVE, tables.PROMPT_OVERLAPS)
}  # fmt: skip


def measured(model, sequences, special=(), config=CONFIG):
    found = profile_sample(model, sequences, special, config)
    assert found.keys() == TABLES.keys()
    return {name: TABLES[name].frame(columns) for name, columns in found.items()}


def test_active_sets_by_hand(toy):
    # Active at tokens 0 to 3: {0, 1, 2}, {1}, nothing, {0, 1}.
    tokens = measured(toy, [[0, 1], [3, 2, 2]])["tokens"].sort("sequence", "position")
    assert tokens["sequence"].to_list() == [0, 0, 1, 1, 1]
    assert tokens["position"].to_list() == [0, 1, 0, 1, 2]
    assert tokens["active"].to_list() == [3, 1, 2, 0, 0]
    assert tokens["sparsity"].to_list() == [0.25, 0.75, 0.5, 1.0, 1.0]
    assert tokens["overlap_previous"].to_list() == [None, 1 / 3, None, 0.0, None]


def test_neurons_that_are_always_active_by_hand(toy):
    # After one token 3 and 2 of 4, after two 1 and 0; the second sequence has three, not four.
    found = measured(toy, [[0, 1], [3, 2, 2]])["always_active"]
    assert found.rows() == [(0, 1, 0.625, 2), (0, 2, 0.125, 2)]
    longer = measured(toy, [[0, 0, 3, 1]])["always_active"]
    assert longer.rows() == [(0, 1, 0.75, 1), (0, 2, 0.75, 1), (0, 4, 0.25, 1)]


def test_special_tokens_do_not_count_as_inactive(toy):
    found = measured(toy, [[4, 0, 1], [3, 2, 2, 4]], special=[4])
    plain = measured(toy, [[0, 1], [3, 2, 2]])
    assert found["always_active"].equals(plain["always_active"])
    tokens = found["tokens"].sort("sequence", "position")
    assert tokens["position"].to_list() == [1, 2, 0, 1, 2]
    assert tokens["overlap_previous"].to_list() == [None, 1 / 3, None, 0.0, None]


def test_prompts_are_compared_from_the_first_changed_token_on(toy):
    # {0, 1} against {0, 1, 2} at the third position; the two before are the same prompt.
    (row,) = measured(toy, [[0, 1, 3], [0, 1, 0]])["prompt_overlaps"].rows(named=True)
    assert (row["sequence"], row["other"]) == (0, 1)
    assert (row["first_changed"], row["positions"]) == (2, 1)
    assert row["overlap"] == pytest.approx(2 / 3)
    # Firing at 4, 6, 3 and 0 of 6 tokens.
    f = np.array([4, 6, 3, 0]) / 6
    assert row["by_chance"] == pytest.approx((f**2).sum() / (2 * f - f**2).sum())


def test_equal_prompts_and_positions_without_any_active_neuron_are_left_out(toy):
    assert measured(toy, [[0, 1], [0, 1]])["prompt_overlaps"].is_empty()
    (row,) = measured(toy, [[0, 2, 0], [3, 2, 0]])["prompt_overlaps"].rows(named=True)
    # Both are inactive at the second position; the third has the same token after another past.
    assert row["positions"] == 2 and row["overlap"] == pytest.approx((2 / 3 + 1) / 2)


SEQUENCES = [[4 + (7 * i + j * j) % 55 for j in range(3 + i % 9)] for i in range(23)]


@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_measures_of_every_token_equal_an_oracles(make_model, activation):
    """One sequence at a time, in float64, with numpy."""
    model = make_model(hidden_act=activation)
    config = Profile(cett=0.3, cett_tokens=4096)
    found = measured(model, SEQUENCES, config=config)
    for layer, ffn in enumerate(view(model).ffns):
        down = ffn.down.weight.detach().double().numpy()
        norms = np.linalg.norm(down, axis=0)
        eps = found["thresholds"]["cett_threshold"][layer]
        mine = found["tokens"].filter(layer=layer).sort("sequence", "position")
        held, checked = [], 0
        for sequence, row in enumerate(SEQUENCES):
            seen = []
            hook = ffn.watch(lambda h, seen=seen: seen.append(h[0].double().numpy()))
            with torch.inference_mode():
                model(torch.tensor([row]))
            hook.remove()
            (h,) = seen
            contribution = np.abs(h) * norms
            tail = np.linalg.norm(np.where(contribution > eps, 0, h) @ down.T, axis=1)
            rows = mine.filter(sequence=sequence)
            cett = tail / np.linalg.norm(h @ down.T, axis=1)
            # A threshold ends beside a contribution, which rounding may put on either side.
            clear = (np.abs(contribution / eps - 1) > 1e-4).all(1)
            assert np.abs(rows["cett"].to_numpy() - cett)[clear].max(initial=0) < 1e-5
            held.append(cett)
            active = h != 0 if activation == "relu" else contribution > eps
            sure = clear | (activation == "relu")
            assert (rows["active"].to_numpy() == active.sum(1))[sure].all()
            both = (active[1:] & active[:-1]).sum(1) / (active[1:] | active[:-1]).sum(1)
            overlap = rows["overlap_previous"].to_numpy()[1:]
            assert np.abs(overlap - both)[sure[1:] & sure[:-1]].max(initial=0) < 1e-12
            checked += clear.sum()
        assert checked > 0.95 * mine.height
        assert np.concatenate(held).mean() == pytest.approx(0.3, abs=0.01)
        assert found["thresholds"]["cett"][layer] == pytest.approx(0.3, abs=0.01)


def test_a_cett_curve_rises_to_the_whole_output(make_model):
    curves = measured(make_model(hidden_act="silu"), SEQUENCES)["cett_curve"]
    assert curves.height == 2 * 22
    for _, curve in curves.group_by("layer"):
        cett, sparsity = curve["cett"].to_numpy(), curve["sparsity"].to_numpy()
        assert (np.diff(cett) > 0).all() and (np.diff(sparsity) > 0).all()
        assert np.abs(sparsity[2:-1] - np.arange(0.05, 1, 0.05)).max() < 0.01
        assert sparsity[0] == cett[0] == 0 and cett[1] < 0.05 and 0.5 < cett[-1] < 1.5


@pytest.mark.parametrize("weights", ["up_proj", "down_proj"])
def test_a_layer_without_a_finite_output_is_refused(toy, weights):
    """Without a threshold all of its neurons would count as active."""
    broken = copy.deepcopy(toy)
    # A one-hot row times an infinite weight is 0 * inf, if not inf.
    getattr(broken.model.layers[0].mlp, weights).weight.data[0] = float("inf")
    with pytest.raises(
        UserError, match="^layer 0: .* at none of 2 sampled tokens .* overflow float32.*dtype"
    ):
        measured(broken, [[1, 1]])


def test_sampling_draws_sequences_in_order_up_to_the_tokens():
    sequences = [[n] * 4 for n in range(1000)]
    drawn = sampled(sequences, 430)
    assert len(set(drawn)) == 107 and drawn == sorted(drawn)
    assert sampled(sequences, 430) == drawn
    assert len(sampled(sequences, 1)) == 1
    assert sampled(sequences, 10**6) == list(range(1000))


def test_sampling_takes_every_kind_of_text_from_a_corpus_that_takes_turns():
    sequences = [[n % 5] * 20 for n in range(4000)]
    kinds = [index % 5 for index in sampled(sequences, 4000)]
    assert min(kinds.count(kind) for kind in range(5)) > 25


def test_sequences_are_drawn_whole(toy):
    sequences = [[0] * (5 + n % 20) for n in range(60)]
    tokens = measured(toy, sequences)["tokens"]
    assert 32 <= tokens.height <= 64
    for (sequence,), rows in tokens.group_by("sequence"):
        assert rows["position"].sort().to_list() == list(range(len(sequences[sequence])))


@pytest.mark.parametrize("place", range(0, 61, 6))
def test_a_sequence_longer_than_the_sample_is_passed_over(toy, place):
    sequences = [[1] * 4 for _ in range(60)]
    sequences.insert(place, [0] * 1000)
    tokens = measured(toy, sequences)["tokens"]
    assert 32 <= tokens.height <= 64 and place not in tokens["sequence"]


def test_the_start_of_one_is_the_sample_where_all_are_longer(toy):
    tokens = measured(toy, [[1] * 100] * 3)["tokens"]
    assert tokens.height == 64 and tokens["sequence"].n_unique() == 1
    assert tokens["position"].to_list() == list(range(64))


def test_short_sequences_do_not_fill_the_places_that_long_ones_leave():
    # Lengths 7 and 1 by turns: seven of 60 tokens remain at most once a long one did not fit.
    sequences = [[0] * (1 + 6 * (n % 2)) for n in range(1000)]
    drawn = sampled(sequences, 60)
    assert 53 < sum(len(sequences[index]) for index in drawn) <= 60
    long = sum(len(sequences[index]) == 7 for index in drawn)
    assert long >= len(drawn) - long - 5


def test_padding_is_bounded():
    sequences = [[0] * (4 if n % 10 else 60) for n in range(1000)]
    drawn = sampled(sequences, 64, 128)
    assert len(drawn) * max(len(sequences[index]) for index in drawn) <= 128
    assert 60 <= sum(len(sequences[index]) for index in drawn) <= 64


def test_a_sample_of_special_tokens_alone_tells_nothing(toy):
    found = measured(toy, [[4, 4], [4]], special=[4])
    assert found["tokens"].is_empty() and found["always_active"].is_empty()
    assert found["thresholds"]["cett_tokens"].to_list() == [0]


def test_no_hook_stays_behind(toy):
    measured(toy, [[0, 1]])
    assert not any(module._forward_pre_hooks for module in toy.modules())
