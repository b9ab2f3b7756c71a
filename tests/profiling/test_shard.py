"""Profiles worked out by hand on a 4-neuron FFN, and invariants on a small Llama."""

import copy

import numpy as np
import polars as pl
import pytest
import torch

from pipeline.config.profile import Profile
from pipeline.profiling.merge import merge
from pipeline.profiling.shard import profile_shard, sampled
from pipeline.tables.neurons import LAYER_BLOCKS, LAYERS, NEURON_BLOCKS, NEURONS

CONFIG = Profile(block_sequences=2, batch_size=2, shards=1, cett=0.3, cett_tokens=64)


@pytest.fixture(scope="module")
def toy(make_model):
    """A one-layer model whose FFN sees one-hot rows: token t gives h = H[t] at every position.

    Attention writes nothing, and the norm before the FFN turns a one-hot row into 4 times itself.
    """
    model = make_model(
        vocab_size=5,
        hidden_size=4,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        rms_norm_eps=0.0,
    )
    block = model.model.layers[0]
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.cat([torch.eye(4), torch.ones(1, 4)]))
        block.self_attn.o_proj.weight.zero_()
        # A one-hot row of width 4 has mean square 1/4, so the norm doubles it.
        block.mlp.gate_proj.weight.copy_(GATE / 2)
        block.mlp.up_proj.weight.copy_(UP / 2)
        block.mlp.down_proj.weight.copy_(DOWN)
    return model


# Rows are neurons, columns are tokens 0 to 3; h = relu(gate) * up gives, for the four tokens,
# (3, 4, 12, 0), (0, 2, 0, 0), (0, 0, 0, 0) and (-2, 2, 0, 0).
GATE = torch.tensor([[3, 0, -1, 1], [4, 1, 0, 2], [12, -2, 0, 3], [-1, -1, -1, 0]])
UP = torch.tensor([[1, 5, 1, -2], [1, 2, 7, 1], [1, 1, 1, 0], [9, 9, 9, 9]])
DOWN = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 2]])


def profile(model, sequences, special=(), config=CONFIG, shard=0, shards=1):
    columns, layers = profile_shard(model, sequences, special, config, shard, shards)
    return NEURON_BLOCKS.frame(columns), LAYER_BLOCKS.frame(layers)


def test_sums_of_two_blocks_by_hand(toy):
    # Block 0: tokens 0, 1 and 3, 2, 2; block 1: token 0.
    blocks, _ = profile(toy, [[0, 1], [3, 2, 2], [0]])
    assert blocks["block"].to_list() == [0] * 4 + [1] * 4
    assert blocks["layer"].to_list() == [0] * 8
    assert blocks["neuron"].to_list() == [0, 1, 2, 3] * 2
    assert blocks["tokens"].to_list() == [5] * 4 + [1] * 4
    assert blocks["active_nonzero"].to_list() == [2, 3, 1, 0, 1, 1, 1, 0]
    assert blocks["sum_abs"].to_list() == [5, 8, 12, 0, 3, 4, 12, 0]
    assert blocks["sum_square"].to_list() == [13, 24, 144, 0, 9, 16, 144, 0]
    assert blocks["max_abs"].to_list() == [3, 4, 12, 0, 3, 4, 12, 0]
    assert blocks["sum_contribution"].to_list() == [5, 8, 12, 0, 3, 4, 12, 0]
    assert blocks["down_norm"].to_list() == [1, 1, 1, 2] * 2
    assert blocks["nonfinite"].to_list() == [0] * 8


def test_weight_norms_by_hand(toy):
    # Squares of gate, up (both halved) and down: (11 + 31) / 4 + 1, and so on.
    blocks, _ = profile(toy, [[0]])
    wanted = np.sqrt([(11 + 31) / 4 + 1, (21 + 55) / 4 + 1, (157 + 3) / 4 + 1, (3 + 324) / 4 + 4])
    assert blocks["weight_norm"].to_numpy() == pytest.approx(wanted, rel=1e-12)


def test_active_by_cett_by_hand(toy):
    # Token 0 alone: contributions 3, 4, 12. At 0.3 only the first may go (3/13 = 0.23).
    blocks, layers = profile(toy, [[0, 0, 0]])
    assert layers["cett"].to_list() == pytest.approx([3 / 13])
    assert 3 <= layers["cett_threshold"][0] < 4
    assert layers["cett_tokens"].to_list() == [3]
    assert blocks["active_cett"].to_list() == [0, 3, 3, 0]
    assert blocks["active_nonzero"].to_list() == [3, 3, 3, 0]


def test_special_tokens_and_padding_leave_no_trace(toy):
    plain, _ = profile(toy, [[0, 3], [1]])
    special, _ = profile(toy, [[4, 0, 3, 4], [4, 1]], special=[4])
    assert plain.equals(special)


def test_merged_profile_by_hand(toy):
    blocks, layers = profile(toy, [[0, 1], [3, 2, 2], [0]])
    neurons, per_layer = merge([blocks], [layers], exact_zeros=True)
    neurons, per_layer = NEURONS.frame(neurons), LAYERS.frame(per_layer)
    assert neurons["tokens"].to_list() == [6] * 4
    assert neurons["active"].to_list() == neurons["active_nonzero"].to_list() == [3, 4, 2, 0]
    assert neurons["sum_abs"].to_list() == [8, 12, 24, 0]
    assert neurons["max_abs"].to_list() == [3, 4, 12, 0]
    # 9 active of 24 pairs.
    assert per_layer["natural_sparsity"].to_list() == [15 / 24]
    assert per_layer["zero_share"].to_list() == [15 / 24]
    assert per_layer["tokens"].to_list() == [6]


def test_nonfinite_activations_are_counted_and_enter_no_sum(toy):
    broken = copy.deepcopy(toy)
    broken.model.layers[0].mlp.up_proj.weight.data[0] = float("inf")
    blocks, layers = profile(broken, [[0, 0, 1, 3]])
    # A one-hot row times infinity is not a number at any token.
    assert blocks["nonfinite"].to_list() == [4, 0, 0, 0]
    assert blocks["active_nonzero"].to_list() == [0, 4, 2, 0]
    assert blocks["sum_abs"].to_list() == [0, 12, 24, 0]
    assert blocks["sum_contribution"].to_list() == [0, 12, 24, 0]
    _, per_layer = merge([blocks], [layers], exact_zeros=True)
    assert per_layer["nonfinite"].to_list() == [4]
    # 6 pairs of 16 are active and 4 are nobody's: 6 are zero.
    assert per_layer["zero_share"].to_list() == pytest.approx([6 / 16])
    assert per_layer["natural_sparsity"].to_list() == pytest.approx([6 / 16])


SEQUENCES = [[4 + (7 * i + j * j) % 55 for j in range(3 + i % 9)] for i in range(23)]


@pytest.fixture(scope="module")
def llama(make_model):
    return make_model(hidden_act="silu")


def merged(model, shards, config=CONFIG):
    parts = [profile(model, SEQUENCES, [1], config, shard, shards) for shard in range(shards)]
    return merge([p[0] for p in parts], [p[1] for p in parts], exact_zeros=False)


@pytest.mark.parametrize("shards", [2, 7, 40])
def test_the_number_of_shards_changes_no_byte(llama, tmp_path, manifest, shards):
    files = []
    for count in (1, shards):
        neurons, layers = merged(llama, count)
        for table, frame in ((NEURONS, neurons), (LAYERS, layers)):
            files.append(tmp_path / f"{count}-{table.name}")
            table.write(files[-1], frame, manifest)
    assert files[0].read_bytes() == files[2].read_bytes()
    assert files[1].read_bytes() == files[3].read_bytes()


def test_the_batch_size_changes_no_count_and_sums_by_rounding_only(llama):
    one, _ = merged(llama, 1)
    other, _ = merged(llama, 1, CONFIG.model_copy(update={"batch_size": 1}))
    assert one["tokens"].equals(other["tokens"])
    assert one["active_nonzero"].equals(other["active_nonzero"])
    for name in ("sum_abs", "sum_square", "max_abs", "sum_contribution"):
        assert one[name].to_numpy() == pytest.approx(other[name].to_numpy(), rel=1e-4)


def test_a_profile_equals_one_made_token_by_token(llama):
    """An oracle that runs each sequence alone and adds with numpy."""
    from pipeline.models.views import view

    seen = {0: [], 1: []}
    shape = view(llama)
    hooks = [
        ffn.watch(lambda h, n=n: seen[n].append(h[0].numpy())) for n, ffn in enumerate(shape.ffns)
    ]
    with torch.inference_mode():
        for row in SEQUENCES:
            llama(torch.tensor([row]))
    for hook in hooks:
        hook.remove()
    neurons, layers = merged(llama, 1)
    for n, ffn in enumerate(shape.ffns):
        h = np.concatenate(seen[n]).astype(np.float64)
        norms = np.linalg.norm(ffn.down.weight.detach().double().numpy(), axis=0)
        mine = neurons.filter(pl.col("layer") == n)
        assert mine["tokens"].to_list() == [len(h)] * ffn.d_ff
        assert mine["sum_abs"].to_numpy() == pytest.approx(np.abs(h).sum(0), rel=1e-4)
        assert mine["sum_square"].to_numpy() == pytest.approx((h**2).sum(0), rel=1e-4)
        assert mine["max_abs"].to_numpy() == pytest.approx(np.abs(h).max(0), rel=1e-4)
        active = (np.abs(h) * norms > layers["cett_threshold"][n]).sum(0)
        assert np.abs(mine["active_cett"].to_numpy() - active).max() <= 1
        assert mine["active"].equals(mine["active_cett"])


def test_sampling_draws_whole_sequences_in_order_up_to_the_tokens():
    sequences = [[n] * 4 for n in range(100)]
    drawn = [row[0] for row in sampled(sequences, 43)]
    assert len(set(drawn)) == 10 and drawn == sorted(drawn)
    assert sampled(sequences, 43) == sampled(sequences, 43)
    assert len(sampled(sequences, 1)) == 1
    assert sampled(sequences, 10**6) == sequences


def test_sampling_takes_every_kind_of_text_from_a_corpus_that_takes_turns():
    sequences = [[n % 5] * 20 for n in range(4000)]
    kinds = [row[0] for row in sampled(sequences, 4000)]
    assert min(kinds.count(kind) for kind in range(5)) > 25


def test_no_hook_stays_behind(llama):
    profile(llama, SEQUENCES[:2])
    assert not any(module._forward_pre_hooks for module in llama.modules())
