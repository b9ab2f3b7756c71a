"""Measure the constants that a plan starts from: what rules take beside the model's arithmetic.

    python benchmarks/cost.py DIRECTORY

DIRECTORY holds results/ of studies that have run on this machine, of different size. Writes
resources/cost.json, with the machine named, and prints how well it fits.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from machine import machine
from scipy.optimize import nnls

from pipeline.commands.plan import past_jobs
from pipeline.planning import cost
from pipeline.planning.stages import STAGES


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path)
    runs = defaultdict(dict)
    for past in past_jobs(parser.parse_args().directory).values():
        for run in past:
            runs[run.job.rule][run.job.folder] = run
    rules = {rule: fitted(rule, list(found.values())) for rule, found in runs.items()}
    # A rule that no study here has divided costs what the undivided one does.
    for rule, stage in STAGES.items():
        if rule not in rules and stage.serves in rules:
            rules[rule] = rules[stage.serves]
    found = {"machine": machine(), "rules": dict(sorted(rules.items()))}
    cost.CONSTANTS.write_text(json.dumps(found, indent=1) + "\n")


def fitted(rule: str, runs: list[cost.Past]) -> dict[str, float]:
    """Non-negative least squares of relative errors: start, and time a token or a row, whichever
    the table of stages supposes that the rule's time grows with."""
    by_token = STAGES[rule].cost.token > 0
    work = np.array([r.job.tokens if by_token else r.job.rows for r in runs])
    speed = cost.EFFICIENCY * cost.speed()
    rest = np.array([max(0.0, r.seconds - r.job.flops / speed) for r in runs])
    weights = 1 / np.maximum(rest, 1e-3)
    matrix = np.stack([np.ones_like(work), work], axis=1) * weights[:, None]
    scale = np.array([1.0, max(1.0, work.max())])
    (start, each), _ = nnls(matrix / scale, rest * weights)
    each /= scale[1]
    off = (start + each * work) / np.maximum(rest, 1e-3) - 1
    print(f"{rule:22} {len(runs):4} jobs, relative error {np.abs(off).mean():.0%}")
    kept = sum(r.bytes for r in runs) / sum(max(1, r.job.rows) for r in runs)
    return {
        "start": round(float(start), 4),
        "token": float(f"{each if by_token else 0:.3g}"),
        "row": float(f"{0 if by_token else each:.3g}"),
        "bytes_a_row": float(f"{kept:.3g}"),
    }


if __name__ == "__main__":
    main()
