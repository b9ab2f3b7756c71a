"""What a block of every architecture computes, written out by hand, and computed in plain torch.

Nothing here asks the FFN views or calls a module of transformers: of a model only its weights, its
configuration and the angles of its rotary positions are read. All is computed in float64.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

RMS, RMS_PLUS_ONE, LAYER = "RMSNorm", "RMSNorm of weights plus one", "LayerNorm"
GATED, FUSED, UNGATED = "gated", "gated, gate and up in one matrix", "ungated"
EACH_HEAD, ALL_HEADS = "of each head", "of all heads together"
IN_TURN, SIDE_BY_SIDE = "attention, then FFN", "attention and FFN side by side"
#: How one matrix holds queries, keys and values.
ONE_AFTER_ANOTHER, HEAD_BY_HEAD = "one after another", "head by head"

ACTIVATIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": lambda x: torch.where(x > 0, x, 0.0),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "gelu_pytorch_tanh": lambda x: (
        0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    ),
}


@dataclass(frozen=True)
class Drawing:
    """The parts of a block by their names in it, and what becomes of the residual stream."""

    #: Gate, up and down; both and down where they are fused; up and down without a gate.
    ffn: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    form: str = GATED
    #: Queries, keys, values and output; all three in one, and output.
    attention: tuple[str, ...] = tuple(f"self_attn.{name}_proj" for name in "qkvo")
    packed: str | None = None
    norm: str = RMS
    #: Before and behind the attention, before and behind the FFN.
    norms: tuple[str | None, str | None, str | None, str | None] = (
        "input_layernorm", None, "post_attention_layernorm", None,
    )  # fmt: skip
    #: The norms behind stand behind the sum with the stream, not before it.
    of_the_sum: bool = False
    #: The norms of queries and keys, and of what they are.
    qk: tuple[str, str] = ("self_attn.q_norm", "self_attn.k_norm")
    qk_norm: str | None = None
    residual: str = IN_TURN
    rotary: bool = True
    #: Matrices are kept as (inputs, outputs).
    turned: bool = False
    #: Keys of the configuration: what scales both outputs, and the caps of attention and answer.
    scaled: str | None = None
    attention_cap: str | None = None
    final_cap: str | None = None
    #: What the answer's logits are divided by.
    divided: str | None = None
    #: What scales the products of queries and keys; by default one over the root of a head's size.
    products: Callable[[Any], float] | None = None
    #: Where the model keeps its last norm.
    last: str | None = "model.norm"
    #: Of the model that the drawing is tried on.
    settings: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """What a reader wants to know of it; "none" where there is nothing."""
        before, behind = self.norms[2], self.norms[3]
        caps = {"attention": self.attention_cap, "final logits": self.final_cap}
        return {
            "norm before the FFN": self.norm if before else "none",
            "norm behind the FFN": (
                f"{self.norm} of {'the sum' if self.of_the_sum else 'its output'}"
                if behind
                else "none"
            ),
            "norms of queries and keys": self.qk_norm or "none",
            "soft caps": ", ".join(name for name, key in caps.items() if key) or "none",
            "residual stream": self.residual,
            "outputs scaled": "yes" if self.scaled else "no",
        }


def _gpt_neox(residual: str) -> Drawing:
    return Drawing(
        ffn=("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), form=UNGATED, norm=LAYER, residual=residual,
        attention=("attention.query_key_value", "attention.dense"), packed=HEAD_BY_HEAD,
        last="gpt_neox.final_layer_norm",
        settings={"use_parallel_residual": residual == SIDE_BY_SIDE},
    )  # fmt: skip


def _opt(before: bool) -> Drawing:
    own = "self_attn_layer_norm", "final_layer_norm"
    return Drawing(
        ffn=("fc1", "fc2"), form=UNGATED, norm=LAYER, rotary=False, of_the_sum=not before,
        attention=(*(f"self_attn.{name}_proj" for name in "qkv"), "self_attn.out_proj"),
        norms=(own[0], None, own[1], None) if before else (None, own[0], None, own[1]),
        last="model.decoder.final_layer_norm" if before else None,
        settings={"do_layer_norm_before": before},
    )  # fmt: skip


def _stablelm(residual: str, qk_norm: str | None) -> Drawing:
    side = residual == SIDE_BY_SIDE
    before = "input_layernorm" if side else "post_attention_layernorm"
    return Drawing(
        norm=LAYER, norms=("input_layernorm", None, before, None), residual=residual,
        qk_norm=qk_norm, qk=("self_attn.q_layernorm", "self_attn.k_layernorm"),
        settings={"use_parallel_residual": side, "qk_layernorm": qk_norm is not None},
    )  # fmt: skip


def _root_of_setting(config: Any) -> float:
    return float(config.query_pre_attn_scalar) ** -0.5


#: All four norms of a Gemma 2 or 3.
_FOUR = (
    "input_layernorm", "post_attention_layernorm",
    "pre_feedforward_layernorm", "post_feedforward_layernorm",
)  # fmt: skip

#: Every form of every architecture that is drawn. Settings are such that each part tells: caps that
#: bind, scales that are not one.
DRAWINGS: Mapping[str, tuple[Drawing, ...]] = {
    "GPT2LMHeadModel": (
        Drawing(
            ffn=("mlp.c_fc", "mlp.c_proj"), form=UNGATED, norm=LAYER, turned=True, rotary=False,
            attention=("attn.c_attn", "attn.c_proj"), packed=ONE_AFTER_ANOTHER,
            norms=("ln_1", None, "ln_2", None), last="transformer.ln_f",
        ),
    ),
    "GPTNeoXForCausalLM": (_gpt_neox(SIDE_BY_SIDE), _gpt_neox(IN_TURN)),
    "Gemma2ForCausalLM": (
        Drawing(
            norm=RMS_PLUS_ONE, norms=_FOUR, attention_cap="attn_logit_softcapping",
            final_cap="final_logit_softcapping", products=_root_of_setting,
            settings={
                "attn_logit_softcapping": 0.5, "final_logit_softcapping": 1.5,
                "query_pre_attn_scalar": 5, "num_key_value_heads": 1,
            },
        ),
    ),
    "Gemma3ForCausalLM": (
        Drawing(
            norm=RMS_PLUS_ONE, norms=_FOUR, qk_norm=EACH_HEAD, products=_root_of_setting,
            settings={"query_pre_attn_scalar": 5, "num_key_value_heads": 1},
        ),
    ),
    "GemmaForCausalLM": (Drawing(norm=RMS_PLUS_ONE, settings={"num_key_value_heads": 1}),),
    "GraniteForCausalLM": (
        Drawing(
            scaled="residual_multiplier", divided="logits_scaling",
            products=lambda config: float(config.attention_multiplier),
            settings={
                "residual_multiplier": 0.4, "attention_multiplier": 0.7, "logits_scaling": 3.0,
                "embedding_multiplier": 2.0,
            },
        ),
    ),
    "LlamaForCausalLM": (
        Drawing(settings={"num_key_value_heads": 1}),
        Drawing(settings={"mlp_bias": True, "attention_bias": True}),
    ),
    "MistralForCausalLM": (Drawing(),),
    "OPTForCausalLM": (_opt(True), _opt(False)),
    "Olmo2ForCausalLM": (
        Drawing(
            norms=(None, "post_attention_layernorm", None, "post_feedforward_layernorm"),
            qk_norm=ALL_HEADS,
        ),
    ),
    "Phi3ForCausalLM": (
        Drawing(
            ffn=("mlp.gate_up_proj", "mlp.down_proj"), form=FUSED, packed=ONE_AFTER_ANOTHER,
            attention=("self_attn.qkv_proj", "self_attn.o_proj"),
            settings={"num_key_value_heads": 1},
        ),
    ),
    "Qwen2ForCausalLM": (Drawing(),),
    "Qwen3ForCausalLM": (Drawing(qk_norm=EACH_HEAD, settings={"num_key_value_heads": 1}),),
    "SmolLM3ForCausalLM": (Drawing(),),
    "StableLmForCausalLM": (
        _stablelm(IN_TURN, None),
        _stablelm(IN_TURN, EACH_HEAD),
        _stablelm(SIDE_BY_SIDE, None),
        _stablelm(SIDE_BY_SIDE, EACH_HEAD),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Computed:
    """What a block made of its input, (tokens, channels) each: the stream that the FFN's norm
    reads, the FFN's input, h, and the block's output."""

    stream: torch.Tensor
    x: torch.Tensor
    h: torch.Tensor
    made: torch.Tensor


@dataclass(frozen=True)
class Computation:
    """A drawing with the weights of one block, or of a whole model where only `logits` is asked."""

    drawing: Drawing
    config: Any
    owner: torch.nn.Module
    activation: str = "relu"

    def block(self, given: torch.Tensor, angles: Any, lost: torch.Tensor | None = None) -> Computed:
        """Of the block's input, (tokens, d_model), the cosines and sines of its positions, and
        neurons whose h is zero, (d_ff,) bool."""
        drawing, (first, second, third, fourth) = self.drawing, self.drawing.norms
        middle = self.added(given, self.attended(self.normed(first, given), angles), second)
        stream = given if drawing.residual == SIDE_BY_SIDE else middle
        x = self.normed(third, stream)
        h = self.hidden(x)
        if lost is not None:
            h = torch.where(lost, 0.0, h)
        made = self.added(middle, self.linear(drawing.ffn[-1], h), fourth)
        return Computed(stream, x, h, made)

    def added(self, stream: torch.Tensor, output: torch.Tensor, norm: str | None) -> torch.Tensor:
        """The stream with an output, as the block adds it."""
        scale = getattr(self.config, self.drawing.scaled) if self.drawing.scaled else 1.0
        if self.drawing.of_the_sum:
            return self.normed(norm, stream + output)
        return stream + scale * self.normed(norm, output)

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """h of the FFN's input."""
        names, act = self.drawing.ffn, ACTIVATIONS[self.activation]
        if self.drawing.form == UNGATED:
            return act(self.linear(names[0], x))
        if self.drawing.form == FUSED:
            gate, up = self.linear(names[0], x).chunk(2, -1)
        else:
            gate, up = (self.linear(name, x) for name in names[:2])
        return act(gate) * up

    def attended(self, x: torch.Tensor, angles: Any) -> torch.Tensor:
        """The attention's output of its input, every token looking at those up to itself."""
        drawing, config = self.drawing, self.config
        queries, keys, values = (
            self.rotated(n, part, angles) for n, part in enumerate(self.qkv(x))
        )
        groups = queries.shape[1] // keys.shape[1]
        keys, values = (part.repeat_interleave(groups, 1) for part in (keys, values))
        scale = drawing.products(config) if drawing.products else queries.shape[-1] ** -0.5
        scores = scale * torch.einsum("qhd,khd->hqk", queries, keys)
        scores = self.capped(drawing.attention_cap, scores)
        later = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
        weights = torch.softmax(scores.masked_fill(later, -math.inf), -1)
        return self.linear(
            drawing.attention[-1], torch.einsum("hqk,khd->qhd", weights, values).flatten(1)
        )

    def qkv(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Queries, keys and values, (tokens, heads, size), with their norms."""
        names, heads = self.drawing.attention, self.config.num_attention_heads
        of_keys = getattr(self.config, "num_key_value_heads", None) or heads
        if self.drawing.packed == HEAD_BY_HEAD:
            parts = list(self.linear(names[0], x).unflatten(1, (heads, -1)).chunk(3, -1))
            return parts
        if self.drawing.packed == ONE_AFTER_ANOTHER:
            whole = self.linear(names[0], x)
            size = whole.shape[1] // (heads + 2 * of_keys)
            flat = list(whole.split([heads * size, of_keys * size, of_keys * size], 1))
        else:
            flat = [self.linear(name, x) for name in names[:3]]
        if self.drawing.qk_norm == ALL_HEADS:
            flat[:2] = (self.normed(n, f) for n, f in zip(self.drawing.qk, flat[:2], strict=True))
        parts = [
            f.unflatten(1, (n, -1)) for f, n in zip(flat, (heads, of_keys, of_keys), strict=True)
        ]
        if self.drawing.qk_norm == EACH_HEAD:
            parts[:2] = (self.normed(n, p) for n, p in zip(self.drawing.qk, parts[:2], strict=True))
        return parts

    def rotated(self, place: int, part: torch.Tensor, angles: Any) -> torch.Tensor:
        """Queries and keys turned by their positions' angles; values as they are."""
        if place == 2 or not self.drawing.rotary:
            return part
        cosines, sines = (each.double()[0, :, None] for each in angles)
        size = cosines.shape[-1]
        turned, rest = part[..., :size], part[..., size:]
        one, other = turned.chunk(2, -1)
        return torch.cat([turned * cosines + torch.cat([-other, one], -1) * sines, rest], -1)

    def logits(self, made: torch.Tensor) -> torch.Tensor:
        """The answer's, of what the last block made."""
        head: Any = self.owner
        head = head.get_output_embeddings()
        found = self.normed(self.drawing.last, made) @ head.weight.detach().double().T
        if self.drawing.divided:
            found = found / getattr(self.config, self.drawing.divided)
        return self.capped(self.drawing.final_cap, found)

    def capped(self, key: str | None, values: torch.Tensor) -> torch.Tensor:
        """Values softly held between plus and minus what the configuration says at `key`."""
        if key is None:
            return values
        cap = getattr(self.config, key)
        return cap * torch.tanh(values / cap)

    def normed(self, name: str | None, x: torch.Tensor) -> torch.Tensor:
        """The norm called `name` of the last axis; `x` itself without a name."""
        if name is None:
            return x
        module = self.owner.get_submodule(name)
        if hasattr(module, "norms"):
            heads = zip(module.norms, x.unbind(1), strict=True)
            return torch.stack([self._norm(own, head) for own, head in heads], 1)
        return self._norm(module, x)

    def _norm(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        epsilon = module.eps if hasattr(module, "eps") else module.variance_epsilon
        weight = module.weight.detach().double()
        if self.drawing.norm == LAYER:
            x = x - x.mean(-1, keepdim=True)
        scaled = x / torch.sqrt((x**2).mean(-1, keepdim=True) + epsilon)
        bias = getattr(module, "bias", None)
        made = scaled * (weight + 1 if self.drawing.norm == RMS_PLUS_ONE else weight)
        return made if bias is None else made + bias.detach().double()

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """A linear layer's output."""
        weight, bias = self.weights(name)
        made = x @ (weight if self.drawing.turned else weight.T)
        return made if bias is None else made + bias

    def weights(self, name: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        """A layer's matrix and bias in float64."""
        module: Any = self.owner.get_submodule(name)
        bias = module.bias
        return module.weight.detach().double(), None if bias is None else bias.detach().double()
