"""Measure the kernels on this machine, and set a study's accuracy against it."""

import json
import sys
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.models.forward import CONTINUATION, START
from pipeline.models.skips import ACTIVE, SLICED
from pipeline.planning.study import Study
from pipeline.registry import KERNELS, SPARSIFIERS
from pipeline.report.render import spec_text, svg
from pipeline.report.speed import figure, page, placed
from pipeline.store.artifacts import write_text
from pipeline.store.machine import processor
from pipeline.tables.curves import CURVES
from pipeline.tables.model import MODEL

#: Where the page of a study stands, below its folder of timings.
PAGE = "speed.html"


def speed(
    study: Study, directory: Path, d: int, d_ff: int, dtype: str, rounds: int, device: str
) -> Path:
    """Write the page, its figure, the figure's spec and the measurements; returns the path of the
    page.

    UserError when the study has not been analysed yet, or there is no such device.
    """
    import torch

    from pipeline.decoding.timing import speeds
    from pipeline.kernels.interface import AUTO, choose

    results = directory / "results"
    at = results / study.config.study / "analyse" / "curves.parquet"
    if not at.exists():
        raise UserError(
            f"{at}: not there yet; run the study first, its accuracy is one of the axes"
        )
    if device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"device {device}: torch finds no GPU here")
    curves = CURVES.read(at).to_dicts()
    models = {each: _record(study, each, results) for each in study.config.models}
    name, why = choose(AUTO, torch.empty(0, dtype=getattr(torch, dtype), device=device))
    if name == "reference":
        sys.stderr.write(f"these are not the fast kernels but plain torch: {why}\n")
    measured = speeds(d, d_ff, getattr(torch, dtype), rounds, device)
    setting = {
        "d": d,
        "d_ff": d_ff,
        "dtype": dtype,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "machine": processor() if device == "cpu" else torch.cuda.get_device_name(),
        "backend": f"{name} ({KERNELS.load(name).details()})",
    }
    rows = placed(curves, forms(study), measured, models)
    spec = figure(rows, study.methods)
    folder = results / "timing" / study.config.study
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "speed.json", json.dumps({**setting, "rows": measured}, indent=1) + "\n")
    write_text(folder / "speed.vl.json", spec_text(spec))
    drawn = svg(spec)
    write_text(folder / "speed.svg", drawn)
    write_text(folder / PAGE, page(study.config.study, rows, measured, setting, drawn))
    return folder / PAGE


def forms(study: Study) -> dict[str, str]:
    """The kernels' form by method, of those whose sparsifier has one.

    A method that prunes weights has no form: pruned weights count as achieved sparsity, but no
    kernel saves time by them. Nor has one that starts after a given number of tokens, which
    decoding cannot do.
    """
    found = {}
    for name, method in study.config.methods.items():
        if not method.sparsifier or method.weights:
            continue
        if method.sparse_from not in (START, CONTINUATION):
            continue
        form = SPARSIFIERS.load(method.sparsifier.name).kernel_form
        if form == SLICED and method.sparse_from != START:
            # The neurons are needed for the start, so they stay where they are.
            form = ACTIVE
        if form:
            found[name] = form
    return found


def _record(study: Study, name: str, results: Path) -> dict[str, Any]:
    return MODEL.read(results / "shared/resolve_model" / study.model_key(name) / "model.json")
