"""The reference of file formats, written from the tables: `python -m pipeline.tables.document`."""

import sys
from collections.abc import Iterator, Sequence

from pipeline.tables import (
    classes,
    correlations,
    curves,
    finding,
    model,
    neurons,
    plan,
    power_law,
    removals,
    report,
    sampled,
    samples,
    sequences,
)
from pipeline.tables.base import Arrays, Column, Document, Table

_OPENING = """\
# File formats

Every table is a Parquet file with fixed columns, every document a JSON file with fixed keys, and
arrays are in safetensors. Each carries a manifest: in Parquet and safetensors under the metadata
key `manifest`, in JSON as `manifest` beside `body`. It holds the schema's name and version, digests
of source, inputs and values, configuration, library versions, seed, device and type, and no clock,
host or path.

KEY below is a name and a digest of all that decides the content; *nullable* columns may hold null.
Any reader of Parquet will do. A folder of profiles may hold several models, corpora and settings,
so keep their paths. With polars, the ten neurons of a model on a corpus that write most:

```python
import polars as pl

profile = "results/shared/merge_profile/ref-reglu.reasoning-*/neurons.parquet"
mean = pl.col("sum_contribution") / pl.col("tokens")
print(
    pl.scan_parquet(profile, include_file_paths="path")
    .select("path", "layer", "neuron", mean_contribution=mean)
    .top_k(10, by="mean_contribution")
    .collect()
)
```

With DuckDB, the natural sparsity of every layer of every profile, from the neurons themselves:

```python
import duckdb

print(
    duckdb.sql(
        \"\"\"
        SELECT filename, layer, 1 - sum(active + nonfinite) / sum(tokens) AS natural_sparsity
        FROM read_parquet('results/shared/merge_profile/*/neurons.parquet', filename = true)
        GROUP BY filename, layer
        ORDER BY filename, layer
        \"\"\"
    )
)
```

Thresholds by percentile of |x| come from histograms; within the project, half of the FFN's outputs
in layer 0 are smaller than

```python
from glob import glob
from pathlib import Path

import polars as pl
from pipeline import histograms
from pipeline.tables.neurons import HISTOGRAMS

path, *_ = sorted(glob("results/shared/merge_profile/ref-reglu.reasoning-*/histograms.parquet"))
rows = HISTOGRAMS.read(Path(path)).filter(pl.col("layer") == 0, pl.col("tensor") == "ffn.output")
print(histograms.quantile(rows, 0.5))
```

This page is written from `src/pipeline/tables/` by `make docs`.
"""

_SAMPLE, _SHARD = "shared/profile_sample/KEY", "shared/profile_shard/KEY/SHARD"
_MERGED, _OWN = "shared/merge_profile/KEY", "STUDY"
_EVALUATED = "STUDY/evaluate/MODEL/METHOD/LEVEL/SEED"
#: Stage -> what its files are, by their paths below `results`.
FILES: dict[str, dict[str, Table | Document | Arrays]] = {
    "Models and text": {
        "shared/resolve_model/KEY/model.json": model.MODEL,
        "shared/extract_shard/KEY/SHARD/documents.parquet": sequences.DOCUMENTS,
        "shared/extract_calibration/KEY/sequences.parquet": sequences.SEQUENCES,
        "shared/extract_calibration/KEY/corpus.json": sequences.CORPUS,
    },
    "Profiles: all tokens": {
        f"{_MERGED}/neurons.parquet": neurons.NEURONS,
        f"{_MERGED}/channels.parquet": neurons.CHANNELS,
        f"{_MERGED}/histograms.parquet": neurons.HISTOGRAMS,
        f"{_MERGED}/layers.parquet": neurons.LAYERS,
    },
    "Profiles: sampled tokens": {
        f"{_SAMPLE}/thresholds.parquet": sampled.THRESHOLDS,
        f"{_SAMPLE}/norms.parquet": sampled.NORMS,
        f"{_SAMPLE}/tokens.parquet": sampled.TOKENS,
        f"{_SAMPLE}/cett_curve.parquet": sampled.CETT_CURVE,
        f"{_SAMPLE}/always_active.parquet": sampled.ALWAYS_ACTIVE,
        f"{_SAMPLE}/prompt_overlaps.parquet": sampled.PROMPT_OVERLAPS,
    },
    "Profiles: collected on demand": {
        "shared/collect_hessian/KEY/hessian.safetensors": sampled.HESSIAN,
        "shared/collect_residuals/KEY/TOKENS/residuals.safetensors": sampled.RESIDUALS,
    },
    "Profiles: shards": {
        f"{_SHARD}/neurons.parquet": neurons.NEURON_BLOCKS,
        f"{_SHARD}/channels.parquet": neurons.CHANNEL_BLOCKS,
        f"{_SHARD}/histograms.parquet": neurons.HISTOGRAMS,
    },
    "Hot and cold": {
        f"{_OWN}/classify/MODEL/CORPUS/CLASSIFICATION/classes.parquet": classes.CLASSES,
        f"{_OWN}/classify/MODEL/CORPUS/CLASSIFICATION/classification.json": classes.CLASSIFICATION,
        f"{_OWN}/power_law/MODEL/power_law.parquet": power_law.POWER_LAW,
        f"{_OWN}/power_law/MODEL/ranked.parquet": power_law.RANKED,
        f"{_OWN}/power_law/MODEL/hot_overlaps.parquet": power_law.HOT_OVERLAPS,
    },
    "Methods and their evaluation": {
        f"{_OWN}/prepare/MODEL/METHOD/prepared.safetensors": plan.PREPARED,
        f"{_OWN}/prepare/MODEL/METHOD/training.parquet": plan.TRAINING,
        f"{_OWN}/fit/MODEL/METHOD/LEVEL/SEED/plan.json": plan.PLAN,
        f"{_OWN}/fit/MODEL/METHOD/LEVEL/SEED/plan.safetensors": plan.PLAN_ARRAYS,
        f"{_OWN}/fit/MODEL/METHOD/LEVEL/SEED/training.parquet": plan.TRAINING,
        f"{_EVALUATED}/samples.parquet": samples.SAMPLES,
        f"{_EVALUATED}/sparsity.parquet": samples.SPARSITY,
        "STUDY/evaluate_shard/MODEL/METHOD/LEVEL/SEED/SHARD/counts.parquet": samples.COUNTS,
    },
    "Analysis": {
        f"{_OWN}/analyse/curves.parquet": curves.CURVES,
        f"{_OWN}/analyse/perplexity.parquet": curves.PERPLEXITY,
        f"{_OWN}/analyse/correlations.parquet": correlations.CORRELATIONS,
        f"{_OWN}/analyse/units.parquet": correlations.UNITS,
        f"{_OWN}/analyse/steps.parquet": correlations.STEPS,
        f"{_OWN}/analyse/removals.parquet": removals.REMOVALS,
        f"{_OWN}/analyse/removed_by_layer.parquet": removals.REMOVED_BY_LAYER,
        f"{_OWN}/analyse/refused.parquet": curves.REFUSED,
        f"{_OWN}/analyse/finding.json": finding.FINDING,
        f"{_OWN}/report/files.json": report.REPORT,
    },
}


def markdown() -> str:
    """The whole page: a section a stage, and in it a table of columns a file."""
    parts = [_OPENING]
    described: dict[str, str] = {}
    for stage, files in FILES.items():
        parts += ["", f"## {stage}"]
        for path, kind in files.items():
            parts += ["", f"### `{path.rpartition('/')[2]}`", "", f"`results/{path}`. {kind.text}"]
            first = described.setdefault(kind.name, path)
            if first != path:
                parts += ["", f"Columns as of `results/{first}`."]
            else:
                parts += ["", *_table(kind)]
    return "\n".join(parts) + "\n"


def _table(kind: Table | Document | Arrays) -> Iterator[str]:
    rows: Sequence[tuple[str, ...]]
    if isinstance(kind, Document):
        yield "| key | meaning |"
        yield "|---|---|"
        rows = [(f"`{key}`", text) for key, text in kind.keys.items()]
    elif isinstance(kind, Arrays):
        yield "| array | what |"
        yield "|---|---|"
        rows = [(f"`{name}`", text) for name, text in kind.arrays.items()]
    else:
        yield "| column | type | meaning |"
        yield "|---|---|---|"
        rows = [(f"`{name}`", _type(column), column.text) for name, column in kind.columns.items()]
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _type(column: Column) -> str:
    return f"{column.kind}, nullable" if column.nullable else column.kind


if __name__ == "__main__":
    sys.stdout.write(markdown())
