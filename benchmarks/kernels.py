"""Sparse kernels against torch's dense products, and against what else could skip neurons.

    python benchmarks/kernels.py [--rounds 9] [--threads 2] [--shapes 4096x11008,4096x14336,128x512]

One token through one FFN (SiLU, gated) with random weights, or through one linear layer, as
`pipeline.kernels.speed` measures it. The time of making the list of active neurons from the mask
counts. Writes benchmarks/results/kernels.json (kernels-cuda.json on a GPU), the part of
docs/kernels.md that tells of it, and docs/kernels.svg.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from machine import machine

from pipeline.kernels import available_backends
from pipeline.kernels.speed import Trial, speeds, timed
from pipeline.report.readme import between
from pipeline.report.render import svg
from pipeline.report.style import finished

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = RESULTS.parents[1] / "docs" / "kernels.md"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--shapes", default="4096x11008,4096x14336,128x512")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = []
    for shape in given.shapes.split(","):
        d, d_ff = map(int, shape.split("x"))
        for name in given.dtypes.split(","):
            others = {"gather": gather, "embedding_bag": embedding_bag}
            for row in speeds(d, d_ff, DTYPES[name], given.rounds, given.device, others):
                rows.append({"d": d, "d_ff": d_ff, "dtype": name, **row})
                print(told(rows[-1]), flush=True)
    found = {
        "machine": machine() | {"device": hardware(given.device), "torch": torch.__version__},
        "threads": given.threads,
        "backends": {each.name: each.details for each in available_backends()},
        "read_bytes_a_second": bandwidth(given.device),
        "rows": rows,
    }
    name = "kernels.json" if given.device == "cpu" else f"kernels-{given.device}.json"
    (given.out or RESULTS / name).write_text(json.dumps(found, indent=1) + "\n")
    for line in budgets(rows, given.device):
        print(line)
    if not given.out and given.device == "cpu":
        PAGE.write_text(between(PAGE.read_text(), "kernels", summary(found)))
        PAGE.with_suffix(".svg").write_text(svg(figure(rows)))


#: Of a device: d, d_ff, types, and by form the shares at which a budget holds, with the part of the
#: ideal that it asks for.
_BUDGETS = {
    "cpu": (
        4096, 11008, ("float32", "bfloat16"),
        {
            "active": {0.0: 1.0, 0.5: 1.0, 0.75: 1.0, 0.9: 1.0},
            "threshold": {0.5: 1.0, 0.75: 1.0, 0.9: 1.0},
        },
    ),
    "cuda": (
        4096, 14336, ("bfloat16",),
        {form: {0.5: 0.8, 0.75: 0.8, 0.9: 0.6} for form in ("active", "channels")},
    ),
}  # fmt: skip


def budgets(rows: list[dict], device: str) -> list[str]:
    """A line for every budget, met or not."""
    d, d_ff, dtypes, forms = _BUDGETS[device]
    found = []
    for each in rows:
        part = forms.get(each["form"], {}).get(each["share"])
        if part is None or (each["d"], each["d_ff"]) != (d, d_ff) or each["dtype"] not in dtypes:
            continue
        wanted = part * each["ideal"]
        word = "met" if each["ratio"] >= wanted else "NOT met"
        found.append(
            f"{each['dtype']} {each['form']} at {each['share']:.0%}: {each['ratio']:.2f} times, "
            f"budget {wanted:.2f}: {word}"
        )
    return found


_NAMES = {
    "active": "FFN, `active=`",
    "threshold": "FFN, `threshold=`",
    "threshold without a gate": "FFN without a gate, `threshold=`",
    "channels": "linear layer, `threshold=`",
}


def place(row: dict) -> tuple:
    """What rows of several forms have in common."""
    return row["d"], row["d_ff"], row["dtype"], row["share"]


def summary(found: dict) -> str:
    """What stands in docs/kernels.md."""
    lines = [
        "![Times as fast as torch dense against the share skipped](kernels.svg)",
        "",
        "| what | shape | weights | skipped | ideal | **ours** | read | sliced | embedding_bag "
        "| gather |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    cut = {place(row): row for row in found["rows"] if row["form"] == "sliced"}
    for each in found["rows"]:
        if each["form"] not in _NAMES:
            continue
        others = {name: f"{told['ratio']:.2f}" for name, told in each["others"].items()}
        if each["form"] == "active":
            others["sliced"] = f"{cut[place(each)]['ratio']:.2f}"
        beside = [others.get(name, "") for name in ("sliced", "embedding_bag", "gather")]
        told = f"**{each['ratio']:.2f}** [{each['low']:.2f}, {each['high']:.2f}]"
        lines.append(
            f"| {_NAMES[each['form']]} | {each['d']} x {each['d_ff']} | {each['dtype']} | "
            f"{each['share']:.0%} | {each['ideal']:.2f} | {told} | "
            f"{each['bytes_a_second'] / 1e9:.1f} GB/s | {' | '.join(beside)} |"
        )
    at = found["machine"]
    lines += [
        "",
        f"{found['threads']} threads on {at['cores']} cores ({at['processor']}), "
        f"{found['backends']['cpu']}, torch {at['torch']}. A sum over a gibibyte reads "
        f"{found['read_bytes_a_second'] / 1e9:.1f} GB/s here.",
    ]
    return "\n".join(lines)


def figure(rows: list[dict]) -> dict:
    """Ratios against the share skipped, at the largest shapes, ideals as dashed lines."""
    import altair as alt

    drawn = [each for each in rows if each["d"] > 1024 and each["share"] < 0.95]
    panels = [
        panel([each for each in drawn if each["form"] == form], name.replace("`", ""))
        for form, name in _NAMES.items()
    ]
    return finished(
        alt.concat(*panels, columns=2), "Times as fast as torch dense; dashed: the ideal"
    )


def panel(rows: list[dict], title: str) -> Any:
    """One kind of kernel."""
    import altair as alt

    points, ideals = [], []
    for each in rows:
        weights = f"{each['dtype']}, {each['d']} x {each['d_ff']}"
        told = {name: each[name] for name in ("ratio", "low", "high")}
        points.append({"skipped": each["share"], "weights": weights, **told})
        ideals.append({"skipped": each["share"], "ratio": each["ideal"]})
    x = alt.X("skipped:Q", title="share skipped", axis=alt.Axis(format="%"))
    ticks = alt.Axis(values=[1, 2, 3, 5, 10, 20])
    y = alt.Y(
        "ratio:Q",
        title="times as fast as torch dense",
        axis=ticks,
        scale=alt.Scale(type="log", domain=[0.8, 25], nice=False),
    )
    color = alt.Color("weights:N", title=None)
    base = alt.Chart(alt.InlineData(values=points), width=230, height=260, title=title)
    line = alt.Chart(alt.InlineData(values=ideals)).mark_line(color="#888888", strokeDash=[4, 3])
    marks = base.mark_point(filled=True, size=60, opacity=0.9).encode(x, y, color)
    bars = base.mark_rule().encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color)
    return alt.layer(line.encode(x, y), bars, marks)


def told(row: dict) -> str:
    """One line of what was measured."""
    others = [f"{name} {each['ratio']:.2f}" for name, each in row.get("others", {}).items()]
    parts = [
        f"{row['d']} x {row['d_ff']} {row['dtype']:9} {row['form']:9} {row['share']:4.0%}: "
        f"{row['ratio']:.2f} times ({row['low']:.2f}, {row['high']:.2f})",
        f"ideal {row['ideal']:.2f}",
        f"{row['bytes_a_second'] / 1e9:.1f} GB/s",
    ]
    return ", ".join([*parts, *others])


def gather(trial: Trial) -> torch.Tensor:
    """Copies of the active rows, multiplied by torch."""
    kept, h = _hidden(trial)
    return h @ trial.down_rows[kept]


def embedding_bag(trial: Trial) -> torch.Tensor:
    """The same, the sum over down's rows being torch's."""
    kept, h = _hidden(trial)
    return torch.nn.functional.embedding_bag(
        kept[None], trial.down_rows, mode="sum", per_sample_weights=h
    )


def _hidden(trial: Trial) -> tuple[torch.Tensor, torch.Tensor]:
    """The active neurons, found from the mask as the kernels find them, and their h."""
    kept = trial.mask.nonzero().squeeze(1)
    gate, up = trial.gate[kept], trial.up[kept]
    return kept, torch.nn.functional.silu(trial.x @ gate.T) * (trial.x @ up.T)


def bandwidth(device: str) -> float:
    """Bytes a second that a sum over a gibibyte reads, the best of five."""
    values = torch.ones(1 << 28, device=device)
    return values.nbytes / min(timed(values.sum) for _ in range(5))


def hardware(device: str) -> str:
    """What the products ran on."""
    return torch.cuda.get_device_name() if device != "cpu" else "CPU"


if __name__ == "__main__":
    main()
