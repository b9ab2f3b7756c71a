"""Blocks run one by one against a pass of the whole model."""

import functools

import pytest
import torch

from pipeline.models.batches import batches
from pipeline.models.blocks import Blocks
from pipeline.models.views import linear_layers, view
from pipeline.registry import ARCHITECTURES

#: Two batches; the shorter sequences of each are padded.
SEQUENCES = [[1, 5, 9, 20], [1, 40], [1, 7, 8, 33, 4, 60, 12], [1, 41, 42, 10, 11], [1, 9, 2]]
SPECIAL = (1, 2)
#: The norm behind the last block.
NORMS = {
    "GPT2LMHeadModel": "transformer.ln_f",
    "GPTNeoXForCausalLM": "gpt_neox.final_layer_norm",
    "OPTForCausalLM": "model.decoder.final_layer_norm",
}


@pytest.fixture
def made(make_model):
    """A function: architecture and size of the batches -> (model, its Blocks of the sequences)."""

    def make(architecture="LlamaForCausalLM", size=3, **overrides):
        model = make_model(architecture, hidden_act="silu", num_hidden_layers=3, **overrides)
        rows = list(batches(SEQUENCES, size, SPECIAL, "cpu"))
        return model, Blocks(model, view(model).blocks, rows)

    return make


def plain(model, batch):
    """What reaches every block, what it hands on, and the last hidden state, of a plain pass."""
    reached, handed = [], []

    def note(_module, args, kwargs, output):
        reached.append(args[0] if args else kwargs["hidden_states"])
        handed.append(output[0] if isinstance(output, tuple) else output)

    hooks = [b.register_forward_hook(note, with_kwargs=True) for b in view(model).blocks]
    with torch.inference_mode():
        last = model.base_model(batch.tokens, attention_mask=batch.attention).last_hidden_state
    for hook in hooks:
        hook.remove()
    return reached, handed, last


@pytest.mark.parametrize(
    ("architecture", "size"), [*((name, 3) for name in ARCHITECTURES), ("LlamaForCausalLM", 1)]
)
def test_blocks_one_by_one_are_the_whole_model_bit_for_bit(made, architecture, size):
    model, blocks = made(architecture, size)
    hidden = blocks.first
    for layer in range(3):
        for batch, given in zip(blocks.batches, hidden, strict=True):
            assert torch.equal(given, plain(model, batch)[0][layer])
        hidden = blocks.run(layer, hidden)
    path = NORMS.get(architecture, "model.norm")
    norm = functools.reduce(getattr, path.split("."), model)
    for batch, given in zip(blocks.batches, hidden, strict=True):
        _, handed, last = plain(model, batch)
        assert torch.equal(given, handed[-1])
        with torch.inference_mode():
            assert torch.equal(norm(given), last)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_block_may_be_run_again_and_with_other_inputs(made, architecture):
    model, blocks = made(architecture)
    before = [given.clone() for given in blocks.first]
    once, again = (blocks.run(0, blocks.first) for _ in range(2))
    assert all(map(torch.equal, once, again)) and all(map(torch.equal, before, blocks.first))
    changed = blocks.run(1, [given * 2 for given in once])
    assert not any(map(torch.equal, changed, blocks.run(1, once)))
    view(model).ffns[0].zero(torch.ones(24, dtype=torch.bool))
    assert not any(map(torch.equal, blocks.run(0, blocks.first), once))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_changes_nothing_that_counts(made, architecture):
    """A sequence in a batch is the sequence alone, up to the order of sums."""
    _, together = made(architecture, 5)
    _, alone = made(architecture, 1)
    states = []
    for blocks in (together, alone):
        hidden = blocks.first
        for layer in range(3):
            hidden = blocks.run(layer, hidden)
        states.append(
            {
                row: values[place][batch.counted[place]]
                for batch, values in zip(blocks.batches, hidden, strict=True)
                for place, row in enumerate(batch.rows)
            }
        )
    assert set(states[0]) == set(states[1]) == set(range(len(SEQUENCES)))
    for row, values in states[0].items():
        torch.testing.assert_close(values, states[1][row], rtol=1e-4, atol=1e-4)


def test_counted_tokens_are_those_of_all_batches_in_order(made):
    _, blocks = made()
    values = [batch.tokens[..., None].float() for batch in blocks.batches]
    # Longest first; start and end tokens do not count.
    wanted = [7, 8, 33, 4, 60, 12, 41, 42, 10, 11, 5, 9, 20, 9, 40]
    assert blocks.counted(values).flatten().tolist() == wanted
    # Some architectures hand values on without their sequences.
    flat = [value.reshape(-1, 1) for value in values]
    assert blocks.counted(flat).flatten().tolist() == wanted


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_inputs_are_what_the_modules_read_batch_by_batch(made, architecture):
    model, blocks = made(architecture)
    layout = view(model)
    hidden = blocks.run(0, blocks.first)
    modules = [module for _, module in linear_layers(layout.blocks[1])]
    with blocks.inputs(modules) as found:
        blocks.run(1, hidden)
    after = blocks.run(1, hidden)
    own = {module: [] for module in modules}
    hooks = [
        module.register_forward_pre_hook(lambda which, given: own[which].append(given[0]))
        for module in modules
    ]
    for batch in blocks.batches:
        plain(model, batch)
    for hook in hooks:
        hook.remove()
    assert set(found) == set(modules)
    for module in modules:
        assert len(found[module]) == len(blocks.batches) == 2
        assert all(map(torch.equal, found[module], own[module]))
    assert len(after) == 2
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_no_hook_outlasts_a_pass_that_fails(make_model):
    model = make_model()
    rows = list(batches([[1, 9999]], 1, SPECIAL, "cpu"))
    with pytest.raises(IndexError):
        Blocks(model, view(model).blocks, rows)
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_inputs_of_a_run_that_fails_leave_no_hook(made):
    model, blocks = made()
    module = view(model).ffns[0].down.module
    with pytest.raises(RuntimeError), blocks.inputs([module]):
        blocks.run(0, [given[..., :3] for given in blocks.first])
    assert not any(m._forward_pre_hooks for m in model.modules())
