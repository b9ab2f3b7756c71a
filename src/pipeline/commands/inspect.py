"""What a profile says, in the figures that a person wants."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.classification.power_law import spread
from pipeline.errors import UserError
from pipeline.tables.neurons import CHANNELS, LAYERS, NEURONS
from pipeline.tables.sampled import ALWAYS_ACTIVE, PROMPT_OVERLAPS, TOKENS

#: Number of tokens after which `always_active` is given; beyond it hardly any neuron is left.
_LENGTH = 8
_STAGES = ("merge_profile", "profile_sample")
#: One in this many channels counts among an input's largest.
_LARGEST = 100


@dataclass(frozen=True)
class Scope:
    """Figures of one layer, or of the whole model where `layer` is None. Shares are of neurons,
    except `natural_sparsity`, which is of (token, neuron) pairs. Those from sampled tokens are None
    where the sample has no data."""

    layer: int | None
    neurons: int
    natural_sparsity: float
    carry_80: float
    gini: float
    never_active: float
    nonfinite: int
    cett_threshold: float | None
    overlap_previous: float | None
    always_active: float | None


@dataclass(frozen=True)
class InputScope:
    """An input x of one or more linear layers of a block: the mean of |x|, the root of the mean of
    x^2 and the largest |x|, in the units of x, and which share of the sum of x^2 the largest
    hundredth of the channels carries (at least one channel; None where all are zero). Over finite
    values; None where there is none."""

    layer: int
    linears: str
    channels: int
    mean: float | None
    root_mean_square: float | None
    largest: float
    top_carries: float | None


@dataclass(frozen=True)
class Inspection:
    """A profile by its folder's name. `always_active` neurons are active at each of a sequence's
    first `always_active_length` tokens; overlaps are intersection over union."""

    profile: str
    tokens: int
    sampled_tokens: int
    always_active_length: int | None
    prompt_overlap: float | None
    prompt_overlap_by_chance: float | None
    bytes: int
    scopes: list[Scope]
    inputs: list[InputScope]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def inspect(folder: Path) -> Inspection:
    """Read the profile in a folder of merge_profile or profile_sample; UserError for any other
    folder."""
    folder = folder.resolve()
    shared = folder.parent if folder.name in _STAGES else folder.parent.parent
    merged, sample = (shared / stage / folder.name for stage in _STAGES)
    if folder.parent.name not in _STAGES or not folder.is_dir():
        found = sorted(str(path) for path in (shared / _STAGES[0]).glob("*"))
        there = f"; there are: {', '.join(found)}" if found else ""
        raise UserError(
            f"{folder} is not a profile; give a folder of results/shared/merge_profile{there}"
        )
    for part in (merged, sample):
        if not part.is_dir():
            raise UserError(
                f"{folder.name}: a profile has two folders, and {part} is missing; run the study"
            )
    neurons, layers = (
        NEURONS.read(merged / "neurons.parquet"),
        LAYERS.read(merged / "layers.parquet"),
    )
    tokens = TOKENS.read(sample / "tokens.parquet")
    overlaps = PROMPT_OVERLAPS.read(sample / "prompt_overlaps.parquet")
    always = ALWAYS_ACTIVE.read(sample / "always_active.parquet")
    length = _longest(always)
    scopes = [
        _scope(row, neurons, layers, tokens, always.filter(length=length or 0))
        for row in spread(folder.name, neurons)
    ]
    weighted = pl.col("overlap") * pl.col("positions")
    return Inspection(
        folder.name,
        int(neurons["tokens"].max()),
        tokens.filter(layer=0).height,
        length,
        _mean(overlaps.select(weighted.sum() / pl.col("positions").sum())),
        _mean(overlaps.select(pl.col("by_chance").mean())),
        sum(path.stat().st_size for stage in (merged, sample) for path in stage.iterdir()),
        scopes,
        _inputs(CHANNELS.read(merged / "channels.parquet")),
    )


def _inputs(channels: pl.DataFrame) -> list[InputScope]:
    """A row a layer and input; the down projection's are the neurons, which `scopes` are about."""
    square = pl.col("sum_square")
    finite = (pl.col("tokens") - pl.col("nonfinite")).sum()
    top = (pl.len() + _LARGEST - 1) // _LARGEST
    rows = channels.group_by("layer", "linears", maintain_order=True).agg(
        channels=pl.len(),
        mean=pl.col("sum_abs").sum() / finite,
        root_mean_square=(square.sum() / finite).sqrt(),
        largest=pl.col("max_abs").max(),
        top_carries=square.sort(descending=True).head(top).sum() / square.sum(),
    )
    return [InputScope(**row) for row in rows.fill_nan(None).to_dicts()]


def _longest(always: pl.DataFrame) -> int | None:
    """The length at which `always_active` is given: eight tokens, or fewer if less than half of the
    sequences are that long."""
    enough = pl.col("sequences") * 2 >= always["sequences"].max()
    long = always.filter(enough, pl.col("length") <= _LENGTH)
    return None if long.is_empty() else int(long["length"].max())


def _scope(
    row: dict[str, Any],
    neurons: pl.DataFrame,
    layers: pl.DataFrame,
    tokens: pl.DataFrame,
    always: pl.DataFrame,
) -> Scope:
    layer = row["layer"]
    if layer is not None:
        of_layer = pl.col("layer") == layer
        neurons, layers = neurons.filter(of_layer), layers.filter(of_layer)
        tokens, always = tokens.filter(of_layer), always.filter(of_layer)
    return Scope(
        layer,
        row["neurons"],
        float(layers["natural_sparsity"].mean()),
        row["hot_share"],
        row["gini"],
        row["never_active"] / row["neurons"],
        int(neurons["nonfinite"].sum()),
        None if layer is None else float(layers["cett_threshold"][0]),
        _mean(tokens.select("overlap_previous").mean()),
        _mean(always.select("share").mean()),
    )


def _mean(frame: pl.DataFrame) -> float | None:
    value = frame.item() if frame.height else None
    return None if value is None or value != value else float(value)
