"""`percentile`: outputs of the FFN's projections below a percentile of their magnitude are set to
zero (arXiv 2412.12178, equations 3 to 7): gate, up and down, each switchable.

A neuron is zero where its gate or its up output is, so more neurons are skipped than the share of
either. Setting outputs of the down projection to zero saves nothing, since they are known only once
they are computed; the paper does it, and it costs accuracy.
"""

from functools import partial
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from pipeline.config.base import Section
from pipeline.methods.masks import Masks, Seen
from pipeline.methods.plan import Arrays, Refused
from pipeline.methods.sparsifiers.base import Evidence, Sparsifier
from pipeline.methods.sparsifiers.thresholds import above, limit
from pipeline.models.forward import Skipped
from pipeline.models.views import ModelView


class Options(Section):
    """Which outputs are thresholded."""

    outputs: tuple[Literal["gate", "up", "down"], ...] = Field(
        ("gate", "up", "down"),
        min_length=1,
        description="projections whose outputs are thresholded, `gate` before its activation",
    )

    @field_validator("outputs")
    @classmethod
    def _once(cls, values: tuple) -> tuple:
        if len(set(values)) != len(values):
            raise ValueError("values must not repeat")
        return values


class Percentile(Sparsifier):
    """Small outputs of the projections become zero. Arrays: `gate`, `up` and `down`, (layers,)
    thresholds each, of those that are switched on.

    Sample:

        sparsifier: {name: percentile, outputs: [gate, up]}
        corpus: reasoning
        levels: [0.5, 0.7]
    """

    label = "percentile thresholds"
    Options = Options

    def check(self, layout: ModelView, options: Any) -> None:
        """Raise Refused for the gate of an FFN that has none."""
        if "gate" in options.outputs and not layout.ffns[0].gated:
            raise Refused("this model's FFN has no gate; leave `gate` out of `outputs`")

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """The same share of every output, in every layer."""
        tensors = {"gate": "ffn.gate", "up": "ffn.up", "down": "ffn.output"}
        layers = range(len(evidence.layout.ffns))
        return {
            name: np.array(
                [limit(evidence.magnitudes(layer, tensors[name]), share) for layer in layers]
            )
            for name in options.outputs
        }

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook every layer's thresholds."""
        for layer, ffn in enumerate(masks.layout.ffns):
            own = {name: float(values[layer]) for name, values in arrays.items()}
            inner = {name for name in own if name != "down"}
            if inner:
                # The gate is compared before the activation function, and act(0) is 0.
                sees = tuple("gate_input" if name == "gate" else name for name in sorted(inner))
                masks.neurons(layer, _rule(own), sees)
            if "down" in own:
                masks.outputs(ffn.down.module, partial(above, threshold=own["down"]))


def _rule(own: dict[str, float]) -> Any:
    def skip(seen: Seen) -> Skipped:
        gate = up = None
        if "gate" in own and seen.gate_input is not None:
            gate = ~above(seen.gate_input, own["gate"])
        if "up" in own and seen.up is not None:
            up = ~above(seen.up, own["up"])
        return Skipped(gate=gate, hidden=up)

    return skip
