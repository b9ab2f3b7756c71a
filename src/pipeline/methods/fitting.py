"""Fit the parts of a method, one after the other, each on the model as those before left it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pipeline.config.level import SHARE
from pipeline.methods.apply import attach, entry_of, options_of, quantize, remove
from pipeline.methods.compensation.sites import Repair, fold
from pipeline.methods.masks import Masks
from pipeline.methods.plan import Arrays, Asked, Plan, Refused, named, under
from pipeline.methods.sparsifiers.base import MEASURED_TOKENS, Curve, Evidence
from pipeline.methods.sparsifiers.static import shared_with_coldest
from pipeline.methods.target import BOUND, reach, settle
from pipeline.methods.weights import layers, written
from pipeline.models.batches import Batch
from pipeline.models.forward import START, Forward
from pipeline.models.memory import Halving
from pipeline.models.sparsity import Meter, figures
from pipeline.store.digest import of_bytes, of_value


def prepare(asked: Asked, evidence: Evidence) -> tuple[Arrays, Curve]:
    """What all levels of a method share, by part, and the loss curves of what was trained for it.

    Empty where the method is refused; fitting then says why.
    """
    try:
        fitting = _Fitting(asked, evidence, {})
        fitting.check()
        fitting.weights()
        fitting.quantization()
        part = asked.parts["sparsifier"]
        found, curve = entry_of("sparsifier", part["name"])().prepare(
            evidence, options_of("sparsifier", part)
        )
    except Refused:
        return {}, []
    return {**fitting.arrays, **named(found, "sparsifier")}, curve


def fit(
    asked: Asked,
    evidence: Evidence,
    prepared: Arrays,
    teacher: Callable[[], Any],
    text: Sequence[Sequence[int]] | None = None,
) -> tuple[Plan, Curve]:
    """The plan of a method at one level, and the loss curves of what was trained for it.

    `teacher` loads the original model anew, since that of the evidence is changed. `prepared` is
    the result of `prepare`, empty where the method has nothing to prepare; `text` is what a
    compensation is fitted on, where that is not the evidence's text.
    """
    facts: dict[str, Any] = {
        "parts": asked.parts,
        "level": asked.level.text,
        "seed": asked.seed,
        "measure": asked.measure,
        "sparse_from": asked.sparse_from,
        "neurons": sum(ffn.d_ff for ffn in evidence.layout.ffns),
        "cold": None if evidence.hot is None else int((~evidence.hot).sum()),
    }
    fitting = _Fitting(asked, evidence, prepared)
    try:
        fitting.check()
        fitting.weights()
        fitting.quantization()
        with ExitStack() as ends:
            fitting.sparsifier(ends)
            fitting.compensation(teacher, text)
            achieved = figures(_counts(evidence, fitting.forward))
    except Refused as reason:
        return Plan(**facts, reach=fitting.reach, refused=str(reason)), []
    return Plan(
        **facts, arrays=fitting.arrays, share=fitting.share, reach=fitting.reach,
        achieved=achieved, shared_with_coldest=fitting.shared,
    ), fitting.curve  # fmt: skip


class _Fitting:
    """The parts of one method as they are fitted; the evidence's model changes with them."""

    def __init__(self, asked: Asked, evidence: Evidence, prepared: Arrays) -> None:
        self.asked = asked
        self.evidence = evidence
        self.prepared = prepared
        self.arrays: Arrays = {}
        self.share: float | None = None
        self.reach: tuple[float, float] | None = None
        self.curve: Curve = []
        self.shared: float | None = None
        self.forward = Forward()
        self._pruned: dict = {}
        self._gone: np.ndarray | None = None

    def part(self, kind: str) -> tuple[Any, Any, Mapping[str, Any]] | None:
        """(an object of the part, its options, its configuration), or None without one."""
        part = self.asked.parts.get(kind)
        if part is None:
            return None
        return entry_of(kind, part["name"])(), options_of(kind, part), part

    def check(self) -> None:
        """Raise Refused for what makes no sense on this model, before any work."""
        for kind in ("weights", "sparsifier"):
            if found := self.part(kind):
                found[0].check(self.evidence.layout, found[1])
        if found := self.part("compensation"):
            found[0].check(self.asked.parts)

    def weights(self) -> None:
        """Prune the matrices, or apply the pruning that was prepared."""
        found = self.part("weights")
        if found is None:
            return
        pruner, options, _ = found
        layout = self.evidence.layout
        own = under(self.prepared, "weights")
        if own:
            written.apply(own, layout)
        else:
            share = self.asked.level.share if options.share is None else options.share
            own = layers.prune(self.evidence, pruner, options, share)
        self._pruned = written.pruned(own, layout)
        if "dropped" in own:
            self._gone = own["dropped"].astype(bool)
            remove(self._gone, layout)
        self.arrays |= named(own, "weights")

    def quantization(self) -> None:
        """Quantize the matrices."""
        if part := self.asked.parts.get("quantization"):
            quantize(part, self.evidence.layout)

    def sparsifier(self, ends: ExitStack) -> None:
        """Find the setting, and hook the sparsifier on the model."""
        self.forward = self._forward()
        found = self.part("sparsifier")
        if found is None:
            return
        entry, options, part = found
        own = under(self.prepared, "sparsifier")
        if not own:
            own, self.curve = entry.prepare(self.evidence, options)
        level = self.asked.level

        def at(share: float) -> Arrays:
            found: Arrays = entry.at(self.evidence, own, options, share)
            return found

        measure = self.asked.measure
        if measure is None:
            self.share = level.share if level.kind == SHARE else None
            arrays = entry.at_level(self.evidence, own, options, level)
        else:

            def achieved(share: float) -> float:
                forward = self._forward()
                with ExitStack() as own_ends:
                    attach(part, at(share), Masks(self.evidence.layout, forward, own_ends))
                    found = figures(_counts(self.evidence, forward))
                return found["total"][measure]

            most = entry.most(self.evidence, options)
            self.reach = reach(achieved, most)
            self.share = settle(achieved, level.share, self.reach, most, measure)
            missed = achieved(self.share)
            if abs(missed - level.share) > BOUND:
                raise Refused(
                    f"{measure} {level.text} cannot be met within {BOUND}: on this model the "
                    f"method jumps past it, and {missed:.3f} is nearest"
                )
            arrays = at(self.share)
        attach(part, arrays, Masks(self.evidence.layout, self.forward, ends))
        self.arrays |= named(arrays, "sparsifier")
        if entry.static and entry.seeded:
            self.shared = shared_with_coldest(arrays["dropped"].astype(bool), self.evidence.neurons)

    def compensation(
        self, teacher: Callable[[], Any], text: Sequence[Sequence[int]] | None
    ) -> None:
        """Fit what is added to biases, with everything else in place, and add it."""
        found = self.part("compensation")
        if found is None:
            return
        entry, options, _ = found
        done = [[name, of_bytes(values.tobytes())] for name, values in self.arrays.items()]
        evidence = replace(
            self.evidence,
            sequences=text or self.evidence.sequences,
            fingerprint=of_value([self.evidence.fingerprint, done]),
        )
        repair = Repair(evidence, self.forward, teacher)
        biases, curve = entry.fit(repair, options)
        fold(biases, self.evidence.layout)
        self.arrays |= named(biases, "compensation")
        self.curve = [*self.curve, *curve]

    def _forward(self) -> Forward:
        # Texts are sparse from their start, wherever the method starts in other sequences.
        return Forward(sparse_from=START, removed=self._gone, pruned=self._pruned)


def _counts(evidence: Evidence, forward: Forward) -> list[dict[str, int]]:
    """What is skipped on some of the calibration text."""
    import torch

    meter = Meter(evidence.layout, forward)
    base = evidence.model.base_model
    halving = Halving(meter.mark)

    def run(batch: Batch, places: Sequence[int]) -> list[None]:
        part = batch.part(places)
        base(input_ids=part.tokens, attention_mask=part.attention, use_cache=False)
        return []

    with torch.inference_mode(), meter.watching(base):
        for batch in evidence.batched(MEASURED_TOKENS):
            halving.run(range(len(batch.rows)), partial(run, batch))
    return meter.counts()
