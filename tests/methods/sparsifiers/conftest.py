"""Small models of several shapes, what sparsifiers are fitted on, and passes with one attached."""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.methods.masks import Masks
from pipeline.methods.sparsifiers.base import Evidence
from pipeline.models.forward import Forward
from pipeline.models.memory import Room
from pipeline.models.views import FFNView, ModelView, Projection, linear_layers
from pipeline.profiling.collect import residual_sample
from pipeline.registry import SPARSIFIERS
from tests.methods.evidence import SPECIAL_IDS, random_text
from tests.methods.evidence import evidence_of as evidence_of_text

KINDS = {
    # One head of keys and values for two of queries, so their matrices are narrow.
    "gated-silu": {"hidden_act": "silu", "num_key_value_heads": 1},
    "gated-relu": {},
    "opt": {"architecture": "OPTForCausalLM"},
    "neox": {"architecture": "GPTNeoXForCausalLM", "hidden_act": "gelu"},
    "gpt2": {"architecture": "GPT2LMHeadModel", "hidden_act": "gelu_new"},
}
TOKENS = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 60], [1, 40, 41, 42, 10, 11, 12, 13]])


@pytest.fixture(scope="session")
def make_evidence():
    """A function: a model -> Evidence of it and of random texts; without exact zeros a neuron is
    active where |h| is above 0.2."""

    def make(model, rows=None, **facts):
        rows = random_text(24) if rows is None else rows
        found = evidence_of_text(model, rows, batch_size=8, **facts)
        above = [np.full(ffn.d_ff, 0.2) for ffn in found.layout.ffns]
        found.residuals = lambda text, tokens: residual_sample(
            model, text, SPECIAL_IDS, above, tokens, Room(8)
        )
        return found

    return make


@pytest.fixture(scope="session")
def evidence_of(make_model, make_evidence):
    """A function: one of KINDS -> its Evidence, whose model nobody changes; made once."""
    made = {}

    def of(kind):
        if kind not in made:
            model = make_model(**KINDS[kind])
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if name.endswith("bias"):
                        parameter.uniform_(-0.3, 0.3)
            made[kind] = make_evidence(model)
        return made[kind]

    return of


@dataclass
class Sparsifier:
    """One that is registered, with options that suit a model and its Evidence."""

    name: str
    evidence: Evidence
    options: Any
    entry: Any
    prepared: Any

    def at(self, share):
        """The arrays at a share."""
        return self.entry.at(self.evidence, self.prepared, self.options, share)

    @contextmanager
    def attached(self, share, forward=None):
        """The model with it at work; the Forward that is told."""
        arrays = self.at(share)
        forward = forward or Forward()
        with ExitStack() as ends:
            ends.enter_context(forward.watching(self.evidence.model))
            masks = Masks(self.evidence.layout, forward, ends)
            SPARSIFIERS.load(self.name)().attach(masks, arrays, self.options)
            yield forward


SMALL = {"predicted": {"rank": 8, "steps": 20, "every": 10, "batch": 64}}


@pytest.fixture(scope="session")
def sparsifier(evidence_of):
    """A function: a registered name, one of KINDS or Evidence, and options -> Sparsifier."""

    def make(name, of="gated-silu", **options):
        evidence = evidence_of(of) if isinstance(of, str) else of
        own = {**SMALL.get(name, {}), **options}
        if name == "percentile" and not evidence.layout.ffns[0].gated:
            own.setdefault("outputs", ("up", "down"))
        entry = SPARSIFIERS.load(name)()
        chosen = entry.Options(**own)
        entry.check(evidence.layout, chosen)
        prepared, curve = entry.prepare(evidence, chosen)
        # The page shows the curves of those that say what they train.
        assert bool(curve) == bool(entry.objective)
        return Sparsifier(name, evidence, chosen, entry, prepared)

    return make


@pytest.fixture(scope="session")
def logits():
    """A function: a model -> its logits of two texts."""

    def of(model, tokens=TOKENS):
        with torch.inference_mode():
            return model(tokens).logits

    return of


@pytest.fixture(scope="session")
def reads():
    """A function: a view and something that runs the model -> what every linear layer of the blocks
    was handed last, by (layer, name), (tokens, channels) each."""

    def of(layout, run):
        found = {}

        def note(layer, name):
            return lambda _module, given: found.update(
                {(layer, name): given[0].detach().reshape(-1, given[0].shape[-1]).clone()}
            )

        with ExitStack() as ends:
            for layer, block in enumerate(layout.blocks):
                for name, module in linear_layers(block):
                    hook = module.register_forward_pre_hook(note(layer, name))
                    ends.callback(hook.remove)
            run()
        return found

    return of


class Rules(Masks):
    """Masks of one FFN made by hand, which hook nothing: the rule of its neurons, what that is to
    see, and the rule of its outputs."""

    skip: Any = None
    sees: tuple = ()
    keep: Any = None

    def __init__(self, ffn):
        super().__init__(ModelView([ffn], [torch.nn.Identity()]), Forward(), ExitStack())

    def neurons(self, layer, skip, sees=(), rest=None, extra=0):
        self.skip, self.sees = skip, sees

    def outputs(self, module, keep):
        self.keep = keep


@pytest.fixture(scope="session")
def rules():
    """A function: a registered name, arrays and options -> its Rules for an FFN of 4 neurons, whose
    output vectors have the lengths 5, 0, 13 and the root of 2."""

    def of(name, arrays, **options):
        down = torch.nn.Linear(4, 2, bias=False)
        down.weight = torch.nn.Parameter(torch.tensor([[3.0, 0, 5, 1], [4, 0, 12, 1]]))
        inner = tuple(Projection(torch.nn.Linear(2, 4)) for _ in range(2))
        found = Rules(FFNView(inner, Projection(down), "silu", down, torch.nn.Identity()))
        entry = SPARSIFIERS.load(name)()
        entry.attach(found, {k: np.array(v) for k, v in arrays.items()}, entry.Options(**options))
        return found

    return of


@dataclass
class Pass:
    """What went through one Llama block, float64 (tokens, channels): the stream before the FFN's
    norm, the FFN's input and output, the input of the query projection and what it made of it."""

    residual: np.ndarray
    x: np.ndarray
    output: np.ndarray
    normed: np.ndarray
    query: np.ndarray


@pytest.fixture(scope="session")
def passed(logits):
    """A function: a Llama model and a layer -> Pass of two texts, with whatever is attached."""

    def of(model, layer):
        block, seen = model.model.layers[layer], {}

        def note(module, name, given):
            def hook(_module, inputs, output):
                value = inputs[0] if given else output
                seen[name] = value.detach().double().reshape(-1, value.shape[-1]).numpy()

            ends.callback(module.register_forward_hook(hook).remove)

        with ExitStack() as ends:
            note(block.post_attention_layernorm, "residual", True)
            note(block.post_attention_layernorm, "x", False)
            note(block.mlp, "output", False)
            note(block.input_layernorm, "normed", False)
            note(block.self_attn.q_proj, "query", False)
            logits(model)
        return Pass(**seen)

    return of


@dataclass
class Plain:
    """The matrices of one Llama block in float64, and its FFN in plain numpy."""

    gate: np.ndarray
    up: np.ndarray
    down: np.ndarray
    query: np.ndarray

    @staticmethod
    def act(z):
        """SiLU."""
        return z / (1 + np.exp(-z))

    def hidden(self, x):
        """h of the FFN's input."""
        return self.act(x @ self.gate.T) * (x @ self.up.T)


@pytest.fixture(scope="session")
def plain():
    """A function: a Llama model with SiLU and a layer -> Plain."""

    def of(model, layer):
        block = model.model.layers[layer]
        mlp = block.mlp
        modules = (mlp.gate_proj, mlp.up_proj, mlp.down_proj, block.self_attn.q_proj)
        return Plain(*(module.weight.detach().double().numpy() for module in modules))

    return of
