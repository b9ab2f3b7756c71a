"""Tokens a second of a whole model that decodes through the kernels, against the dense model.

    python benchmarks/decode.py [--rounds 5] [--tokens 8] [--layers 22] [--dtype bfloat16]

A Llama with ReLU and random weights, of about 1.1 billion parameters (22 layers of width 2048 with
5632 neurons, 32 heads, 4 of keys and values), decodes one sequence with its cache, greedily. Dense
is transformers' own forward pass over the same weights. Dense and each kind of sparsity take turns
in every round; ratios are of neighbours, medians with their 95 % bootstrap interval.

Kinds: `static`, neurons cut out of the matrices; `threshold`, on |act(gate)|, at quantiles that are
fitted on the model's own tokens; `predicted`, a predictor of a quarter of the width decides, its
time included (its choice is drawn, since random weights leave nothing to predict); `channels`,
thresholds on the inputs of all linear layers. Shares are those achieved on decoded tokens, of the
FFN's neurons or of the channels, and the ideal is of the weights that are then read. Random weights
make about half of the neurons zero by themselves, so `threshold` begins there.
Writes benchmarks/results/decode.json and the part of docs/kernels.md that tells of it.
"""

import argparse
import copy
import json
import statistics
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from kernels import DTYPES, PAGE, hardware
from machine import machine

from pipeline.decoding import modules as patched_modules
from pipeline.decoding import patch
from pipeline.decoding.clock import timed
from pipeline.decoding.timing import median
from pipeline.models.skips import DENSE, Chosen, LayerRules, Threshold
from pipeline.models.views import ModelView, linear_layers, view
from pipeline.report.readme import between

RESULT = Path(__file__).resolve().parent / "results" / "decode.json"
#: What is measured.
KINDS = {
    "static": (0.0, 0.5, 0.75, 0.9),
    "threshold": (0.5, 0.75, 0.9),
    "predicted": (0.5, 0.75, 0.9),
    "channels": (0.25, 0.5, 0.75),
}
_PROMPT = 24


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = llama(given.layers, given.width, DTYPES[given.dtype], given.device)
    sizes = sampled(model)
    rows = []
    for kind in given.kinds.split(","):
        for share in KINDS[kind]:
            rows.append(measured(model, kind, share, sizes, given.tokens, given.rounds))
            print(told(rows[-1]), flush=True)
    found = {
        "machine": machine() | {"device": hardware(given.device), "torch": torch.__version__},
        "threads": given.threads,
        "dtype": given.dtype,
        "parameters": sum(p.numel() for p in model.parameters()),
        "rows": rows,
    }
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    if given.out == RESULT:
        PAGE.write_text(between(PAGE.read_text(), "decode", summary(found)))


def summary(found: dict) -> str:
    """What stands in docs/kernels.md."""
    lines = [
        "| what is skipped | achieved | tokens a second | dense | **times as fast** | ideal |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        ratio = row["speed_up"]
        lines.append(
            f"| {_NAMES[row['kind']]} | {row['skipped']:.0%} | {row['tokens_a_second']:.2f} | "
            f"{row['dense_tokens_a_second']:.2f} | **{ratio['ratio']:.2f}** [{ratio['low']:.2f}, "
            f"{ratio['high']:.2f}] | {row['ideal']:.2f} |"
        )
    at = found["machine"]
    lines += [
        "",
        f"A Llama with ReLU and random weights, {found['parameters'] / 1e9:.2f} billion parameters "
        f"in {found['dtype']}, one sequence, {found['threads']} threads on {at['cores']} cores "
        f"({at['processor']}). The ideal counts weights only, those of the head included, which no "
        "kind skips.",
    ]
    return "\n".join(lines)


_NAMES = {
    "static": "neurons, cut out",
    "threshold": "neurons, by \\|act(gate)\\|",
    "predicted": "neurons, by a predictor",
    "channels": "inputs of all linear layers",
}


def told(row: dict) -> str:
    """One line of what was measured."""
    ratio = row["speed_up"]
    return (
        f"{row['kind']:9} {row['skipped']:4.0%}: {row['tokens_a_second']:.2f} tokens/s, dense "
        f"{row['dense_tokens_a_second']:.2f}, {ratio['ratio']:.2f} times ({ratio['low']:.2f}, "
        f"{ratio['high']:.2f}); ideal {row['ideal']:.2f}"
    )


def llama(layers: int, width: int, dtype: torch.dtype, device: str) -> Any:
    """A Llama with ReLU and random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=width, intermediate_size=width * 11 // 4, num_hidden_layers=layers,
        num_attention_heads=width // 64, num_key_value_heads=max(1, width // 512),
        vocab_size=32_000, max_position_embeddings=2048, hidden_act="relu",
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        return LlamaForCausalLM(config).to(dtype).eval()


@dataclass(frozen=True)
class Sizes:
    """Magnitudes seen on the prompt: of act(gate) by layer, and of the inputs of linear layers."""

    gates: list[torch.Tensor]
    inputs: list[dict[str, torch.Tensor]]


def sampled(model: Any) -> Sizes:
    """From one pass over a prompt."""
    layout = view(model)
    gates: list[torch.Tensor] = []
    inputs: list[dict[str, torch.Tensor]] = [{} for _ in layout.blocks]
    hooks = []
    for layer, (block, ffn) in enumerate(zip(layout.blocks, layout.ffns, strict=True)):
        hooks.append(
            ffn.inner[0].module.register_forward_hook(
                lambda _m, _g, y, ffn=ffn: gates.append(ffn.act(y).abs().float().flatten())
            )
        )
        for name, module in linear_layers(block):
            hooks.append(
                module.register_forward_pre_hook(
                    lambda _m, g, n=name, own=inputs[layer]: own.__setitem__(
                        n, g[0].abs().float().flatten()
                    )
                )
            )
    with torch.inference_mode():
        model(prompt(model))
    for hook in hooks:
        hook.remove()
    return Sizes(gates, inputs)


def prompt(model: Any) -> torch.Tensor:
    """Random tokens."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(4, model.config.vocab_size, (1, _PROMPT), generator=draw)
    return tokens.to(next(model.parameters()).device)


@dataclass(frozen=True)
class Kind:
    """One kind of sparsity at one share, as `patch` takes it."""

    kind: str
    share: float
    sizes: Sizes
    prefill: str = DENSE

    def for_kernels(self, layout: ModelView) -> list[LayerRules]:
        """The rules of all blocks."""
        draw = torch.Generator().manual_seed(0)
        return [self._block(layer, ffn, draw) for layer, ffn in enumerate(layout.ffns)]

    def _block(self, layer: int, ffn: Any, draw: torch.Generator) -> LayerRules:
        device = ffn.down.weight.device
        if self.kind == "static":
            dropped = torch.rand(ffn.d_ff, generator=draw) < self.share
            return LayerRules(dropped=dropped.to(device))
        if self.kind == "threshold":
            value = float(self.sizes.gates[layer].quantile(self.share))
            return LayerRules(neurons=Threshold(value))
        if self.kind == "predicted":
            d, weight = ffn.down.out_features, ffn.down.weight
            first = torch.randn(d // 4, d, generator=draw).to(weight)
            second = torch.randn(ffn.d_ff, d // 4, generator=draw).to(weight)
            return LayerRules(neurons=Chosen(partial(predicted, first, second, self.share)))
        cuts = {n: quantile(v, self.share) for n, v in self.sizes.inputs[layer].items()}
        return LayerRules(channels=cuts)


def predicted(
    first: torch.Tensor, second: torch.Tensor, share: float, residual: torch.Tensor
) -> torch.Tensor:
    """A predictor's two products, and as many neurons as the share leaves."""
    logits = (residual.to(first.dtype) @ first.T).relu() @ second.T
    # Random logits are even: their spread tells where the share lies, without sorting them.
    mean, spread = logits.float().mean(), logits.float().std()
    return logits.float() > mean + spread * 2**0.5 * torch.erfinv(torch.tensor(2 * share - 1))


def quantile(values: torch.Tensor, share: float) -> float:
    """Of at most a million of the values, as many as torch sorts."""
    return float(values[:1_000_000].quantile(share))


def measured(model: Any, kind: str, share: float, sizes: Sizes, tokens: int, rounds: int) -> dict:
    """One kind at one share."""
    own = copy.deepcopy(model)
    patched = patch(own, Kind(kind, share, sizes), fall_back=False)
    seconds: dict[str, list[float]] = {"dense": [], "ours": []}
    with torch.inference_mode():
        contenders = {"dense": start(model), "ours": start(own)}
        for step in contenders.values():
            step(1)
        for number in range(rounds):
            for name in sorted(contenders, reverse=bool(number % 2)):
                seconds[name].append(
                    timed(partial(contenders[name], tokens), device=str(model.device)) / tokens
                )
    ratio = median([a / b for a, b in zip(seconds["dense"], seconds["ours"], strict=True)])
    told = {name: 1 / statistics.median(values) for name, values in seconds.items()}
    with torch.inference_mode(), Read() as read:
        contenders["ours"](tokens)
    every = view(model).linear_weights + model.lm_head.weight.numel()
    # What no kernel reads is read whole: attention where it is dense, matrices that were cut, the
    # head; predictors come on top.
    whole = view(own).linear_weights + own.lm_head.weight.numel() - read.of_kernels / tokens
    left = whole + read.read / tokens + extra(model, kind)
    return {
        "kind": kind, "asked": share, "skipped": read.share if read.pairs else cut_out(model, own),
        "speed_up": ratio, "ideal": every / left,
        "tokens_a_second": told["ours"], "dense_tokens_a_second": told["dense"],
        "crossovers": sorted({each.crossovers[1] for each in patched.decisions}),
    }  # fmt: skip


def cut_out(model: Any, own: Any) -> float:
    """Share of the neurons that are gone."""
    left, every = (sum(ffn.d_ff for ffn in view(each).ffns) for each in (own, model))
    return 1 - left / every


class Read:
    """Counts, while it is entered, what the kernels of patched models skip: weights, and neurons or
    channels, of one token a call."""

    def __enter__(self) -> "Read":
        self.read = self.of_kernels = self.skipped = self.pairs = 0
        self._own = patched_modules.sparse_ffn, patched_modules.sparse_linear
        patched_modules.sparse_ffn, patched_modules.sparse_linear = self._ffn, self._linear
        return self

    def __exit__(self, *_: object) -> None:
        patched_modules.sparse_ffn, patched_modules.sparse_linear = self._own

    @property
    def share(self) -> float:
        """Of the neurons or channels, those skipped."""
        return self.skipped / self.pairs

    def _ffn(self, x: torch.Tensor, packed: Any, **given: Any) -> torch.Tensor:
        matrices, d_ff = packed.rows.shape[:2]
        if "threshold" in given:
            first = torch.nn.functional.linear(x.float(), packed.rows[0, :, : packed.d].float())
            kept = int((first.relu() > given["threshold"]).sum())
            self.read += (d_ff + (matrices - 1) * kept) * packed.d
        else:
            kept = int(given["active"].sum())
            self.read += matrices * kept * packed.d
        self._count(kept, d_ff, matrices * packed.d)
        return self._own[0](x, packed, **given)

    def _linear(self, x: torch.Tensor, packed: Any, **given: Any) -> torch.Tensor:
        kept = int((x.abs() > given["threshold"]).sum())
        self.read += kept * packed.outputs
        self._count(kept, packed.inputs, packed.outputs)
        return self._own[1](x, packed, **given)

    def _count(self, kept: int, of: int, weights: int) -> None:
        self.of_kernels += of * weights
        self.skipped += of - kept
        self.pairs += of


def extra(model: Any, kind: str) -> int:
    """Weights of the predictors."""
    d = model.config.hidden_size
    predicted = kind == "predicted"
    return sum(d // 4 * (d + ffn.d_ff) for ffn in view(model).ffns) if predicted else 0


def start(model: Any) -> Any:
    """Read the prompt; a function then decodes so many further tokens, going on where it was."""
    first = model(prompt(model), use_cache=True)
    state = {"past": first.past_key_values, "token": first.logits[:, -1:].argmax(-1)}

    def run(tokens: int) -> None:
        for _ in range(tokens):
            step = model(state["token"], past_key_values=state["past"], use_cache=True)
            state["token"] = step.logits[:, -1:].argmax(-1)

    return run


if __name__ == "__main__":
    main()
