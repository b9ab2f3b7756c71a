"""What docs/kernels.md shows of `kernels.py`'s measurements: tables, and the figure."""

from collections.abc import Iterator
from typing import Any

from pipeline.decoding.timing import SHARES
from pipeline.report.style import finished

_NAMES = {
    "active": "FFN, `active=`",
    "threshold": "FFN, `threshold=`",
    "threshold without a gate": "FFN without a gate, `threshold=`",
    "channels": "linear layer, `threshold=`",
}
_OTHERS = {
    "sliced": "`sliced` matrices, torch",
    "embedding_bag": "`embedding_bag`",
    "gather": "gathered rows",
    "avx2": "ours, AVX2",
    "portable": "ours, portable",
}


def summary(found: dict) -> str:
    """What stands in docs/kernels.md."""
    rows = [each for each in found["rows"] if each["batch"] == 1]
    lines = [
        "![Times as fast as torch dense against the share skipped](kernels.svg)",
        "",
        *table(rows),
        "",
        "Gigabytes a second that are read of the weights that need be, in the same runs:",
        "",
        *table_of_rates(rows),
        "",
        *tables_of_batches(found["rows"]),
    ]
    if found["against_powerinfer"]:
        lines += [*table_of_engine(found["against_powerinfer"]), ""]
    at, rates = found["machine"], [each / 1e9 for each in found["read_bytes_a_second"]]
    lines.append(
        f"{found['threads']} threads on {at['cores']} cores ({at['processor']}), "
        f"{found['backends']['cpu']}, torch {at['torch']}. A sum over a gibibyte, asked for "
        f"{len(rates)} times in the run, reads {min(rates):.1f} to {max(rates):.1f} GB/s here."
    )
    return "\n".join(lines)


def heading(*first: str) -> list[str]:
    """A table's head: columns of names, and one for every share skipped."""
    columns = [*first, *(f"{share:.0%}" for share in SHARES)]
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def line(*cells: str) -> str:
    """A table's row."""
    return f"| {' | '.join(cells)} |"


def ratio(row: dict) -> str:
    """A ratio with its interval."""
    return f"**{row['ratio']:.2f}** [{row['low']:.2f}, {row['high']:.2f}]"


def groups(rows: list[dict], form: str) -> Iterator[tuple[str, str, list[dict]]]:
    """Shape, type and rows of all shares, of one form."""
    found: dict[tuple, list[dict]] = {}
    for each in rows:
        if each["form"] == form:
            shape = f"{each['d']} x {each['d_ff']}"
            found.setdefault((shape, each["dtype"]), []).append(each)
    for (shape, dtype), of in found.items():
        yield shape, dtype, of


def table(rows: list[dict]) -> list[str]:
    """Times as fast as torch dense, by form, with the ideal, and what further contenders are."""
    lines = heading("", "shape", "weights")
    for form, name in _NAMES.items():
        ideals = next(of for _, _, of in groups(rows, form))
        lines.append(line(name, "", "*the ideal*", *(f"{x['ideal']:.2f}" for x in ideals)))
        lines += [
            line("", shape, dtype, *map(ratio, of)) for shape, dtype, of in groups(rows, form)
        ]
    for other, name in _OTHERS.items():
        lines.append(line(name, *[""] * (2 + len(SHARES))))
        for shape, dtype, of in groups(rows, "sliced" if other == "sliced" else "active"):
            told = of if other == "sliced" else [x["others"].get(other) for x in of]
            if all(told):
                lines.append(line("", shape, dtype, *(f"{x['ratio']:.2f}" for x in told)))
    return lines


def table_of_rates(rows: list[dict]) -> list[str]:
    """Bytes a second, by shape and form."""
    lines = heading("", "shape", "weights")
    for form, name in _NAMES.items():
        for shape, dtype, of in groups(rows, form):
            rates = (f"{x['bytes_a_second'] / 1e9:.1f}" for x in of)
            lines.append(line(name, shape, dtype, *rates))
    return lines


def tables_of_batches(rows: list[dict]) -> list[str]:
    """Several tokens at once."""
    first = (rows[0]["d"], rows[0]["d_ff"])
    own = [x for x in rows if x["form"] == "active" and (x["d"], x["d_ff"]) == first]
    lines = [
        f"Several tokens at once through the FFN of {first[0]} x {first[1]}, `active=` one mask "
        "for all of them, times as fast as torch dense for as many:",
        "",
        *heading("weights", "tokens"),
    ]
    for dtype in dict.fromkeys(x["dtype"] for x in own):
        for batch in sorted({x["batch"] for x in own}):
            cells = [ratio(x) for x in own if (x["dtype"], x["batch"]) == (dtype, batch)]
            lines.append(line(dtype, str(batch), *cells))
    return [*lines, ""]


def table_of_engine(rows: list[dict]) -> list[str]:
    """Against PowerInfer's operators."""
    return [
        "One token, float16, the same mask and threads, times as fast as PowerInfer's operators "
        "for CPUs, which benchmarks/powerinfer.cpp has written anew:",
        "",
        *heading(""),
        line("times as fast", *map(ratio, rows)),
    ]


def figure(rows: list[dict]) -> dict:
    """Ratios against the share skipped, at the largest shapes, ideals as dashed lines."""
    import altair as alt

    drawn = [x for x in rows if x["d"] > 1024 and x["share"] < 0.95 and x["batch"] == 1]
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
