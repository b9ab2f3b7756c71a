"""Masks on models of every architecture against hooks written out by hand."""

from contextlib import ExitStack, contextmanager

import pytest
import torch

from pipeline.methods.masks import Masks
from pipeline.models.forward import CONTINUATION, Forward, Skipped
from pipeline.models.views import FFNView, ModelView, Projection, linear_layers, matrix, view
from tests.small import ONE_A_VIEW

TOKENS = torch.tensor([[0, 0, 9, 20, 33, 4, 7, 5], [1, 40, 41, 42, 10, 11, 12, 13]])
MASK = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1], [1] * 8])
#: Place of every token in its sequence.
PLACES = MASK.cumsum(1) - 1


@contextmanager
def masked(model, forward=None):
    """(Masks, Forward) of a model that is watched during the block."""
    forward = forward or Forward()
    with ExitStack() as ends:
        masks = Masks(view(model), forward, ends)
        ends.enter_context(forward.watching(model))
        yield masks, forward


def logits(model):
    with torch.no_grad():
        return model(input_ids=TOKENS, attention_mask=MASK).logits


def others(model):
    """All linear layers of the blocks but the down projections."""
    layout = view(model)
    downs = [ffn.down.module for ffn in layout.ffns]
    return [m for block in layout.blocks for _, m in linear_layers(block) if m not in downs]


@contextmanager
def by_hand(modules, change):
    """Another input for every one of the modules: `change` of it."""
    hooks = [
        module.register_forward_pre_hook(lambda _m, given: (change(given[0]), *given[1:]))
        for module in modules
    ]
    yield
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_masks_that_keep_everything_change_no_bit(make_model, architecture, activation):
    model = make_model(architecture, hidden_act=activation)
    dense = logits(model)
    none = torch.zeros(1, 1, 24, dtype=torch.bool)
    with masked(model) as (masks, forward):
        for module in others(model):
            masks.inputs(module, lambda x: torch.ones_like(x).bool())
            masks.outputs(module, lambda y: torch.ones_like(y).bool())
        for layer in range(2):
            masks.neurons(layer, lambda seen: Skipped(*[none.expand_as(seen.hidden)] * 3))
        assert torch.equal(logits(model), dense)
        assert all(bool(kept.all()) for kept in forward.kept.values())
        assert len(forward.kept) == len(others(model)) and len(forward.skipped) == 2
        told = [m for s in forward.skipped.values() for m in (s.before, s.gate, s.hidden)]
        assert not any(m.any() for m in told)
    assert torch.equal(logits(model), dense)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_masked_inputs_are_zero_and_told(make_model, architecture):
    model = make_model(architecture, hidden_act="silu")

    def keep(x):
        return x.abs() > 0.4

    read = {}
    with by_hand(others(model), lambda x: torch.where(keep(x), x, torch.zeros(()))):
        wanted = logits(model)
    with masked(model) as (masks, forward), ExitStack() as ends:
        for module in others(model):
            masks.inputs(module, keep)
            # Behind the mask, so it sees what is left.
            hook = module.register_forward_pre_hook(lambda m, given: read.update({m: given[0]}))
            ends.callback(hook.remove)
        assert torch.equal(logits(model), wanted)
    assert not torch.equal(wanted, logits(model))
    assert list(forward.kept) == list(read) and set(read) == set(others(model))
    for module, x in read.items():
        kept = forward.kept[module]
        assert kept.shape[:2] == (2, 8) and not kept.all()
        # Padding's own embedding is zero, and what is zero by itself is not the method's.
        assert torch.equal(kept[MASK.bool()], x.reshape(kept.shape)[MASK.bool()] != 0)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_masked_outputs_are_zero_and_spare_nothing(make_model, architecture):
    model = make_model(architecture, hidden_act="silu")
    module = view(model).ffns[1].inner[0].module
    before = logits(model)
    with masked(model) as (masks, forward):
        masks.outputs(module, lambda y: y > 0)
        made = logits(model)
        assert not forward.kept and not forward.skipped
    hook = module.register_forward_hook(lambda _m, _i, y: torch.where(y > 0, y, torch.zeros(())))
    assert torch.equal(logits(model), made) and not torch.equal(made, before)
    hook.remove()


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_skipped_neurons_are_zero_and_in_one_set_each(make_model, architecture, activation):
    """Live ones only in those that need some of their weights; the sets that are asked for
    overlap."""
    model = make_model(architecture, hidden_act=activation)
    rules = {"before": lambda h: h.roll(1, -1) > 0, "gate": lambda h: h.roll(2, -1) > 0}
    rules["hidden"] = lambda h: h.abs() < 1
    whole = []

    def change(h):
        whole.append(h.reshape(2, 8, 24))
        mask = torch.stack([rule(h) for rule in rules.values()]).any(0)
        return torch.where(mask, torch.zeros(()), h)

    with by_hand([ffn.down.module for ffn in view(model).ffns], change):
        wanted = logits(model)
    with masked(model) as (masks, forward):
        for layer in range(2):
            masks.neurons(
                layer, lambda seen: Skipped(**{n: rule(seen.hidden) for n, rule in rules.items()})
            )
        assert torch.equal(logits(model), wanted)
    for layer, h in enumerate(whole):
        told, live = forward.skipped[layer], h != 0
        before = rules["before"](h)
        assert torch.equal(told.before, before)
        assert torch.equal(told.gate, rules["gate"](h) & live & ~before)
        assert torch.equal(told.hidden, rules["hidden"](h) & live & ~before & ~rules["gate"](h))
        assert all(bool(mask.any()) for mask in (told.before, told.gate, told.hidden))


def states(model):
    """What every block and every linear layer hands on, (2, 8, channels) each."""
    layout, found = view(model), []
    modules = [m for block in layout.blocks for m in (block, *(m for _, m in linear_layers(block)))]
    hooks = [
        module.register_forward_hook(
            lambda _m, _i, o: found.append((o[0] if isinstance(o, tuple) else o).reshape(2, 8, -1))
        )
        for module in modules
    ]
    made = logits(model)
    for hook in hooks:
        hook.remove()
    return [*found, made]


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("start", [4, CONTINUATION])
def test_dense_tokens_are_bit_for_bit_those_of_the_dense_model(make_model, architecture, start):
    """With everything at once, a low rank included; and later tokens are others."""
    model = make_model(architecture, hidden_act="silu")
    dense = states(model)
    forward = Forward(sparse_from=start)
    # Of the rows, not of the sequences: two tokens of the first row are padding.
    forward.contexts = torch.tensor([6, 4]) if start == CONTINUATION else None
    work = PLACES >= 4
    with masked(model, forward) as (masks, _):
        for module in others(model):
            size = len(matrix(module))
            masks.inputs(module, lambda x: x > 0, spread(size), 5)
            masks.outputs(module, lambda y: y < 1)
        for layer in range(2):
            masks.neurons(
                layer,
                lambda seen: Skipped(*[torch.arange(24) % 4 == n for n in range(3)]),
                rest=spread(16),
                extra=5,
            )
        sparse = states(model)
        for module, kept in forward.kept.items():
            assert kept[~work].all() and not kept[work].all(), module
        for told in forward.skipped.values():
            for mask in (told.before, told.gate, told.hidden):
                assert not mask[~work].any() and mask[work].any()
    # Padding sees nothing, and nothing sees it.
    known = MASK.bool()
    assert len(dense) == len(sparse)
    for one, other in zip(dense, sparse, strict=True):
        assert torch.equal(one[known & ~work], other[known & ~work])
    assert not torch.isclose(dense[-1][work], sparse[-1][work]).all(-1).any()


def spread(outputs):
    """What a low-rank path may make of what is left out."""
    return lambda x: x.sum(-1, keepdim=True).expand(*x.shape[:-1], outputs)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_what_is_left_out_may_take_another_way(make_model, architecture):
    """Through the matrix itself, it is as if nothing were masked; through another, it is added."""
    model = make_model(architecture, hidden_act="silu")
    dense = logits(model)
    with masked(model) as (masks, forward):
        for module in others(model):
            masks.inputs(module, lambda x: x > 0.5, through(module), 11)
        for layer, ffn in enumerate(view(model).ffns):
            masks.neurons(
                layer,
                lambda seen: Skipped(hidden=seen.hidden < 0.1),
                rest=through(ffn.down.module),
                extra=13,
            )
        torch.testing.assert_close(logits(model), dense, rtol=1e-4, atol=1e-4)
        downs = {ffn.down.module for ffn in view(model).ffns}
        assert forward.extra == {m: 11 for m in others(model)} | dict.fromkeys(downs, 13)

    ffn, seen = view(model).ffns[0], {}
    module = ffn.inner[0].module
    hook = module.register_forward_hook(lambda _m, given, y: seen.update(x=given[0], y=y))
    logits(model)
    x, y = seen["x"], seen["y"]
    hook.remove()
    with masked(model) as (masks, _):
        masks.inputs(module, lambda x: x > 0.5, spread(y.shape[-1]), 11)
        hook = module.register_forward_hook(lambda _m, _i, y: seen.update(y=y))
        logits(model)
        hook.remove()
    lost = torch.where(x > 0.5, torch.zeros(()), x)
    bias = 0 if module.bias is None else module.bias
    wanted = (x - lost) @ matrix(module).T + bias + lost.sum(-1, keepdim=True)
    torch.testing.assert_close(seen["y"], wanted, rtol=1e-4, atol=1e-5)


def through(module):
    """What the module's own matrix makes of it."""
    return lambda x: x @ matrix(module).T


def visible(ffn):
    """What rules may see of an FFN beside h: the residual stream where a norm stands before it."""
    return ("gate", "gate_input", "up", *(["residual"] if ffn.before is not None else []))


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_rules_see_what_the_ffn_computed(make_model, architecture):
    model = make_model(architecture, hidden_act="silu")
    ffn, block = view(model).ffns[1], view(model).blocks[1]
    own, seen = {}, []
    names, hooks = list(visible(ffn)), []
    if ffn.before is not None:
        note = ffn.before.register_forward_pre_hook
        hooks.append(note(lambda _m, given: own.update(residual=given[0])))
    hooks += [
        ffn.inner[0].module.register_forward_pre_hook(lambda _m, given: own.update(x=given[0])),
        ffn.watch(lambda h: own.update(hidden=h)),
    ]
    with masked(model) as (masks, _):
        masks.neurons(1, lambda given: seen.append(given) or Skipped(), sees=names)
        logits(model)
    for hook in hooks:
        hook.remove()
    (given,), own = seen, {name: value.reshape(2, 8, -1) for name, value in own.items()}
    assert torch.equal(given.hidden, own["hidden"])
    if "residual" in names:
        assert torch.equal(given.residual, own["residual"])
    with torch.no_grad():
        first, last = (
            torch.nn.functional.linear(own["x"], part.weight, part.bias)
            for part in (ffn.inner[0], ffn.inner[-1])
        )
    torch.testing.assert_close(given.gate_input, first)
    torch.testing.assert_close(given.gate, torch.nn.functional.silu(first))
    torch.testing.assert_close(given.up, last)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in block.modules())


def test_rules_see_only_what_they_ask_for(make_model):
    model, seen = make_model(), []
    with masked(model) as (masks, forward):
        masks.neurons(0, lambda given: seen.append(given) or Skipped())
        logits(model)
        told = forward.skipped[0]
    assert seen[0].gate is seen[0].gate_input is seen[0].up is seen[0].residual is None
    assert told.before is told.gate is told.hidden is None


def test_a_residual_stream_without_a_norm_is_an_error(make_model):
    model = make_model("OPTForCausalLM", do_layer_norm_before=False)
    with masked(model) as (masks, _), pytest.raises(ValueError, match="no norm"):
        masks.neurons(0, lambda seen: Skipped(), sees=("residual",))


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_the_inputs_of_a_down_projection_are_neurons(make_model, architecture):
    model = make_model(architecture)
    with masked(model) as (masks, _), pytest.raises(ValueError, match="neurons"):
        masks.inputs(view(model).ffns[1].down.module, lambda x: x > 0)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_no_hook_outlasts_the_masks(make_model, architecture):
    model = make_model(architecture, hidden_act="silu")
    dense = logits(model)
    with pytest.raises(RuntimeError, match="stopped"), masked(model) as (masks, _):
        for module in others(model):
            masks.inputs(module, lambda x: x > 0, spread(len(matrix(module))), 1)
            masks.outputs(module, lambda y: y > 0)
        masks.neurons(
            0,
            lambda seen: Skipped(before=seen.hidden > 0),
            sees=visible(view(model).ffns[0]),
            rest=spread(16),
        )
        assert not torch.equal(logits(model), dense)
        raise RuntimeError("stopped")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(logits(model), dense)


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "OPTForCausalLM"])
def test_masks_work_without_a_forward_that_watches(make_model, architecture):
    """Blocks that are run one by one are no pass of the model."""
    model = make_model(architecture, hidden_act="silu")
    layout = view(model)

    def attach(masks):
        masks.inputs(others(model)[0], lambda x: x.abs() > 0.5)
        masks.neurons(0, lambda seen: Skipped(hidden=seen.hidden < 0), sees=("gate",))

    with masked(model) as (masks, _):
        attach(masks)
        wanted = logits(model)
    forward = Forward()
    with forward.watching(model):
        model(input_ids=TOKENS[:, :3])
    with ExitStack() as ends:
        # What was known of an earlier pass is no matter.
        attach(Masks(layout, forward, ends))
        assert torch.equal(logits(model), wanted)


def test_values_that_are_not_finite_are_never_hidden():
    """Comparisons with what is no number are false, so rules of thresholds mark it."""
    inner = tuple(Projection(torch.nn.Linear(2, 4)) for _ in range(2))
    down = torch.nn.Linear(4, 2)
    layout = ModelView(
        [FFNView(inner, Projection(down), "relu", down, down)], [torch.nn.Identity()]
    )
    h = torch.tensor([[[float("nan"), float("inf"), 1.0, 0.2]]])
    seen = []
    with ExitStack() as ends:
        masks = Masks(layout, Forward(), ends)
        masks.neurons(0, lambda given: Skipped(hidden=~(given.hidden.abs() > 0.5)))
        masks.inputs(inner[0].module, lambda x: x.abs() > 0.5)
        ends.callback(layout.ffns[0].watch(seen.append).remove)
        down(h)
        watch = inner[0].module.register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
        ends.callback(watch.remove)
        inner[0].module(h[..., [0, 3]])
    assert seen[0].isnan().tolist() == [[[True, False, False, False]]]
    assert seen[0].isinf().tolist() == [[[False, True, False, False]]]
    assert seen[0][0, 0, 2:].tolist() == [1.0, 0.0]
    assert seen[1].isnan().tolist() == [[[True, False]]] and seen[1][0, 0, 1] == 0


def test_a_channel_that_is_zero_by_itself_is_not_the_methods():
    module, forward = torch.nn.Linear(3, 2), Forward()
    with ExitStack() as ends:
        Masks(ModelView([], []), forward, ends).inputs(module, lambda x: x.abs() > 0.5)
        module(torch.tensor([[[1.0, 0.1, 0.0], [-0.0, 0.5, -0.6]]]))
    assert forward.kept[module].tolist() == [[[True, False, True], [True, False, True]]]
    assert forward.live[module].tolist() == [[[True, False, False], [False, False, True]]]
    with ExitStack() as ends:
        # Of a rule that would read zeros, too.
        Masks(ModelView([], []), forward, ends).inputs(module, lambda x: x > -0.5)
        module(torch.tensor([[[1.0, 0.1, 0.0], [-0.0, 0.5, -0.6]]]))
    assert forward.kept[module].tolist() == [[[True, True, True], [True, True, False]]]
    assert forward.live[module].tolist() == [[[True, True, False], [False, True, False]]]


def test_gradients_pass_where_values_do():
    module = torch.nn.Linear(3, 2, bias=False)
    layout = ModelView([], [])
    x = torch.tensor([[1.0, 0.1, -2.0]], requires_grad=True)
    with ExitStack() as ends:
        Masks(layout, Forward(), ends).inputs(module, lambda x: x.abs() > 0.5)
        module(x).sum().backward()
    wanted = module.weight.detach().sum(0)
    assert x.grad.tolist() == [[float(wanted[0]), 0.0, float(wanted[2])]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_what_it_is(make_model, dtype):
    model = make_model(hidden_act="silu").to(dtype)
    seen = []
    with masked(model) as (masks, _):
        masks.inputs(others(model)[0], lambda x: x > 0)
        masks.neurons(0, lambda given: Skipped(hidden=given.hidden < 0))
        with by_hand(
            [others(model)[0], view(model).ffns[0].down.module], lambda x: seen.append(x) or x
        ):
            assert logits(model).dtype == dtype
    assert [x.dtype for x in seen] == [dtype] * 2 and all(bool((x >= 0).all()) for x in seen)
