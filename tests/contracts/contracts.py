"""What holds for an architecture: each function tries one property and says how closely it held.

The tests call them one by one, and `tests.contracts.listed` writes what held into the list of
supported architectures. A property is tried on every form of the architecture that is drawn, with
every activation function, on a model whose norms and biases are random too.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl
import torch

from pipeline.config.profile import Profile
from pipeline.decoding import patch
from pipeline.methods.masks import Masks
from pipeline.models.batches import marked
from pipeline.models.forward import Forward, Skipped
from pipeline.models.skips import LayerRules, Threshold
from pipeline.models.views import linear_layers, view
from pipeline.profiling.merge import merge_neurons
from pipeline.profiling.sample import profile_sample
from pipeline.profiling.shard import magnitudes, profile_shard
from pipeline.tables.neurons import NEURON_BLOCKS, NEURONS
from pipeline.tables.sampled import NORMS, THRESHOLDS
from tests.contracts.drawings import (
    ACTIVATIONS,
    DRAWINGS,
    UNGATED,
    Computation,
    Computed,
    Drawing,
)
from tests.small import small_model

TOKENS = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 2]])
#: Neurons that are removed or masked: some of 24, more at one end than at the other.
LOST = torch.tensor([n % 5 == 0 or n > 19 for n in range(24)])
EXACT = "exact"
#: The largest difference as a share of the largest number: of one block in float32, of a whole pass
#: in another order of summation, and of sums over tokens.
CLOSE, OF_A_PASS = 1e-5, 1e-4
WORDS = {CLOSE: "within 1e-5", OF_A_PASS: "within 1e-4"}


class NotDrawn(LookupError):
    """There is no drawing of the architecture to compute it by."""


@dataclass(frozen=True)
class Contract:
    """A property: what it says, and the function from an architecture to how closely it held, which
    raises AssertionError where it does not hold and `NotDrawn` where it cannot be tried."""

    says: str
    holds: Callable[[str], str]


#: By name, in the order of the list.
CONTRACTS: dict[str, Contract] = {}


def contract(name: str, says: str) -> Callable[[Callable[[str], str]], Callable[[str], str]]:
    """Register the function that tries a property."""

    def registered(holds: Callable[[str], str]) -> Callable[[str], str]:
        CONTRACTS[name] = Contract(says, torch.no_grad()(holds))
        return holds

    return registered


def within(found: torch.Tensor, wanted: torch.Tensor, bound: float = CLOSE) -> str:
    """`bound` in words, if no number is further off than this share of the largest wanted one."""
    found, wanted = found.detach().double(), wanted.detach().double().reshape(found.shape)
    error, largest = (found - wanted).abs().max(), wanted.abs().max()
    assert largest > 0 and bool(error <= bound * largest), f"not {WORDS[bound]}"
    return WORDS[bound]


def same(found: torch.Tensor, wanted: torch.Tensor) -> str:
    """`EXACT`, if two tensors are bit for bit the same."""
    assert torch.equal(found, wanted.reshape(found.shape)), "not bit for bit the same"
    return EXACT


@dataclass(frozen=True)
class Seen:
    """A block's input, what its module was told of positions, and its output, by a hook."""

    given: torch.Tensor
    angles: Any
    made: torch.Tensor


@dataclass(frozen=True)
class Case:
    """One form of an architecture with one activation function."""

    drawing: Drawing
    activation: str
    model: Any

    def own(self) -> Any:
        """A copy of the model that may be changed."""
        return copy.deepcopy(self.model)

    def computed(self, n: int, seen: Seen, lost: torch.Tensor | None = None) -> Computed:
        """Block `n` in plain torch, of the input that it had."""
        block = view(self.model).blocks[n]
        owner = Computation(self.drawing, self.model.config, block, self.activation)
        return owner.block(seen.given, seen.angles, lost)


def drawn(architecture: str) -> tuple[Drawing, ...]:
    """Its drawings; `NotDrawn` where there are none."""
    if architecture not in DRAWINGS:
        raise NotDrawn("no drawing of its block in tests/contracts/drawings.py")
    return DRAWINGS[architecture]


def cases(architecture: str) -> Iterator[Case]:
    """Every form with every activation function; of an architecture without a drawing, the form
    that its configuration has by default."""
    for number, drawing in enumerate(DRAWINGS.get(architecture, (Drawing(),))):
        for activation in ACTIVATIONS:
            yield Case(drawing, activation, _model(architecture, activation, number))


@cache
def _model(architecture: str, activation: str, number: int) -> Any:
    drawings = DRAWINGS.get(architecture)
    settings = drawings[number].settings if drawings else {}
    model = small_model(architecture, hidden_act=activation, **settings)
    with torch.no_grad():
        for values in model.parameters():
            if values.ndim == 1:
                values.add_(torch.empty_like(values).uniform_(-0.3, 0.3))
    return model


def logits(model: Any, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    """The answer's, all tokens at once."""
    with torch.inference_mode():
        found: torch.Tensor = model(tokens).logits
    return found


def passed(model: Any, tokens: torch.Tensor = TOKENS) -> tuple[list[Seen], torch.Tensor]:
    """What every block was given and made of it in one pass, and the logits."""
    seen: list[Seen] = []

    def note(_module: Any, given: Any, named: Any, made: Any) -> None:
        first = given[0] if given else named["hidden_states"]
        output = made[0] if isinstance(made, tuple) else made
        angles = named.get("position_embeddings")
        seen.append(Seen(first[0].double(), angles, output[0]))

    with ExitStack() as ends:
        for block in view(model).blocks:
            ends.callback(block.register_forward_hook(note, with_kwargs=True).remove)
        found = logits(model, tokens)
    return seen, found[0]


@contract("h", "h of every neuron is the one computed from the block's input by hand")
def neurons(architecture: str) -> str:
    drawn(architecture)
    for case in cases(architecture):
        own, found = case.own(), {}
        for n, ffn in enumerate(view(own).ffns):
            ffn.watch(lambda h, n=n, to=found: to.update({n: h}))
        for n, seen in enumerate(passed(own)[0]):
            held = within(found[n], case.computed(n, seen).h)
    return held


@contract("ffn_input", "the FFN's input is the one computed from the block's input by hand")
def ffn_input(architecture: str) -> str:
    drawn(architecture)
    for case in cases(architecture):
        own, found = case.own(), {}
        for n, ffn in enumerate(view(own).ffns):
            _note_input(ffn.inner[0].module, found, n)
        for n, seen in enumerate(passed(own)[0]):
            held = within(found[n], case.computed(n, seen).x)
    return held


@contract(
    "residual_stream",
    "the norm before the FFN reads the residual stream computed by hand; without one the FFN does",
)
def stream(architecture: str) -> str:
    drawn(architecture)
    for case in cases(architecture):
        own, found = case.own(), {}
        for n, ffn in enumerate(view(own).ffns):
            assert (ffn.before is None) == (case.drawing.norms[2] is None), "a norm or none"
            reader = ffn.inner[0].module if ffn.before is None else ffn.before
            _note_input(reader, found, n)
        for n, seen in enumerate(passed(own)[0]):
            held = within(found[n], case.computed(n, seen).stream)
    return held


def _note_input(module: Any, found: dict[int, torch.Tensor], n: int) -> None:
    """Keep a module's input of every pass at `n`."""
    module.register_forward_pre_hook(lambda _m, given: found.update({n: given[0]}))


@contract(
    "block_output",
    "the block's output is the one computed from its input by hand, attention included",
)
def block(architecture: str) -> str:
    drawn(architecture)
    for case in cases(architecture):
        for n, seen in enumerate(passed(case.model)[0]):
            held = within(seen.made, case.computed(n, seen).made)
    return held


@contract("logits", "the logits are those computed from the last block's output by hand")
def answer(architecture: str) -> str:
    drawn(architecture)
    for case in cases(architecture):
        blocks, found = passed(case.model)
        owner = Computation(case.drawing, case.model.config, case.model)
        held = within(found, owner.logits(blocks[-1].made.double()))
    return held


@contract(
    "block_output_without_neurons",
    "with neurons masked, the block's output is the one computed by hand without them",
)
def masked(architecture: str) -> str:
    drawn(architecture)
    for case in cases(architecture):
        own = case.own()
        for ffn in view(own).ffns:
            ffn.replace(lambda h: h * ~LOST)
        for n, seen in enumerate(passed(own)[0]):
            held = within(seen.made, case.computed(n, seen, LOST).made)
    return held


@contract("matrices", "the view's matrices are those that the drawing names, in its order")
def matrices(architecture: str) -> str:
    drawn(architecture)
    for case in cases(architecture):
        drawing = case.drawing
        for ffn, part in zip(view(case.model).ffns, view(case.model).blocks, strict=True):
            owner = Computation(drawing, case.model.config, part)
            wanted = [owner.weights(name)[0] for name in drawing.ffn]
            wanted = [weight.T if drawing.turned else weight for weight in wanted]
            if len(ffn.inner) == len(wanted):
                wanted[:1] = wanted[0].chunk(2)
            assert ffn.gated == (drawing.form != UNGATED) and ffn.activation == case.activation
            for mine, other in zip((*ffn.inner, ffn.down), wanted, strict=True):
                held = same(mine.weight.double(), other)
    return held


@contract(
    "view_computes_the_ffn",
    "the view computes h, and the FFN's output, of the FFN's input as the model does",
)
def recomputed(architecture: str) -> str:
    for case in cases(architecture):
        own, found = case.own(), []
        for ffn in view(own).ffns:
            ffn.inner[0].module.register_forward_pre_hook(lambda _m, x, to=found: to.append(x[0]))
            ffn.down.module.register_forward_hook(lambda _m, h, y, to=found: to.extend((h[0], y)))
        logits(own)
        for n, ffn in enumerate(view(own).ffns):
            x, h, y = found[3 * n : 3 * n + 3]
            within(h, ffn.hidden(x))
            held = within(y, ffn.output(h))
    return held


@contract(
    "zeroing_equals_masking", "weights of removed neurons set to zero answer as their h masked"
)
def zeroed(architecture: str) -> str:
    for case in cases(architecture):
        one, other = case.own(), case.own()
        for ffn, twin in zip(view(one).ffns, view(other).ffns, strict=True):
            ffn.zero(LOST)
            twin.replace(lambda h: h * ~LOST)
        held = within(logits(one), logits(other))
    return held


@contract(
    "cutting_equals_zeroing", "neurons cut out of the matrices answer as their weights set to zero"
)
def cut(architecture: str) -> str:
    for case in cases(architecture):
        one, other = case.own(), case.own()
        for ffn, twin in zip(view(one).ffns, view(other).ffns, strict=True):
            ffn.slice(LOST)
            twin.zero(LOST)
        assert [ffn.d_ff for ffn in view(one).ffns] == 2 * [int((~LOST).sum())]
        held = within(logits(one), logits(other))
    return held


@contract("no_neurons_equals_no_ffn", "without any neuron a model is what it is without its FFNs")
def whole(architecture: str) -> str:
    """Nothing else of the block passes through the view's matrices."""
    for case in cases(architecture):
        none, without = case.own(), case.own()
        for ffn, twin in zip(view(none).ffns, view(without).ffns, strict=True):
            ffn.zero(torch.ones(24, dtype=torch.bool))
            bias = 0.0 if twin.down.bias is None else twin.down.bias.detach()
            twin.down.module.forward = lambda h, b=bias: h.new_zeros(*h.shape[:-1], 16) + b
        held = within(logits(none), logits(without))
    return held


@contract("counted_tokens", "the tokens that are counted are the mask's, whatever shape h has")
def counted(architecture: str) -> str:
    tokens = TOKENS.repeat(2, 1)
    tokens[1, 4] = 11
    mask = torch.ones_like(tokens).bool()
    mask[0, 5:] = False
    for case in cases(architecture):
        own, found = case.own(), []
        view(own).ffns[0].watch(found.append)
        for part in (tokens, tokens[:1, :5], tokens[1:]):
            logits(own, part)
        both, first, second = found
        wanted = torch.cat([first.reshape(-1, 24), second.reshape(-1, 24)])
        held = within(marked(both, mask), wanted)
    return held


@contract("masks_that_keep_everything", "masks that keep everything change nothing")
def kept(architecture: str) -> str:
    none = torch.zeros(1, 1, 24, dtype=torch.bool)
    for case in cases(architecture):
        own, forward = case.own(), Forward()
        dense = logits(own)
        with ExitStack() as ends:
            masks = Masks(view(own), forward, ends)
            ends.enter_context(forward.watching(own))
            downs = [ffn.down.module for ffn in view(own).ffns]
            for part in view(own).blocks:
                for module in (m for _, m in linear_layers(part) if m not in downs):
                    masks.inputs(module, lambda x: torch.ones_like(x).bool())
                    masks.outputs(module, lambda y: torch.ones_like(y).bool())
            for layer in range(2):
                masks.neurons(layer, lambda seen: Skipped(*[none.expand_as(seen.hidden)] * 3))
            with torch.no_grad():
                found = own(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS)).logits
        same(found, dense)
        held = same(logits(own), dense)
    return held


@contract(
    "one_token_after_the_other", "tokens one after the other, with a cache, answer as all at once"
)
def cached(architecture: str) -> str:
    for case in cases(architecture):
        held = within(steps(case.model), logits(case.model), OF_A_PASS)
    return held


def steps(model: Any) -> torch.Tensor:
    """The logits, one token after the other."""
    past, found = None, []
    with torch.inference_mode():
        for place in range(TOKENS.shape[1]):
            step = model(TOKENS[:, place : place + 1], past_key_values=past, use_cache=True)
            past = step.past_key_values
            found.append(step.logits)
    return torch.cat(found, dim=1)


@dataclass(frozen=True)
class Rules:
    """The same neurons of every block below a threshold are skipped, in the prompt too."""

    rules: LayerRules
    prefill: str = "sparse"

    def for_kernels(self, layout: Any) -> list[LayerRules]:
        """One for each block."""
        return [self.rules for _ in layout.ffns]


@contract(
    "decoding_through_kernels",
    "decoding through the kernels answers as the dense model with the skipped neurons masked",
)
def kernels(architecture: str) -> str:
    for case in cases(architecture):
        own, other = case.own(), case.own()
        for ffn in view(other).ffns:
            _skip_below(ffn, 0.05)
        wanted = logits(other)
        assert not torch.allclose(wanted, logits(own), atol=1e-3)
        patch(own, Rules(LayerRules(neurons=Threshold(0.05))), fall_back=False)
        held = within(steps(own), wanted, OF_A_PASS)
    return held


def _skip_below(ffn: Any, threshold: float) -> None:
    """Neurons whose |act(gate x)| is at most the threshold are masked."""
    held: dict[str, torch.Tensor] = {}
    first, act = ffn.inner[0], ACTIVATIONS[ffn.activation]
    first.module.register_forward_pre_hook(lambda _m, x: held.update(x=x[0]))

    def change(h: torch.Tensor) -> torch.Tensor:
        gate = act(torch.nn.functional.linear(held["x"], first.weight, first.bias))
        return h * (gate.abs() > threshold).reshape(h.shape)

    ffn.replace(change)


#: Of a profile's columns, what each is of |h| over the tokens.
SUMS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sum_abs": lambda h: h.sum(0),
    "sum_square": lambda h: (h**2).sum(0),
    "max_abs": lambda h: h.amax(0),
}


@contract(
    "profile_equals_direct_sums",
    "a profile's sums and largest |h| of every neuron are those of h computed by hand",
)
def profiled(architecture: str) -> str:
    drawn(architecture)
    for case in cases(architecture):
        found = _profile(case.model)
        wanted: dict[int, list[torch.Tensor]] = {0: [], 1: []}
        for sequence in SEQUENCES:
            for n, seen in enumerate(passed(case.model, torch.tensor([sequence]))[0]):
                wanted[n].append(case.computed(n, seen).h.abs())
        for n, parts in wanted.items():
            mine = found.filter(pl.col("layer") == n).sort("neuron")
            for column, of_all in SUMS.items():
                values = torch.from_numpy(mine[column].to_numpy().copy())
                held = within(values, of_all(torch.cat(parts)), OF_A_PASS)
    return held


#: Of several lengths, so that batches are padded.
SEQUENCES = [[1, 5, 9, 20, 33, 4, 7, 2], [40, 41, 42, 10, 11], [13, 12, 30, 31, 8, 9, 50]]


def _profile(model: Any) -> pl.DataFrame:
    """The neurons' table of a profile of `SEQUENCES`."""
    config = Profile(blocks=2, batch_size=2, shards=1, cett=0.3, cett_tokens=64)
    sample = profile_sample(model, SEQUENCES, (), config)
    norms = NORMS.frame(sample["norms"])
    above = magnitudes(THRESHOLDS.frame(sample["thresholds"]), norms)
    sums = profile_shard(model, SEQUENCES, (), above, config, 0, 1)[0]
    return NEURONS.frame(merge_neurons([NEURON_BLOCKS.frame(sums)], 2, norms, False))
