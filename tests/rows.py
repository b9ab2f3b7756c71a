"""Whether two results folders hold the same rows: exactly, but for numbers that are no counts."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

#: Relative difference of two real numbers that come from sums in another order, and the size below
#: which they count as 0.
RELATIVE = 1e-3
ABSOLUTE = 1e-5
#: Share of a histogram's counts that may lie in another bin, and of counts of what lies above a
#: threshold that was fitted.
BINS = 1e-3
_ABOVE = ("active", "active_cett")
_BIN = ("low", "high", "count")
#: What says how a result came about, and not what it is.
PROVENANCE = ("manifest", "provenance")


def differences(one: Path, other: Path) -> list[str]:
    """A line for every file, row or value that differs; none where the folders hold the same rows.

    Tables and JSON files count, timings, logs and digests of files do not. Whole numbers, texts,
    truth values and the order of rows are equal or not; real numbers within RELATIVE.
    """
    files = [_tables(folder) for folder in (one, other)]
    lines = [f"{name}: only in {one}" for name in sorted(files[0].keys() - files[1].keys())]
    lines += [f"{name}: only in {other}" for name in sorted(files[1].keys() - files[0].keys())]
    if not files[0]:
        lines.append(f"{one}: no tables")
    for name in sorted(files[0].keys() & files[1].keys()):
        lines += [f"{name}: {why}" for why in _compared(files[0][name], files[1][name])]
    return lines


def _tables(folder: Path) -> dict[str, Path]:
    results = folder / "results"
    return {
        str(path.relative_to(results)): path
        for path in results.rglob("*")
        if path.suffix in (".parquet", ".json")
        and path.relative_to(results).parts[0] not in ("timing", "logs")
        # Digests of files whose values are compared, or drawn from what is.
        and path.name != "files.json"
        and not any(part.startswith(".") for part in path.relative_to(results).parts)
    }


def _compared(one: Path, other: Path) -> Iterator[str]:
    if one.suffix == ".json":
        yield from _values("", *(_renamed(json.loads(path.read_text())) for path in (one, other)))
        return
    frames = pl.read_parquet(one), pl.read_parquet(other)
    if frames[0].schema != frames[1].schema:
        yield "other columns"
    elif set(_BIN) < set(frames[0].columns):
        yield from _histograms(*frames)
    elif len(frames[0]) != len(frames[1]):
        yield f"{len(frames[0])} and {len(frames[1])} rows"
    else:
        for name in frames[0].columns:
            columns = frames[0][name].to_list(), frames[1][name].to_list()
            wrong = [i for i, pair in enumerate(zip(*columns, strict=True)) if not _same(*pair)]
            if wrong and not (name in _ABOVE and _near(*columns)):
                at = wrong[0]
                yield (
                    f"{name}: {len(wrong)} of {len(frames[0])} rows differ, the first at {at}: "
                    f"{columns[0][at]!r} and {columns[1][at]!r}"
                )


def _near(one: list[int], other: list[int]) -> bool:
    """True where few of all counts fall on the other side of their thresholds."""
    moved = sum(abs(a - b) for a, b in zip(one, other, strict=True))
    return moved <= BINS * sum(one)


def _renamed(body: Any) -> Any:
    """A figure's spec with its data sets numbered; their names are digests of their rows."""
    names = list(dict.fromkeys(_data_names(body)))
    text = json.dumps(body)
    for number, name in enumerate(names):
        text = text.replace(name, f"data set {number}")
    return json.loads(text)


def _data_names(body: Any) -> Iterator[str]:
    """Names of the data sets that a spec's marks refer to, in their order."""
    if isinstance(body, dict):
        data = body.get("data")
        if isinstance(data, dict) and str(data.get("name", "")).startswith("data-"):
            yield data["name"]
        body = list(body.values())
    if isinstance(body, list):
        for value in body:
            yield from _data_names(value)


def _histograms(one: pl.DataFrame, other: pl.DataFrame) -> Iterator[str]:
    """A magnitude that lies at the edge of a bin falls on one side or the other."""
    keys = [column for column in one.columns if column != "count"]
    both = one.join(other, on=keys, how="full", nulls_equal=True)
    moved = (both["count"].fill_null(0) - both["count_right"].fill_null(0)).abs().sum() / 2
    totals = one["count"].sum(), other["count"].sum()
    if totals[0] != totals[1] or moved > BINS * totals[0]:
        yield f"counts of {totals[0]} and {totals[1]}, {moved:.0f} in other bins"


def _values(place: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted((one.keys() | other.keys()) - set(PROVENANCE)):
            yield from _values(f"{place}.{key}", one.get(key), other.get(key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _values(f"{place}[{number}]", *pair)
    elif not _same(one, other):
        yield f"{place}: {one!r} and {other!r}"


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    return type(one) is type(other) and one == other
