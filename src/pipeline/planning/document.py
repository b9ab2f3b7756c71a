"""The reference of file formats, written from the stages and their tables:
`python -m pipeline.planning.document`."""

import re
import sys
from collections.abc import Iterator, Sequence

from pipeline.planning.stages import STAGES
from pipeline.tables.base import Arrays, Column, Document, Table

_OPENING = """\
# File formats

Every table is a Parquet file with fixed columns, every document a JSON file with fixed keys, and
arrays are in safetensors. Each carries a manifest: in Parquet and safetensors under the metadata
key `manifest`, in JSON as `manifest` beside `body`. It holds the schema's name and version, digests
of source, inputs and values, configuration, library versions, seed, device and type, and no clock,
host or path.

KEY below is a name and a digest of all that decides the content; *nullable* columns may hold null.
Any Parquet reader will do. A folder of profiles may hold several models, corpora and settings, so
keep the path of each row. With polars, the ten neurons that contribute most on average:

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

Thresholds by percentile of |x| come from histograms. Within the project, this prints the magnitude
below which half of the FFN's outputs in layer 0 lie:

```python
from glob import glob
from pathlib import Path

import polars as pl
from pipeline.numerics import histograms
from pipeline.tables.neurons import HISTOGRAMS

path, *_ = sorted(glob("results/shared/merge_profile/ref-reglu.reasoning-*/histograms.parquet"))
rows = HISTOGRAMS.read(Path(path)).filter(pl.col("layer") == 0, pl.col("tensor") == "ffn.output")
print(histograms.quantile(rows, 0.5))
```

`make docs` writes this page from `src/pipeline/planning/stages.py` and `src/pipeline/tables/`.
"""

_WILDCARD = re.compile(r"{(\w+)}")


def described() -> dict[str, dict[str, Table | Document | Arrays]]:
    """Kind of result -> its files with their tables, by their paths below `results`."""
    kinds: dict[str, dict[str, Table | Document | Arrays]] = {}
    for stage in STAGES.values():
        folder = _WILDCARD.sub(_name, stage.folder.replace("{shard}-of-{shards}", "SHARD"))
        for output in stage.outputs.values():
            if output.table is not None:
                kinds.setdefault(stage.title, {})[f"{folder}/{output.file}"] = output.table
    return kinds


def _name(wildcard: re.Match[str]) -> str:
    return "KEY" if wildcard[1].endswith("_key") else wildcard[1].upper()


def markdown() -> str:
    """The whole page: a section for each kind of result, and in it a table of columns for each
    file."""
    parts = [_OPENING]
    first: dict[str, str] = {}
    for title, files in described().items():
        parts += ["", f"## {title}"]
        for path, table in files.items():
            parts += ["", f"### `{path.rpartition('/')[2]}`", ""]
            parts += [f"`results/{path}`. {table.text}"]
            if first.setdefault(table.name, path) != path:
                parts += ["", f"Columns as of `results/{first[table.name]}`."]
            else:
                parts += ["", *_table(table)]
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
