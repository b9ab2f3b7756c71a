"""Profiles worked out by hand on a 4-neuron FFN, and invariants on a small Llama."""

import copy

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.models.loading import load
from pipeline.models.resolve import resolve
from pipeline.models.views import FFNView, view
from pipeline.numerics import compiled, histograms
from pipeline.profiling.merge import layers_of, merge_channels, merge_histograms, merge_neurons
from pipeline.profiling.sample import profile_sample
from pipeline.profiling.shard import blocks_of_shard, magnitudes, of_block, profile_shard
from pipeline.tables.neurons import (
    CHANNEL_BLOCKS,
    CHANNELS,
    HISTOGRAMS,
    LAYERS,
    NEURON_BLOCKS,
    NEURONS,
)
from pipeline.tables.sampled import NORMS, THRESHOLDS

CONFIG = Profile(blocks=2, batch_size=2, shards=1, cett=0.3, cett_tokens=64)


class Made:
    """A profile of `shards` jobs: `sample`, the shards' tables, and what they merge into."""

    def __init__(self, model, sequences, special=(), config=CONFIG, shards=1, exact_zeros=True):
        sample = profile_sample(model, sequences, special, config)
        self.thresholds = THRESHOLDS.frame(sample["thresholds"])
        self.norms = NORMS.frame(sample["norms"])
        above = magnitudes(self.thresholds, self.norms)
        found = [
            profile_shard(model, sequences, special, above, config, shard, shards)
            for shard in range(shards)
        ]
        tables = NEURON_BLOCKS, CHANNEL_BLOCKS, HISTOGRAMS
        parts = [[t.frame(f) for t, f in zip(tables, one, strict=True)] for one in found]
        blocks, channels, histograms = zip(*parts, strict=True)
        self.blocks = pl.concat(blocks)
        self.neurons = NEURONS.frame(merge_neurons(blocks, config.blocks, self.norms, exact_zeros))
        self.layers = LAYERS.frame(layers_of(self.neurons, self.thresholds))
        self.channels = CHANNELS.frame(merge_channels(channels, config.blocks))
        self.histograms = HISTOGRAMS.frame(merge_histograms(histograms))

    def inputs(self, layer, linears):
        """Rows of one linear input."""
        return self.channels.filter(pl.col("layer") == layer, pl.col("linears") == linears)

    def histogram(self, layer, tensor):
        """Rows of one tensor."""
        return self.histograms.filter(pl.col("layer") == layer, pl.col("tensor") == tensor)


def test_sums_of_two_blocks_by_hand(toy):
    # Block 0: token 0; block 1: tokens 0, 1 and 3, 2, 2.
    blocks = Made(toy, [[0], [0, 1], [3, 2, 2]]).blocks
    assert blocks["block"].to_list() == [0] * 4 + [1] * 4
    assert blocks["layer"].to_list() == [0] * 8
    assert blocks["neuron"].to_list() == [0, 1, 2, 3] * 2
    assert blocks["tokens"].to_list() == [1] * 4 + [5] * 4
    assert blocks["active_nonzero"].to_list() == [1, 1, 1, 0, 2, 3, 1, 0]
    assert blocks["sum_abs"].to_list() == [3, 4, 12, 0, 5, 8, 12, 0]
    assert blocks["sum_square"].to_list() == [9, 16, 144, 0, 13, 24, 144, 0]
    assert blocks["max_abs"].to_list() == [3, 4, 12, 0, 3, 4, 12, 0]
    assert blocks["nonfinite"].to_list() == [0] * 8


def test_weight_norms_by_hand(toy):
    # Squares of gate, up (both halved) and down: (11 + 31) / 4 + 1, and so on.
    norms = Made(toy, [[0]]).norms
    wanted = np.sqrt([(11 + 31) / 4 + 1, (21 + 55) / 4 + 1, (157 + 3) / 4 + 1, (3 + 324) / 4 + 4])
    assert norms["down_norm"].to_list() == [1, 1, 1, 2]
    assert norms["weight_norm"].to_numpy() == pytest.approx(wanted, rel=1e-12)


def test_active_by_cett_by_hand(toy):
    # Token 0 alone: contributions 3, 4, 12. At 0.3 only the first may go (3/13 = 0.23).
    made = Made(toy, [[0, 0, 0]], exact_zeros=False)
    assert made.layers["cett"].to_list() == pytest.approx([3 / 13])
    assert 3 <= made.layers["cett_threshold"][0] < 4
    assert made.layers["cett_tokens"].to_list() == [3]
    assert made.neurons["active_cett"].to_list() == [0, 3, 3, 0]
    assert made.neurons["active"].to_list() == [0, 3, 3, 0]
    assert made.neurons["active_nonzero"].to_list() == [3, 3, 3, 0]


def test_special_tokens_and_padding_leave_no_trace(toy):
    plain = Made(toy, [[0, 3], [1]])
    special = Made(toy, [[4, 0, 3, 4], [4, 1]], special=[4])
    assert plain.neurons.equals(special.neurons)
    assert plain.histogram(0, "mlp.down_proj").equals(special.histogram(0, "mlp.down_proj"))


def test_merged_profile_by_hand(toy):
    made = Made(toy, [[0, 1], [3, 2, 2], [0]])
    neurons, per_layer = made.neurons, made.layers
    assert neurons["tokens"].to_list() == [6] * 4
    assert neurons["active"].to_list() == neurons["active_nonzero"].to_list() == [3, 4, 2, 0]
    assert neurons["sum_abs"].to_list() == [8, 12, 24, 0]
    assert neurons["sum_contribution"].to_list() == [8, 12, 24, 0]
    assert neurons["max_abs"].to_list() == [3, 4, 12, 0]
    # 9 active of 24 pairs.
    assert per_layer["natural_sparsity"].to_list() == [15 / 24]
    assert per_layer["zero_share"].to_list() == [15 / 24]
    assert per_layer["tokens"].to_list() == [6]


def test_nonfinite_activations_are_counted_and_enter_no_sum(toy):
    broken = copy.deepcopy(toy)
    mlp = broken.model.layers[0].mlp
    # Tokens are one-hot rows times 2: twice 3e38 is beyond float32, at the two tokens 0 alone; at
    # the other two gate and up of neuron 0 are 2.
    mlp.gate_proj.weight.data[0] = torch.tensor([4.0, 1, 1, 1])
    mlp.up_proj.weight.data[0] = torch.tensor([3e38, 1, 1, 1])
    made = Made(broken, [[0, 0, 1, 3]])
    blocks, per_layer = made.neurons, made.layers
    assert blocks["nonfinite"].to_list() == [2, 0, 0, 0]
    assert blocks["active_nonzero"].to_list() == [2, 4, 2, 0]
    assert blocks["sum_abs"].to_list() == [8, 12, 24, 0]
    assert blocks["sum_contribution"].to_list() == [8, 12, 24, 0]
    assert per_layer["nonfinite"].to_list() == [2]
    # 8 pairs of 16 are active and 2 are nobody's: 6 are zero.
    assert per_layer["zero_share"].to_list() == pytest.approx([6 / 16])
    assert per_layer["natural_sparsity"].to_list() == pytest.approx([6 / 16])


@given(st.integers(0, 200), st.integers(1, 20), st.integers(1, 12))
def test_shards_hold_every_block_and_blocks_every_sequence_once_in_order(sequences, blocks, shards):
    held = [block for n in range(shards) for block in blocks_of_shard(blocks, n, shards)]
    assert held == list(range(blocks))
    rows = list(range(sequences))
    parts = [rows[of_block(sequences, blocks, block)] for block in held]
    assert [row for part in parts for row in part] == rows
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


SEQUENCES = [[4 + (7 * i + j * j) % 55 for j in range(3 + i % 9)] for i in range(23)]


@pytest.fixture(scope="module")
def llama(make_model):
    return make_model(hidden_act="silu")


def merged(model, shards=1, config=CONFIG):
    config = config.model_copy(update={"blocks": 9})
    return Made(model, SEQUENCES, [1], config, shards, exact_zeros=False)


@pytest.mark.parametrize("shards", [2, 7, 40])
def test_the_number_of_shards_changes_no_byte(llama, tmp_path, manifest, shards):
    tables = (NEURONS, LAYERS, CHANNELS, HISTOGRAMS)
    files = []
    for count in (1, shards):
        made = merged(llama, count)
        for table in tables:
            files.append(tmp_path / f"{count}-{table.name}")
            table.write(files[-1], getattr(made, table.name), manifest)
    for one, many in zip(files[:4], files[4:], strict=True):
        assert one.read_bytes() == many.read_bytes(), one.name


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_batch_size_moves_sums_by_rounding_and_counts_at_boundaries_alone(
    make_model, activation, batch
):
    """Against batches of two: a sum by 1e-4 of itself at most, and of the values that are counted
    by a threshold or a bin fewer than one in a thousand."""
    model = make_model(hidden_act=activation)
    one = merged(model)
    other = merged(model, config=CONFIG.model_copy(update={"batch_size": batch}))
    for table in ("neurons", "channels"):
        mine, theirs = getattr(one, table), getattr(other, table)
        assert mine["tokens"].equals(theirs["tokens"])
        assert mine["active_nonzero"].equals(theirs["active_nonzero"])
        for name in ("sum_abs", "sum_square", "max_abs"):
            assert mine[name].to_numpy() == pytest.approx(theirs[name].to_numpy(), rel=1e-4)
    moved = (one.neurons["active_cett"] - other.neurons["active_cett"]).abs().sum()
    assert moved <= 1e-3 * one.neurons["tokens"].sum()
    key = ["layer", "tensor", "sign", "low"]
    both = one.histograms.join(other.histograms, on=key, how="full", coalesce=True).fill_null(0)
    assert both["count"].sum() == both["count_right"].sum()
    assert (both["count"] - both["count_right"]).abs().sum() <= 1e-3 * both["count"].sum()


ARCHITECTURES_SEEN = {
    "LlamaForCausalLM": [
        "self_attn.q_proj,self_attn.k_proj,self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj,mlp.up_proj", "mlp.down_proj",
    ],
    "Phi3ForCausalLM": [
        "self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj",
    ],
    "OPTForCausalLM": [
        "self_attn.q_proj,self_attn.k_proj,self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2",
    ],
    "GPTNeoXForCausalLM": [
        "attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h",
    ],
    "GPT2LMHeadModel": ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
}  # fmt: skip


@pytest.mark.parametrize("architecture", ARCHITECTURES_SEEN)
def test_a_profile_equals_one_made_token_by_token(make_model, architecture):
    """An oracle that runs each sequence alone, keeps all and adds with numpy."""
    model = make_model(architecture, hidden_act="silu")
    layout = view(model)
    seen = {}
    hooks = []
    for n, (block, ffn) in enumerate(zip(layout.blocks, layout.ffns, strict=True)):
        for name, module in block.named_modules():
            if hasattr(module, "weight") and module.weight.ndim == 2:

                def keep(_module, given, key=(n, name)):
                    seen.setdefault(key, []).append(given[0].flatten(0, -2).numpy())

                hooks.append(module.register_forward_pre_hook(keep))

        def output(_module, _given, made, n=n):
            seen.setdefault((n, "ffn.output"), []).append(made.flatten(0, -2).numpy())

        hooks.append(ffn.down.module.register_forward_hook(output))
    with torch.inference_mode():
        for row in SEQUENCES:
            model.base_model(input_ids=torch.tensor([row]))
    for hook in hooks:
        hook.remove()
    made = Made(model, SEQUENCES, exact_zeros=False)
    names = ARCHITECTURES_SEEN[architecture]
    assert made.channels["linears"].unique(maintain_order=True).to_list() == names[:3]
    for n, ffn in enumerate(layout.ffns):
        for linears in names:
            for linear in linears.split(","):
                values = np.concatenate(seen[n, linear]).astype(np.float64)
                mine = made.inputs(n, linears)
                if linear == names[-1]:
                    mine = made.neurons.filter(pl.col("layer") == n)
                assert_moments(mine, values)
                assert_quantiles(made.histogram(n, linears), values)
        norms = np.linalg.norm(ffn.down.weight.detach().double().numpy(), axis=0)
        active = (np.abs(values) * norms > made.layers["cett_threshold"][n]).sum(0)
        neurons = made.neurons.filter(pl.col("layer") == n)
        assert np.abs(neurons["active_cett"].to_numpy() - active).max() <= 1
        assert neurons["active"].equals(neurons["active_cett"])
        x = torch.from_numpy(np.concatenate(seen[n, names[2].split(",")[0]]))
        with torch.inference_mode():
            first, *rest = (torch.nn.functional.linear(x, p.weight, p.bias) for p in ffn.inner)
            inner = (
                {"ffn.gate": first, "ffn.activation": ffn.act(first), "ffn.up": rest[0]}
                if rest
                else {"ffn.up": first}
            )
        for tensor, wanted in inner.items():
            assert_quantiles(made.histogram(n, tensor), wanted.double().numpy())
        assert_quantiles(made.histogram(n, "ffn.output"), np.concatenate(seen[n, "ffn.output"]))
    assert set(made.histograms["tensor"]) == {*names, *inner, "ffn.output"}


def assert_moments(mine, values):
    assert mine["tokens"].to_list() == [len(values)] * values.shape[1]
    assert mine["sum_abs"].to_numpy() == pytest.approx(np.abs(values).sum(0), rel=1e-4)
    assert mine["sum_square"].to_numpy() == pytest.approx((values**2).sum(0), rel=1e-4)
    assert mine["max_abs"].to_numpy() == pytest.approx(np.abs(values).max(0), rel=1e-4)


def assert_quantiles(histogram, values):
    """Within the promised error, and a little rounding of the forward pass."""
    assert histogram["count"].sum() == values.size
    ordered = np.sort(np.abs(values).flatten())
    for share in (0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0):
        exact = ordered[int(np.ceil(share * ordered.size)) - 1]
        near = histograms.RELATIVE_ERROR + 0.005
        assert histograms.quantile(histogram, share) == pytest.approx(exact, rel=near), share


@pytest.fixture(params=["as built", "torch"])
def loops(request, monkeypatch):
    """The loops that are built here, and those of torch, which do without a compiler."""
    if request.param == "torch":
        monkeypatch.setattr(compiled, "available", lambda: False)


@pytest.mark.usefixtures("loops")
def test_sums_of_many_tokens_keep_the_error_that_is_told():
    from pipeline.profiling.statistics import Moments

    values = np.random.default_rng(0).lognormal(sigma=3, size=(20_000, 8)).astype(np.float32)
    moments = Moments(8, torch.full((8,), 2.0))
    for part in np.split(values, [1, 130, 5000]):
        moments.add(torch.from_numpy(part))
    found, exact = moments.columns(), values.astype(np.float64)
    assert np.abs(found["sum_abs"] / exact.sum(0) - 1).max() < 1e-5
    assert np.abs(found["sum_square"] / (exact**2).sum(0) - 1).max() < 1e-5
    assert (found["active_cett"] == (values > 2).sum(0)).all()
    assert (found["active_nonzero"] == 20_000).all() and (found["max_abs"] == exact.max(0)).all()


@pytest.mark.usefixtures("loops")
def test_zeros_are_counted_where_only_some_channels_have_any():
    from pipeline.profiling.statistics import Moments

    moments = Moments(3)
    moments.add(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    moments.add(torch.tensor([[1.0, 0.0, -3.0], [float("nan"), 0.0, 6.0]]))
    found = moments.columns()
    assert found["active_nonzero"].tolist() == [3, 2, 4]
    assert found["nonfinite"].tolist() == [1, 0, 0]


def test_counts_are_the_same_with_and_without_the_compiled_library(llama, monkeypatch):
    one = Made(llama, SEQUENCES)
    monkeypatch.setattr(compiled, "available", lambda: False)
    other = Made(llama, SEQUENCES)
    assert one.histograms.equals(other.histograms)
    for mine, theirs in ((one.neurons, other.neurons), (one.channels, other.channels)):
        sums = [name for name in mine.columns if name.startswith("sum_")]
        assert mine.drop(sums).equals(theirs.drop(sums))
        for name in sums:
            assert mine[name].to_numpy() == pytest.approx(theirs[name].to_numpy(), rel=1e-5)


def test_activations_are_the_same_where_no_module_computes_them(make_model, monkeypatch):
    model = make_model(hidden_act="silu")
    one = Made(model, SEQUENCES).histograms
    monkeypatch.setattr(FFNView, "act_module", None)
    assert one.equals(Made(model, SEQUENCES).histograms)


def test_no_hook_stays_behind(llama):
    Made(llama, SEQUENCES[:2])
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in llama.modules())


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "Phi3ForCausalLM", "GPT2LMHeadModel"])
@pytest.mark.parametrize("memory", ["1KB", "20KB"])
def test_a_model_whose_layers_stay_on_disk_gives_the_same_profile(
    save_model, tmp_path, architecture, memory
):
    """Nothing of it fits, or some layers do."""
    folder = save_model(tmp_path / "backbone", architecture=architecture, hidden_act="silu")
    whole = Model(source=str(folder))
    parted = whole.model_copy(update={"max_memory": {"cpu": memory}})
    record = resolve("mine", whole)
    model = load(parted, record, whole=False)[0]
    assert any(p.device.type == "meta" for p in model.parameters())
    one, other = Made(load(whole, record)[0], SEQUENCES), Made(model, SEQUENCES)
    for table in (NEURONS, LAYERS, CHANNELS, HISTOGRAMS, NORMS, THRESHOLDS):
        assert getattr(one, table.name).equals(getattr(other, table.name)), table.name


def test_a_model_in_bfloat16_is_measured_to_its_rounding(make_model):
    """Sums are of what bfloat16 activations are; a bin holds two of their values."""
    whole = Made(make_model(hidden_act="silu"), SEQUENCES, exact_zeros=False)
    half = Made(make_model(hidden_act="silu").bfloat16(), SEQUENCES, exact_zeros=False)
    assert half.neurons["tokens"].equals(whole.neurons["tokens"])
    for name in ("sum_abs", "sum_square", "max_abs", "sum_contribution"):
        mine, theirs = half.neurons[name].to_numpy(), whole.neurons[name].to_numpy()
        assert mine == pytest.approx(theirs, rel=0.1, abs=0.02 * theirs.max())
    assert half.layers["natural_sparsity"].to_list() == pytest.approx(
        whole.layers["natural_sparsity"].to_list(), abs=0.02
    )
    for tensor in ("mlp.down_proj", "ffn.gate"):
        medians = [histograms.quantile(p.histogram(0, tensor), 0.5) for p in (half, whole)]
        assert medians[0] == pytest.approx(medians[1], rel=0.05)


def test_a_batch_that_a_gpu_does_not_hold_is_divided_and_counts_once(make_model):
    """Batches of more than two sequences fail behind the first block, which has counted them."""
    model = make_model()
    rows = [[1, *(4 + (7 * i + j * j) % 55 for j in range(3 + i % 9))] for i in range(23)]
    config = CONFIG.model_copy(update={"batch_size": 5})
    above = [np.full(24, 0.05)] * 2
    whole = profile_shard(model, rows, [1], above, config, 0, 1)
    failed = []

    def limit(_module, given):
        if len(given[0]) > 2:
            failed.append(len(given[0]))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    hook = model.model.layers[1].register_forward_pre_hook(limit)
    divided = profile_shard(model, rows, [1], above, config, 0, 1)
    hook.remove()
    assert failed.count(5) == 4
    for one, other in zip(whole, divided, strict=True):
        assert one.columns == other.columns and len(one) == len(other)
    for one, other in zip(whole[:2], divided[:2], strict=True):
        for name in one.columns:
            if one[name].dtype.is_numeric():
                np.testing.assert_allclose(one[name], other[name], rtol=1e-5)
            else:
                assert one[name].equals(other[name])
