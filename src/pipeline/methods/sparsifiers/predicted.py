"""`predicted`: an online predictor says before an FFN runs which of its neurons will be active, and
the others are never computed (PowerInfer, arXiv 2312.12456, section 5.1; Deja Vu, arXiv
2310.17157).

Every layer has a predictor of two bias-free layers that reads the residual stream before the FFN's
norm. Its size is adapted layer by layer: the smallest at which the perplexity of held-out text
rises by no more than the layer's part of a bound when that layer alone skips the neurons with odds
below even. A fixed rank with `form: linear` is Deja Vu's. The level then sets the thresholds of the
logits. The predictors' own weights count as read.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.config.base import Section
from pipeline.methods.descent import Schedule
from pipeline.methods.masks import Masks, Seen
from pipeline.methods.part import FittingCost
from pipeline.methods.plan import Arrays, Refused
from pipeline.methods.sparsifiers.base import Curve, Evidence, Sparsifier
from pipeline.methods.sparsifiers.predictor import (
    Predictor,
    adapt,
    first_rank,
    fit_predictor,
    quality,
    threshold_for,
)
from pipeline.models.forward import Forward, Skipped
from pipeline.models.loss import text_loss
from pipeline.models.skips import ACTIVE, Chosen, LayerRules
from pipeline.models.views import ModelView

if TYPE_CHECKING:
    import torch


class Options(Section):
    """The predictors' size, training and use."""

    form: Literal["relu", "linear"] = Field(
        "relu", description="`relu`: PowerInfer's; `linear`: Deja Vu's, with its weighted loss"
    )
    rank: int | None = Field(
        None, ge=1, description="hidden units of the predictor; null adapts them to `bound`"
    )
    bound: float = Field(
        0.001, gt=0, description="rise of held-out perplexity that all layers together may cost"
    )
    neurons: Literal["all", "hot_only", "cold_only"] = Field(
        "all",
        description="`hot_only` never computes cold neurons, `cold_only` never hot ones",
    )
    tokens: int = Field(16384, ge=1, description="most tokens that predictors are trained on")
    learning_rate: float = Field(0.003, gt=0)
    steps: int = Field(400, ge=1, description="most optimiser steps")
    batch: int = Field(1024, ge=1, description="tokens per step")
    every: int = Field(50, ge=1, description="steps between measurements on held-out tokens")
    patience: int = Field(
        3, ge=1, description="measurements without improvement after which training stops"
    )


class Predicted(Sparsifier):
    """Neurons that a small network calls inactive are skipped.

    Arrays: `LAYER/first` (rank, d_model) and `LAYER/second` (d_ff, rank); `thresholds`, `ranks`,
    `recall` and `precision`, (layers,) each, the latter two of the predictor alone and on held-out
    tokens; `allowed` (layers, d_ff) uint8, 1 for neurons that may be computed.

    Sample:

        sparsifier: {name: predicted, form: linear, rank: 64}
        corpus: reasoning
        levels: [0.5, 0.7]
    """

    label = "predictor"
    objective = "cross-entropy of which neurons are active, nats a neuron"
    Options = Options
    kernel_form = ACTIVE

    def __init__(self) -> None:
        self._sample: tuple[Evidence, int, _Sample] | None = None

    @staticmethod
    def prepares(options: Mapping[str, Any]) -> bool:
        """Predictors are trained once for all levels."""
        return True

    @classmethod
    def cost(cls, options: Any) -> FittingCost:
        """The cost of the sample that the predictors read; they are trained on it without the
        model."""
        return FittingCost(tokens=options.tokens)

    @classmethod
    def needs_classification(cls, options: Mapping[str, Any]) -> bool:
        """True where only hot, or only cold, neurons may be computed."""
        return bool(options["neurons"] != "all")

    def check(self, layout: ModelView, options: Any) -> None:
        """Raise Refused where no norm stands before the FFNs."""
        if layout.ffns[0].before is None:
            raise Refused(
                "no norm stands before this model's FFNs, so there is no residual stream of the "
                "kind that predictors read"
            )

    def prepare(self, evidence: Evidence, options: Any) -> tuple[Arrays, Curve]:
        """Train the predictors of all layers."""
        # Refuse a missing classification before any training.
        _allowed(evidence, options)
        sample = self._sampled(evidence, options)
        found, curve = {}, []
        for layer in range(len(evidence.layout.ffns)):
            predictor, rows = _fitted(evidence, options, sample, layer)
            found[f"{layer}/first"] = predictor.first.cpu().numpy()
            found[f"{layer}/second"] = predictor.second.cpu().numpy()
            curve += rows
        return found, curve

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """Thresholds below which `share` of each layer's logits lie on the sampled tokens; infinite
        at shares of 0 and 1."""
        import torch

        sample = self._sampled(evidence, options)
        columns: dict[str, list[float]] = {"thresholds": [], "recall": [], "precision": []}
        for layer in range(len(evidence.layout.ffns)):
            predictor = _of(prepared, layer, options.form, sample.device)
            with torch.inference_mode():
                logits = predictor.logits(sample.residual(layer))
            if 0 < share < 1:
                threshold = threshold_for(logits, share)
            else:
                threshold = math.inf if share > 0 else -math.inf
            held = sample.held_out
            told = quality(logits[held], sample.active(layer)[held], threshold)
            columns["thresholds"].append(threshold)
            for name in ("recall", "precision"):
                columns[name].append(math.nan if told[name] is None else float(told[name]))
        found = {name: np.array(values) for name, values in columns.items()}
        ranks = [len(prepared[f"{layer}/first"]) for layer in range(len(columns["recall"]))]
        allowed = _allowed(evidence, options).astype(np.uint8)
        return {**prepared, **found, "ranks": np.array(ranks), "allowed": allowed}

    def _sampled(self, evidence: Evidence, options: Any) -> "_Sample":
        """The sample, collected once however many settings are tried."""
        held = self._sample
        if held is None or held[0] is not evidence or held[1] != options.tokens:
            held = self._sample = evidence, options.tokens, _Sample(evidence, options)
        return held[2]

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook every layer's predictor."""
        for layer in range(len(masks.layout.ffns)):
            predictor = _of(arrays, layer, options.form)
            device = masks.layout.ffns[layer].down.weight.device
            threshold, allowed = float(arrays["thresholds"][layer]), arrays["allowed"][layer]
            rule = _rule(predictor, threshold, allowed, device)
            # The predictor is read at every token.
            own = predictor.first.numel() + predictor.second.numel()
            masks.neurons(layer, rule, sees=("residual",), extra=own)

    def for_kernels(
        self, arrays: Arrays, options: Any, layout: ModelView, from_start: bool
    ) -> list[LayerRules]:
        """The predictors, which run before the kernels at every token."""
        found = []
        for layer, ffn in enumerate(layout.ffns):
            predictor = _of(arrays, layer, options.form)
            skip = _skips(
                predictor, float(arrays["thresholds"][layer]), arrays["allowed"][layer],
                ffn.down.weight.device,
            )  # fmt: skip
            found.append(LayerRules(neurons=Chosen(partial(_kept, skip))))
        return found


class _Sample:
    """Sampled tokens: their residual streams and active neurons, layer by layer."""

    def __init__(self, evidence: Evidence, options: Any) -> None:
        self.arrays = evidence.residuals(evidence.training, options.tokens)
        self.layout = evidence.layout
        #: Training and scoring run on the model's device.
        self.device = next(evidence.model.parameters()).device

    def residual(self, layer: int) -> "torch.Tensor":
        """The residual stream of a layer's sampled tokens, (tokens, d_model) float32."""
        import torch

        return torch.from_numpy(self.arrays[f"{layer}/residual"]).to(self.device)

    def active(self, layer: int) -> "torch.Tensor":
        """The neurons that a layer's sampled tokens make active, (tokens, d_ff) bool."""
        import torch

        width = self.layout.ffns[layer].d_ff
        bits = np.unpackbits(self.arrays[f"{layer}/active"], axis=1, count=width)
        return torch.from_numpy(bits.astype(bool)).to(self.device)

    @cached_property
    def held_out(self) -> "torch.Tensor":
        """(tokens,) bool: the tokens of a tenth of the sequences, at least one of them."""
        import torch

        drawn = np.unique(self.arrays["sequence"])
        chosen = drawn[-max(1, len(drawn) // 10) :]
        return torch.from_numpy(np.isin(self.arrays["sequence"], chosen)).to(self.device)


def _fitted(
    evidence: Evidence, options: Any, sample: _Sample, layer: int
) -> tuple[Predictor, Curve]:
    """The predictor of a layer, of the rank asked for or the smallest that is good enough."""
    ffn = evidence.layout.ffns[layer]
    inputs, active = sample.residual(layer), sample.active(layer)
    made: dict[int, tuple[Predictor, Curve]] = {}
    schedule = Schedule(
        options.learning_rate, options.steps, options.batch, options.every, options.patience
    )

    def of_rank(rank: int) -> tuple[Predictor, Curve]:
        if rank not in made:
            label = f"predictor of layer {layer}, rank {rank}"
            place = evidence.checkpoint
            own = Path(f"{place}.{layer}.{rank}") if place else None
            made[rank] = fit_predictor(
                inputs, active, sample.held_out, rank, options.form, schedule, evidence.seed, own,
                label,
            )  # fmt: skip
        return made[rank]

    if options.rank is not None:
        return of_rank(options.rank)
    held_out = evidence.in_batches(evidence.held_out)
    dense = text_loss(evidence.model, held_out)
    bound = math.log1p(options.bound) / len(evidence.layout.ffns)

    def good(rank: int) -> bool:
        everywhere = np.ones(ffn.d_ff, dtype=np.uint8)
        rule = _rule(of_rank(rank)[0], 0.0, everywhere, ffn.down.weight.device)
        with ExitStack() as ends:
            Masks(evidence.layout, Forward(), ends).neurons(layer, rule, sees=("residual",))
            loss = text_loss(evidence.model, held_out)
        return dense is None or loss is None or loss - dense <= bound

    start = first_rank(float(active.double().mean()), inputs.shape[1], ffn.d_ff)
    most = max(8, min(inputs.shape[1], ffn.d_ff))
    predictor, _ = of_rank(adapt(start, good, most))
    return predictor, [row for rank in sorted(made) for row in made[rank][1]]


def _of(arrays: Arrays, layer: int, form: str, device: "torch.device | str" = "cpu") -> Predictor:
    import torch

    first, second = (
        torch.from_numpy(arrays[f"{layer}/{name}"]).to(device) for name in ("first", "second")
    )
    return Predictor(first, second, form)  # type: ignore[arg-type]


def _allowed(evidence: Evidence, options: Any) -> np.ndarray:
    """(layers, d_ff) bool: neurons that may be computed at all."""
    ffns = evidence.layout.ffns
    if options.neurons == "all":
        return np.ones((len(ffns), ffns[0].d_ff), dtype=bool)
    if evidence.hot is None:
        raise Refused(f"{options.neurons} needs a classification, which says what is hot")
    return evidence.hot if options.neurons == "hot_only" else ~evidence.hot


def _rule(
    predictor: Predictor, threshold: float, allowed: np.ndarray, device: "torch.device"
) -> Callable[[Seen], Skipped]:
    skips = _skips(predictor, threshold, allowed, device)

    def skip(seen: Seen) -> Skipped:
        if seen.residual is None:
            raise ValueError("the residual stream was not asked for")
        return Skipped(before=skips(seen.residual))

    return skip


def _skips(
    predictor: Predictor, threshold: float, allowed: np.ndarray, device: "torch.device"
) -> "Callable[[torch.Tensor], torch.Tensor]":
    """A function from the residual stream, (..., d_model), to the neurons skipped, (..., d_ff)
    bool."""
    import torch

    never = torch.from_numpy(allowed == 0).to(device)
    first, second = predictor.first.to(device), predictor.second.to(device)
    own = Predictor(first, second, predictor.form)
    return lambda residual: (own.logits(residual) < threshold) | never


def _kept(
    skips: "Callable[[torch.Tensor], torch.Tensor]", residual: "torch.Tensor"
) -> "torch.Tensor":
    return ~skips(residual)
