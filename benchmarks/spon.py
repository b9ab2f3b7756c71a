"""How fast SPON's vectors are to learn: held-out loss by learning rate.

    python benchmarks/spon.py [--models ref-swiglu ref-geglu] [--levels 0.5 0.6] [--tokens 40000]

TEAL on built-in models at shares of all weights of the blocks, on the built-in reasoning text, one
core. For every site and learning rate it tells the loss on held-out text without the vectors and at
the best step, KL(original || sparse) in nats a token, and what the closed form `mean_bias` reaches
at the same site. Writes benchmarks/results/spon.json and prints a table.
"""

import argparse
import copy
import json
import os
import time
from contextlib import ExitStack
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from machine import machine

from pipeline.calibration.extraction import extract
from pipeline.config.calibration import Corpus
from pipeline.config.level import Level
from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.methods.apply import apply
from pipeline.methods.compensation.mean_bias import MeanBias
from pipeline.methods.compensation.sites import Repair, fold
from pipeline.methods.compensation.spon import Spon
from pipeline.methods.fitting import fit
from pipeline.methods.plan import Asked, Plan
from pipeline.methods.sparsifiers.base import Evidence
from pipeline.models.loading import load
from pipeline.models.resolve import resolve
from pipeline.models.views import view
from pipeline.profiling.evidence import histograms

RESULT = Path(__file__).resolve().parent / "results" / "spon.json"
MEASURE = "model_weight_sparsity"
SITES = ("down", "all")
HEADER = (
    f"{'model':12}{'level':>6}{'sites':>6}{'rate':>12}{'before':>10}{'after':>10}{'less':>8}"
    f"{'best':>6}{'last':>6}{'seconds':>8}"
)
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["ref-swiglu", "ref-geglu"])
    parser.add_argument("--levels", nargs="+", type=float, default=[0.5, 0.6])
    parser.add_argument("--rates", nargs="+", type=float, default=RATES)
    parser.add_argument("--tokens", type=int, default=40_000)
    parser.add_argument("--steps", type=int, default=150)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(HEADER)
    for name in given.models:
        bench = Bench(name, given.tokens)
        for level in given.levels:
            for row in bench.at(level, given.rates, given.steps):
                rows.append({"model": name, "level": level, **row})
                print(line(rows[-1]), flush=True)
    found = {
        "rows": rows,
        "measure": MEASURE,
        "tokens": given.tokens,
        "options": Spon.Options(steps=given.steps).model_dump(exclude={"sites", "learning_rate"}),
        "machine": machine(),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")


def line(row: dict) -> str:
    """A row of the table."""
    rate = f"{row['learning_rate']:g}" if row["learning_rate"] else "closed form"
    return (
        f"{row['model']:12}{row['level']:6}{row['sites']:>6}{rate:>12}"
        f"{row['before']:10.4f}{row['after']:10.4f}{1 - row['after'] / row['before']:8.1%}"
        f"{row['best_step']:6}{row['last_step']:6}{row['seconds']:8.1f}"
    )


class Bench:
    """A built-in model with its text."""

    def __init__(self, name: str, tokens: int) -> None:
        section = Model(source=f"builtin:{name}")
        self.model, tokenizer = load(section, resolve(name, section))
        corpus = Corpus(source="builtin:reasoning", tokens=tokens, sequence_length=128)
        self.rows = extract(corpus, tokenizer, [])[0]["tokens"]
        self.special = tokenizer.all_special_ids

    def evidence(self, model: torch.nn.Module) -> Evidence:
        """What fitting may look at."""

        def tables() -> object:
            return histograms(model, self.rows, self.special, Profile())

        return Evidence(model, self.rows, self.special, tables, lambda _tokens: {})

    def at(self, level: float, rates: list[float], steps: int):
        """A row for every site and learning rate, and one for the closed form."""
        teal = {"name": "teal", "options": {"allocation": "uniform"}}
        asked = Asked({"sparsifier": teal}, Level.of(level), MEASURE)
        plan, _ = fit(asked, self.evidence(copy.deepcopy(self.model)), {}, lambda: None)
        if plan.refused:
            raise ValueError(plan.refused)
        for sites in SITES:
            for rate in rates:
                options = Spon.Options(sites=sites, learning_rate=rate, steps=steps)
                begin = time.perf_counter()
                with ExitStack() as ends:
                    _, curve = Spon().fit(self.sparse(plan, ends), options)
                (best,) = [row for row in curve if row["best"]]
                yield {
                    "sites": sites,
                    "learning_rate": rate,
                    "before": curve[0]["held_out"],
                    "after": best["held_out"],
                    "best_step": best["step"],
                    "last_step": curve[-1]["step"],
                    "seconds": time.perf_counter() - begin,
                    "held_out_by_step": {row["step"]: row["held_out"] for row in curve},
                }
            yield {"sites": sites, "learning_rate": None, **self.closed_form(plan, sites)}

    def sparse(self, plan: Plan, ends: ExitStack) -> Repair:
        """A fresh model with TEAL at work."""
        student = copy.deepcopy(self.model)
        forward = apply(plan, view(student), ends)
        return Repair(self.evidence(student), forward, lambda: self.model)

    def closed_form(self, plan: Plan, sites: str) -> dict:
        """What the mean bias reaches, by the loss of SPON at its step 0."""
        losses = []
        with ExitStack() as ends:
            repair = self.sparse(plan, ends)
            options = Spon.Options(steps=1, learning_rate=1e-9)
            losses.append(Spon().fit(repair, options)[1][0]["held_out"])
            begin = time.perf_counter()
            found, _ = MeanBias().fit(repair, MeanBias.Options(sites=sites))
            seconds = time.perf_counter() - begin
            fold(found, repair.evidence.layout)
            losses.append(Spon().fit(repair, options)[1][0]["held_out"])
        before, after = losses
        return {
            "before": before,
            "after": after,
            "best_step": 0,
            "last_step": 0,
            "seconds": seconds,
            "held_out_by_step": {0: before},
        }


if __name__ == "__main__":
    main()
