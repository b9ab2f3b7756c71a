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
from pipeline.models.sparsity import Meter, figures
from pipeline.models.views import FFNView, ModelView, Projection, linear_layers, matrix, view
from pipeline.tables.samples import COUNTS
from tests.small import ONE_A_VIEW

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
    # inf * 0 makes h of neuron 0 no number, twice; the step after it is past an end.
    assert meter.counts()[0]["nonfinite"] == 2
    assert 0 <= figures(meter.counts())["total"]["neuron_sparsity"] <= 1


def test_no_hook_stays_behind_even_after_an_error(measure, toy):
    with pytest.raises(IndexError):
        measure(([[99]],))
    assert not any(m._forward_pre_hooks for m in toy.modules())


def test_a_finite_h_whose_sum_is_not_finite_counts_as_finite(measure, toy):
    toy.up.weight.data[:] = 3e38
    toy.gate.weight.data[:] = 1.0
    assert measure(([[FIRST, SECOND]],)).counts()[0]["nonfinite"] == 0


def test_h_of_half_precision_is_counted_exactly(measure, toy):
    """Sums in half precision are wrong beyond 2048, and overflow."""
    toy.values = toy.values.half() * 200
    toy.half()
    (row,) = measure(([[FIRST, SECOND] * 3000],)).counts()
    assert (row["tokens"], row["zeros"], row["nonfinite"]) == (6000, 12000, 0)
    assert row["ffn_spared_total"] == 12000 * 4


def test_rows_of_counts_are_whole_numbers_of_the_table(measure):
    rows = measure(([[FIRST, SECOND]],), dropped=[1]).counts()
    frame = COUNTS.frame(
        [{"task": "any", "start": 0, "stop": 1, "halved": 0, **row} for row in rows]
    )
    assert frame.drop("task", "start", "stop", "halved").to_dicts() == rows
    (row,) = rows
    assert (row["layer"], row["tokens"], row["zeros"], row["skipped"]) == (0, 2, 5, 2)
    assert (row["neurons"], row["ffn_weights"], row["linear_weights"]) == (4, 24, 32)


def test_a_model_outside_of_its_forward_is_an_error(toy):
    ffn = FFNView(
        (Projection(toy.gate), Projection(toy.up)), Projection(toy.down), "relu", toy, toy
    )
    meter = Meter(ModelView([ffn], [toy]), Forward())
    with meter.watching(torch.nn.Identity()), pytest.raises(ValueError, match="watching"):
        toy(input_ids=torch.tensor([[FIRST]]))


def test_a_gate_mask_spares_the_other_row_and_the_column_of_live_neurons(measure_skipped):
    # h of FIRST is live in 0 and 2. The gate of 0 and 1 is skipped, and 1 is zero in any case.
    (row,) = measure_skipped(Skipped(gate=torch.tensor([[[True, True, False, False]]])))
    assert (row["skipped"], row["zeros"]) == (1, 3)
    assert row["ffn_spared_imposed"] == 4
    assert row["ffn_spared_total"] == 3 * 4


def test_a_mask_of_all_h_spares_the_column_alone(measure_skipped):
    # 0 is skipped once its three rows are known; 1 and 3 are zero by themselves.
    (row,) = measure_skipped(Skipped(hidden=torch.tensor([[[True, True, False, False]]])))
    assert (row["skipped"], row["zeros"]) == (1, 3)
    assert row["ffn_spared_imposed"] == 2
    assert row["ffn_spared_total"] == 2 + 2 * 4


def test_a_mask_that_needs_nothing_spares_all_of_a_neuron_that_is_zero_by_itself(measure_skipped):
    (row,) = measure_skipped(Skipped(before=torch.tensor([[[True, True, False, False]]])))
    assert (row["skipped"], row["zeros"]) == (2, 3)
    assert row["ffn_spared_imposed"] == 2 * 6
    assert row["ffn_spared_total"] == 2 * 6 + 4


def test_many_tokens_of_pruned_and_masked_matrices_are_counted_exactly(toy):
    """Nothing of it fits half precision. Of the gate, (0, 1) is pruned, row 1 is not needed, and
    channel 0 of the others, all that FIRST has, is not read: 1, 2 and 3 weights. Channel 1 is zero
    by itself, and then h is."""
    ffn = FFNView(
        (Projection(toy.gate), Projection(toy.up)), Projection(toy.down), "relu", toy, toy
    )
    left = torch.ones(4, 2, dtype=torch.bool)
    left[0, 1] = False
    forward, layout = Forward(pruned={toy.gate: left}), ModelView([ffn], [toy])
    meter = Meter(layout, forward)
    with ExitStack() as ends, torch.inference_mode():
        masks = Masks(layout, forward, ends)
        masks.inputs(toy.gate, lambda x: torch.tensor([False, True]).expand_as(x))
        gone = torch.tensor([False, True, False, False])
        masks.neurons(0, lambda seen: Skipped(before=gone.expand_as(seen.hidden)))
        ends.enter_context(meter.watching(toy))
        toy(input_ids=torch.tensor([[FIRST] * 6001]))
        assert not forward.kept and not forward.skipped
    (row,) = meter.counts()
    assert row["ffn_spared_imposed"] == row["linear_spared_imposed"] == 6001 * (6 + 2 + 2)
    assert row["ffn_spared_total"] == row["linear_spared_total"] == 6001 * (8 + 8 + 8)


@pytest.fixture
def measure_skipped(toy):
    """A function: what a method skips of the token FIRST -> rows of counts."""
    ffn = FFNView(
        (Projection(toy.gate), Projection(toy.up)), Projection(toy.down), "relu", toy, toy
    )

    def run(skipped):
        forward, layout = Forward(), ModelView([ffn], [toy])
        meter = Meter(layout, forward)
        with ExitStack() as ends, torch.inference_mode():
            Masks(layout, forward, ends).neurons(0, lambda seen: skipped)
            ends.enter_context(meter.watching(toy))
            toy(input_ids=torch.tensor([[FIRST]]))
        return meter.counts()

    return run


@dataclass
class Case:
    """What a method does to a model, as plain rules of one layer's values."""

    removed: bool = False
    pruned: bool = False
    inputs: bool = False
    low_rank: bool = False
    kinds: tuple[str, ...] = ()
    sparse_from: str | int = START

    def __str__(self):
        names = [n for n in ("removed", "pruned", "inputs", "low_rank") if getattr(self, n)]
        return "-".join([*names, *self.kinds, str(self.sparse_from)])


#: Which neurons are skipped, of h as it is; they overlap.
NEURONS = {
    "before": lambda h: h.roll(1, -1) > 0.2,
    "gate": lambda h: h.roll(2, -1) > 0.1,
    "hidden": lambda h: h.abs() < 0.4,
}
EXTRA = 7


def keep(x):
    """Channels that are read; zeros are not among them."""
    return x.abs() > 0.3


def rest(outputs):
    """What a low-rank path makes of the other channels."""
    return lambda x: x.sum(-1, keepdim=True).expand(*x.shape[:-1], outputs) / 50


def cases():
    """Every part alone, all pairs, and all of them, each from another token on."""
    parts = [
        {"removed": True},
        {"pruned": True},
        {"inputs": True},
        {"inputs": True, "low_rank": True},
        *({"kinds": (kind,)} for kind in NEURONS),
        {"kinds": tuple(NEURONS)},
    ]
    pairs = [a | b for a, b in itertools.combinations(parts, 2) if not (set(a) & set(b))]
    everything = {"removed": True, "pruned": True, "inputs": True, "low_rank": True}
    chosen = [{}, *parts, *pairs, everything | {"kinds": tuple(NEURONS)}]
    starts = (START, 2, CONTINUATION)
    return [Case(**facts, sparse_from=starts[n % 3]) for n, facts in enumerate(chosen)]


#: A batch of a prompt padded on the left, then two steps, before the last of which a row ends:
#: tokens, attention, tokens that count, and the place of each in its sequence.
PASSES = [
    ([[0, 0, 5, 9], [1, 7, 8, 33]], [[0, 0, 1, 1], [1, 1, 1, 1]], [[-1, -1, 0, 1], [0, 1, 2, 3]]),
    ([[20], [40]], [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], [[2], [4]]),
    ([[11], [2]], [[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]], [[3], [-1]]),
]


@dataclass
class Oracle:
    """Counts single weights, read or not, token by token."""

    model: torch.nn.Module
    case: Case
    removed: np.ndarray
    left: dict
    layers: list = field(default_factory=list)

    def run(self):
        """Rows of counts, layer by layer."""
        layout = view(self.model)
        self.layers = [
            dict.fromkeys(("tokens", "zeros", "skipped", "nonfinite", *SPARED), 0)
            for _ in layout.ffns
        ]
        cache = None
        for number, (tokens, attention, places) in enumerate(PASSES):
            self.places = np.array(places)
            first = {START: -9, CONTINUATION: -9 if number else 99}.get(self.case.sparse_from)
            self.sparse = self.places >= (self.case.sparse_from if first is None else first)
            seen, handles = {}, []
            for block, ffn in zip(layout.blocks, layout.ffns, strict=True):
                for _, module in linear_layers(block):
                    handles += self.hook(module, module is ffn.down.module, seen)
            cache = self.model(
                input_ids=torch.tensor(tokens), attention_mask=torch.tensor(attention),
                past_key_values=cache, use_cache=True,
            ).past_key_values  # fmt: skip
            for handle in handles:
                handle.remove()
            for layer in range(len(layout.ffns)):
                for at in zip(*np.nonzero(self.places >= 0), strict=True):
                    self.count(layout, layer, seen, at)
        return self.layers

    def hook(self, module, down, seen):
        """Mask the module's inputs by hand and note them."""

        def before(_module, given):
            x = given[0]
            sparse = torch.from_numpy(self.sparse)[..., None]
            values = x.reshape(*self.sparse.shape, -1)
            facts = {"natural": values != 0, "unread": torch.zeros_like(values).bool()}
            if down:
                for kind in ("before", "gate", "hidden"):
                    facts[kind] = torch.zeros_like(values).bool()
                    if kind in self.case.kinds:
                        facts[kind] = NEURONS[kind](values) & sparse
                        if kind != "before":
                            facts[kind] &= facts["natural"]
                mask = facts["before"] | facts["gate"] | facts["hidden"]
                facts["gate"] &= ~facts["before"]
                facts["hidden"] &= ~facts["before"] & ~facts["gate"]
            elif self.case.inputs:
                mask = ~keep(values) & sparse
                facts["unread"] = mask & facts["natural"]
            else:
                mask = facts["unread"]
            masked = torch.where(mask, torch.zeros(()), values)
            seen[module] = {name: fact.numpy() for name, fact in facts.items()}
            seen[module] |= {"values": masked.numpy(), "lost": (values - masked).reshape(x.shape)}
            return (masked.reshape(x.shape), *given[1:])

        def after(_module, given, y):
            if not self.case.low_rank:
                return None
            return y + rest(y.shape[-1])(seen[module]["lost"])

        return module.register_forward_pre_hook(before), module.register_forward_hook(after)

    def count(self, layout, layer, seen, at):
        """Add one token of one layer."""
        block, ffn = layout.blocks[layer], layout.ffns[layer]
        facts = {name: fact[at] for name, fact in seen[ffn.down.module].items() if name != "lost"}
        gone = self.removed[layer]
        # A low-rank path may give a neuron a value that nothing reads.
        zero = (facts["values"] == 0) | gone
        known = gone | facts["before"]
        row = self.layers[layer]
        row["tokens"] += 1
        row["zeros"] += int(zero.sum())
        row["skipped"] += int((known | facts["gate"] | facts["hidden"]).sum())
        inner = {part.module for part in ffn.inner}
        for _, module in linear_layers(block):
            weight = matrix(module)
            extra = EXTRA if self.case.low_rank and self.sparse[at] else 0
            for basis in ("imposed", "total"):
                rows, columns = np.ones(weight.shape[0], bool), ~seen[module]["unread"][at]
                # Zeros of an input are looked at where the method looks at it.
                if basis == "total" and self.case.inputs and module is not ffn.down.module:
                    columns = seen[module]["values"][at] != 0
                for place, part in enumerate(ffn.inner):
                    if module is part.module:
                        needed = ~known
                        if place == 1:
                            needed &= ~facts["gate"]
                            if basis == "total":
                                needed &= ~zero | (facts["hidden"] & ~gone)
                        rows[part.start : part.stop] = needed
                if module is ffn.down.module:
                    columns = ~(known | facts["gate"] | facts["hidden"])
                    if basis == "total":
                        columns &= ~zero
                read = np.outer(rows, columns)
                if module in self.left:
                    read &= self.left[module].numpy()
                spared = read.size - int(read.sum()) - extra
                row[f"linear_spared_{basis}"] += spared
                if module in inner or module is ffn.down.module:
                    row[f"ffn_spared_{basis}"] += spared


SPARED = [f"{part}_spared_{basis}" for part in ("ffn", "linear") for basis in ("imposed", "total")]


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_counts_are_those_of_single_weights(make_model, architecture, activation):
    """Every case with either activation function, on half of the architectures each; the first
    and the last on all."""
    number = ONE_A_VIEW.index(architecture) + (activation == "silu")
    whole = cases()
    for case in [whole[0], *whole[1 + number % 2 : -1 : 2], whole[-1]]:
        model = make_model(architecture, hidden_act=activation, seed=3)
        layout, generator = view(model), np.random.default_rng(5)
        for ffn in layout.ffns:
            # One channel that is zero by itself, where a norm can make it so.
            if ffn.before is not None:
                ffn.before.weight.data[3] = -1.0 if architecture.startswith("Gemma") else 0.0
        left = {}
        if case.pruned:
            for _, module in itertools.chain.from_iterable(map(linear_layers, layout.blocks)):
                left[module] = torch.from_numpy(generator.random(matrix(module).shape) < 0.6)
                matrix(module).data.mul_(left[module])
        removed = generator.random((2, 24)) < (0.3 if case.removed else 0.0)
        remove(removed, layout)
        with torch.inference_mode():
            wanted = Oracle(model, case, removed, left).run()
            found = metered(model, case, removed, left)
        told = [{name: row[name] for name in wanted[0]} for row in found]
        assert told == wanted, case
        assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


def metered(model, case, removed, left):
    """Rows of counts of the same by Masks and Meter."""
    layout = view(model)
    forward = Forward(
        frozenset({2}), case.sparse_from, removed=removed if case.removed else None, pruned=left
    )
    meter = Meter(layout, forward)
    with ExitStack() as ends:
        masks = Masks(layout, forward, ends)
        for layer, (block, ffn) in enumerate(zip(layout.blocks, layout.ffns, strict=True)):
            for _, module in linear_layers(block):
                low_rank = (rest(len(matrix(module))), EXTRA) if case.low_rank else (None, 0)
                if module is ffn.down.module:
                    masks.neurons(layer, skipping(case.kinds), (), *low_rank)
                elif case.inputs:
                    masks.inputs(module, keep, *low_rank)
        ends.enter_context(meter.watching(model))
        cache = None
        for tokens, attention, _ in PASSES:
            cache = model(
                input_ids=torch.tensor(tokens), attention_mask=torch.tensor(attention),
                past_key_values=cache, use_cache=True,
            ).past_key_values  # fmt: skip
        return meter.counts()


def skipping(kinds):
    return lambda seen: Skipped(**{kind: NEURONS[kind](seen.hidden) for kind in kinds})
