"""Measure the kernels on this machine, and set a study's accuracy against it."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from pipeline.artifacts import write_text
from pipeline.errors import UserError
from pipeline.registry import SPARSIFIERS
from pipeline.report.render import spec_text, svg
from pipeline.report.speed import figure, page, placed
from pipeline.study import Study
from pipeline.tables.curves import CURVES
from pipeline.tables.model import MODEL

#: Where the page of a study stands, below its folder of timings.
PAGE = "speed.html"


def speed(
    study: Study, directory: Path, d: int, d_ff: int, dtype: str, rounds: int, device: str
) -> Path:
    """Write the page, the figure's spec and the measurements; the page's place is returned.

    UserError when the study has not been analysed yet, or there is no such device.
    """
    import torch

    from pipeline.kernels import available_backends
    from pipeline.kernels.speed import speeds

    results = directory / "results"
    curves = results / study.config.study / "analyse" / "curves.parquet"
    if not curves.exists():
        raise UserError(
            f"{curves}: not there yet; run the study first, its accuracy is one of the axes"
        )
    if device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"device {device}: torch finds no GPU here")
    measured = speeds(d, d_ff, getattr(torch, dtype), rounds, device)
    shape = {
        "d": d,
        "d_ff": d_ff,
        "dtype": dtype,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "machine": _machine(device),
        "backend": ", ".join(
            f"{each.name} ({each.details})" for each in available_backends() if each.available
        ),
    }
    rows = placed(CURVES.read(curves).to_dicts(), forms(study), measured, _parts(study, results))
    spec = figure(rows)
    folder = results / "timing" / study.config.study
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "speed.json", json.dumps({**shape, "rows": measured}, indent=1) + "\n")
    write_text(folder / "speed.vl.json", spec_text(spec))
    write_text(folder / PAGE, page(study.config.study, rows, measured, shape, svg(spec)))
    return folder / PAGE


def forms(study: Study) -> dict[str, str]:
    """The kernels' form by method, of those whose sparsifier has one."""
    found = {}
    for name, method in study.config.methods.items():
        if method.sparsifier:
            form = SPARSIFIERS.load(method.sparsifier.name).kernel_form
            if form:
                found[name] = form
    return found


def _parts(study: Study, results: Path) -> dict[str, float]:
    """By model, the FFN's share of the weights of the blocks' linear layers."""
    found = {}
    for name in study.config.models:
        record = MODEL.read(results / "shared/resolve_model" / study.model_key(name) / "model.json")
        found[name] = record["ffn_weights"] / record["linear_weights"]
    return found


def _machine(device: str) -> str:
    import torch

    if device != "cpu":
        return str(torch.cuda.get_device_name())
    with open("/proc/cpuinfo", encoding="utf-8") as stream:
        names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    name: Any = names[0] if names else platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores"
