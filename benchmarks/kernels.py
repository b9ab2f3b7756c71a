"""Sparse kernels against torch's dense products, and against what else could skip neurons.

    python benchmarks/kernels.py [--rounds 9] [--threads 2] [--shapes 4096x11008,4096x14336,128x512]

One token through one FFN (SiLU, gated) with random weights, or through one linear layer. In a round
every contender runs once, in an order that is drawn anew; a ratio is that of two neighbours in one
round, and what is reported is the median over rounds with its 95 % bootstrap interval. Masks are
drawn anew for every round, so that no weights are in the cache from the last one, and all
contenders of a round share theirs. The time of making the list of active neurons from the mask
counts. Writes benchmarks/results/kernels.json (kernels-cuda.json on a GPU), the part of
docs/kernels.md that tells of it, and docs/kernels.svg.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine

from pipeline.kernels import available_backends, pack_ffn, pack_linear, sparse_ffn, sparse_linear
from pipeline.report.readme import between
from pipeline.report.render import svg
from pipeline.report.style import finished

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = RESULTS.parents[1] / "docs" / "kernels.md"
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
#: Shapes whose weights take less than this are run several times a measurement.
_SECONDS = 0.004


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
            for row in measured(d, d_ff, DTYPES[name], given.rounds, given.device):
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
    for line in budgets(rows):
        print(line)
    if not given.out and given.device == "cpu":
        PAGE.write_text(between(PAGE.read_text(), "kernels", summary(found)))
        PAGE.with_suffix(".svg").write_text(svg(figure(rows)))


#: Shares at which a budget holds, by what is measured, and the share of the ideal that it asks for.
_BUDGETS = {"active": ((0.0, 0.5, 0.75, 0.9), 1.0), "threshold": ((0.5, 0.75, 0.9), 1.0)}
_OF = {"d": 4096, "d_ff": 11008}


def budgets(rows: list[dict]) -> list[str]:
    """A line for every budget, met or not."""
    found = []
    for each in rows:
        shares, part = _BUDGETS.get(each["what"], ((), 1.0))
        if each["share"] in shares and all(each[name] == size for name, size in _OF.items()):
            ratio, wanted = each["ratios"]["ours"]["ratio"], part * each["ideal"]
            word = "met" if ratio >= wanted else "NOT met"
            found.append(
                f"{each['dtype']} {each['what']} at {each['share']:.0%}: {ratio:.2f} times, budget "
                f"{wanted:.2f}: {word}"
            )
    return found


_NAMES = {
    "active": "FFN, `active=`",
    "threshold": "FFN, `threshold=`",
    "linear": "linear layer, `threshold=`",
}


def summary(found: dict) -> str:
    """What stands in docs/kernels.md."""
    lines = [
        "![Times as fast as torch dense against the share skipped](kernels.svg)",
        "",
        "| what | shape | weights | skipped | ideal | **ours** | sliced | embedding_bag | gather |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in found["rows"]:
        ratios = each["ratios"]
        others = [
            f"{ratios[name]['ratio']:.2f}" if name in ratios else ""
            for name in ("sliced", "embedding_bag", "gather")
        ]
        ours = ratios["ours"]
        told = f"**{ours['ratio']:.2f}** [{ours['low']:.2f}, {ours['high']:.2f}]"
        shape = f"{each['d']} x {each['d_ff']}"
        lines.append(
            f"| {_NAMES[each['what']]} | {shape} | {each['dtype']} | {each['share']:.0%} | "
            f"{each['ideal']:.2f} | {told} | {' | '.join(others)} |"
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
        panel([each for each in drawn if each["what"] == what], name.replace("`", ""))
        for what, name in _NAMES.items()
    ]
    return finished(alt.hconcat(*panels), "Times as fast as torch dense; dashed: the ideal")


def panel(rows: list[dict], title: str) -> Any:
    """One kind of kernel."""
    import altair as alt

    points, ideals = [], []
    for each in rows:
        weights = f"{each['dtype']}, {each['d']} x {each['d_ff']}"
        ours = each["ratios"]["ours"]
        points.append({"skipped": each["share"], "weights": weights, **ours})
        ideals.append({"skipped": each["share"], "ratio": each["ideal"]})
    x = alt.X("skipped:Q", title="share skipped", axis=alt.Axis(format="%"))
    ticks = alt.Axis(values=[1, 2, 3, 4, 5, 10])
    y = alt.Y(
        "ratio:Q",
        title="times as fast as torch dense",
        axis=ticks,
        scale=alt.Scale(type="log", domain=[0.8, 16]),
    )
    color = alt.Color("weights:N", title=None)
    base = alt.Chart(alt.InlineData(values=points), width=230, height=260, title=title)
    line = alt.Chart(alt.InlineData(values=ideals)).mark_line(color="#888888", strokeDash=[4, 3])
    marks = base.mark_point(filled=True, size=60, opacity=0.9).encode(x, y, color)
    bars = base.mark_rule().encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color)
    return alt.layer(line.encode(x, y), bars, marks)


def told(row: dict) -> str:
    """One line of what was measured."""
    of = f"{row['d']} x {row['d_ff']} {row['dtype']:9} {row['what']:10} {row['share']:4.0%}"
    parts = [
        f"{n} {r['ratio']:.2f} ({r['low']:.2f}, {r['high']:.2f})" for n, r in row["ratios"].items()
    ]
    read = f"{row['bytes_a_second'] / 1e9:.1f} GB/s"
    return f"{of}: ideal {row['ideal']:.2f}; {'; '.join(parts)}; {read}"


def measured(d: int, d_ff: int, dtype: torch.dtype, rounds: int, device: str) -> list[dict]:
    """Rows of all kinds and shares: times of dense divided by those of each contender."""
    draw = torch.Generator(device).manual_seed(0)
    gate, up = (
        (torch.randn(d_ff, d, generator=draw, device=device) / d**0.5).to(dtype) for _ in range(2)
    )
    down = (torch.randn(d, d_ff, generator=draw, device=device) / d_ff**0.5).to(dtype)
    transposed = down.T.contiguous()
    packed = pack_ffn(gate, up, down, activation="silu")
    linear = pack_linear(gate)
    x = torch.randn(1, d, generator=draw, device=device).to(dtype)
    activation = torch.nn.functional.silu((x @ gate.T).float()).abs()[0]
    functional = torch.nn.functional
    act = functional.silu

    def dense() -> torch.Tensor:
        return functional.linear(act(functional.linear(x, gate)) * functional.linear(x, up), down)

    rows = []
    width = gate.element_size()
    for share in SHARES:
        masks = [
            (torch.rand(d_ff, generator=draw, device=device) >= share) for _ in range(rounds + 1)
        ]
        turn = iter(masks)
        now = {"mask": next(turn)}

        def renew(now: dict = now, turn: object = turn) -> None:
            now["mask"] = next(turn)
            kept = now["mask"].nonzero().squeeze(1)
            now["sliced"] = gate[kept], up[kept], down[:, kept].contiguous()
            now["indices"] = kept

        def ours(now: dict = now) -> torch.Tensor:
            return sparse_ffn(x, packed, active=now["mask"])

        def gather(now: dict = now) -> torch.Tensor:
            kept = now["mask"].nonzero().squeeze(1)
            h = act(x @ gate[kept].T) * (x @ up[kept].T)
            return h @ transposed[kept]

        def bag(now: dict = now) -> torch.Tensor:
            kept = now["mask"].nonzero().squeeze(1)
            h = act(x @ gate[kept].T) * (x @ up[kept].T)
            return functional.embedding_bag(
                kept[None], transposed, mode="sum", per_sample_weights=h
            )

        def sliced(now: dict = now) -> torch.Tensor:
            g, u, dn = now["sliced"]
            return functional.linear(act(functional.linear(x, g)) * functional.linear(x, u), dn)

        contenders = {
            "dense": dense, "ours": ours, "gather": gather, "embedding_bag": bag, "sliced": sliced
        }  # fmt: skip
        read = (1 - share) * 3 * d * d_ff * width
        rows.append(row("active", share, 1 / (1 - share), contenders, renew, rounds, read))
        threshold = float(activation.quantile(share)) if share else 0.0

        def above(threshold: float = threshold) -> torch.Tensor:
            return sparse_ffn(x, packed, threshold=threshold)

        read = (3 - 2 * share) * d * d_ff * width
        rows.append(
            row("threshold", share, 3 / (3 - 2 * share), {"dense": dense, "ours": above},
                lambda: None, rounds, read)
        )  # fmt: skip
        cut = float(x.float().abs().quantile(share)) if share else 0.0

        def channels(cut: float = cut) -> torch.Tensor:
            return sparse_linear(x, linear, threshold=cut)

        plain = {"dense": lambda: functional.linear(x, gate), "ours": channels}
        read = (1 - share) * d * d_ff * width
        rows.append(row("linear", share, 1 / (1 - share), plain, lambda: None, rounds, read))
    return rows


def row(
    what: str,
    share: float,
    ideal: float,
    contenders: dict[str, Callable[[], torch.Tensor]],
    renew: Callable[[], None],
    rounds: int,
    read: float,
) -> dict:
    """Ratios of dense to each, in the same round."""
    order = list(contenders)
    draw = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in order}
    repeat = 1
    for number in range(rounds):
        renew()
        if not number:
            repeat = max(1, round(_SECONDS / timed(contenders["dense"], 3)))
            for run in contenders.values():
                timed(run, repeat)
        draw.shuffle(order)
        for name in order:
            seconds[name].append(timed(contenders[name], repeat))
    ratios = {
        name: interval([a / b for a, b in zip(seconds["dense"], values, strict=True)])
        for name, values in seconds.items()
        if name != "dense"
    }
    return {
        "what": what, "share": share, "ideal": ideal, "ratios": ratios,
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "bytes_a_second": read / statistics.median(seconds["ours"]),
    }  # fmt: skip


def timed(run: Callable[[], torch.Tensor], repeat: int) -> float:
    """Seconds of one call."""
    with torch.inference_mode():
        wait()
        begin = time.perf_counter()
        for _ in range(repeat):
            run()
        wait()
    return (time.perf_counter() - begin) / repeat


def wait() -> None:
    """Until a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def interval(values: list[float]) -> dict[str, float]:
    """Median with its 95 % percentile bootstrap interval."""
    drawn = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return {"ratio": statistics.median(values), "low": float(low), "high": float(high)}


def bandwidth(device: str) -> float:
    """Bytes a second that a sum over a gibibyte reads, the best of five."""
    values = torch.ones(1 << 28, device=device)
    return values.nbytes / min(timed(values.sum, 1) for _ in range(5))


def hardware(device: str) -> str:
    """What the products ran on."""
    return torch.cuda.get_device_name() if device != "cpu" else "CPU"


if __name__ == "__main__":
    main()
