"""What profiling costs: time against a plain forward pass, memory against tokens, bytes on disk.

    python benchmarks/profiling.py [--rounds 3] [--large 16]
    python benchmarks/profiling.py --model FOLDER [--dtype float32] [--tokens 100000]

Both passes run over the same batches, one after the other in each round, on one core as the
pipeline's jobs do. `--large` is the number of layers of the random-weight Llama (16: about 330
million parameters); 0 leaves it out. `--model` measures the whole profile of the model in a folder
instead, its sample included, on sequences of 512 random tokens, and stores it by the folder's name.
Writes benchmarks/results/profiling.json and the part of docs/profiling.md that tells of it.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import torch
from machine import machine

from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.models.batches import batches
from pipeline.models.loading import load
from pipeline.models.resolve import resolve
from pipeline.numerics import compiled
from pipeline.profiling.merge import layers_of, merge_channels, merge_histograms, merge_neurons
from pipeline.profiling.sample import profile_sample
from pipeline.profiling.shard import magnitudes, of_block, profile_shard
from pipeline.report.readme import between
from pipeline.store.artifacts import Manifest
from pipeline.tables import neurons as tables
from pipeline.tables import sampled

RESULT = Path(__file__).resolve().parent / "results" / "profiling.json"
PAGE = RESULT.parents[2] / "docs" / "profiling.md"
BUILT_IN = ("ref-reglu", "ref-swiglu")
LENGTH = 128
#: Tokens of a whole profile.
_WHOLE = 100_000
#: Length of its sequences, and in how many parts they are measured.
_LONG, _PARTS = 512, 8
#: Few tokens and ten times as many, four blocks of at least a whole batch.
_TOKENS = 4 * 64 * LENGTH, 40 * 64 * LENGTH


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=16)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--tokens", type=int, default=_WHOLE)
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print(peak(given.memory))
        return
    torch.set_num_threads(1)
    before = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    if given.model:
        name = f"{given.model.resolve().name}, {given.dtype}"
        found = {**before, "whole": dict(before.get("whole", {}))}
        found["whole"][name] = whole_profile(given.model, given.dtype, given.tokens)
        write(found)
        return
    found = {
        "whole": before.get("whole", {}),
        "storage": {"ref-reglu": stored(built_in("ref-reglu")), "8 billion": eight_billion()},
        "against_forward": {},
    }
    for name in BUILT_IN:
        found["against_forward"][name] = against_forward(built_in(name), 16_384, 64, given.rounds)
    if given.large:
        name = f"random Llama, {given.large} layers of width 1024"
        found["against_forward"][name] = against_forward(llama(given.large), 4096, 8, given.rounds)
    found["memory"] = memory(given.rounds)
    found["machine"] = machine()
    write(found)


def write(found: dict) -> None:
    """Write the results and the page, and print them."""
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    page = between(PAGE.read_text(encoding="utf-8"), "profiling", summary(found))
    PAGE.write_text(page, encoding="utf-8")
    print(json.dumps(found, indent=1))


def summary(found: dict) -> str:
    """What stands in docs/profiling.md."""
    rows = [
        "| model | parameters | the pass, against a plain forward pass | with the sample, "
        "at 100,000 tokens | budget |",
        "|---|---|---|---|---|",
    ]
    for name, row in found["against_forward"].items():
        size = f"{row['parameters'] / 1e6:.1f} M"
        budget = 1.15 if row["parameters"] > 3e8 else 1.6
        rows.append(
            f"| {name} | {size} | {row['ratio']:.2f} times | "
            f"{row['ratio_at_100000_tokens']:.2f} times | {budget} times, of the pass |"
        )
    for name, row in found.get("whole", {}).items():
        counted = "by the compiled library" if row["compiled"] else "by torch"
        rows += [
            "",
            f"The whole profile of {name}, {row['parameters'] / 1e6:.0f} M parameters, at "
            f"{_WHOLE:,} tokens in sequences of {_LONG}: {row['ratio']:.2f} times a plain forward "
            f"pass over them (budget 1.3), {row['pass']:.2f} for the pass and {row['sample']:.2f} "
            f"for the sample; {row['fastest_ratio']:.2f} by the fastest of {_PARTS} parts, of "
            f"{row['tokens']:,} tokens together, instead of their median. Processor time; moments "
            f"and histograms are counted {counted}. "
            f"{row['machine']['processor']}, one core used.",
        ]
    memory, stored = found["memory"], found["storage"]
    few, many = (f"{n:,.0f} MB" for n in memory["megabytes_by_tokens"].values())
    rows += [
        "",
        f"Memory: {few} for {_TOKENS[0]:,} tokens of ref-reglu and {many} for ten times as many, "
        f"{memory['ratio']:.2f} times (budget 1.05). On disk: "
        f"{stored['ref-reglu']['bytes_a_neuron']:.0f} bytes a neuron for ref-reglu, "
        f"{stored['8 billion']['bytes_a_neuron']:.0f} for a model of 8 billion parameters, "
        f"{stored['8 billion']['bytes'] / 1e6:.0f} MB with the shards of {Profile().blocks} blocks "
        "(budget 200). "
        f"{found['machine']['cores']} cores ({found['machine']['processor']}), one used.",
    ]
    return "\n".join(rows)


def built_in(name: str) -> torch.nn.Module:
    """A built-in model."""
    section = Model(source=f"builtin:{name}")
    return load(section, resolve(name, section))[0]


def llama(layers: int) -> torch.nn.Module:
    """A Llama with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=layers, vocab_size=32_000,
        num_attention_heads=16, num_key_value_heads=16, max_position_embeddings=2048,
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()


def text(model: torch.nn.Module, tokens: int, length: int = LENGTH) -> list[list[int]]:
    """Random tokens in sequences of one length, the last of which reaches `tokens`."""
    generator = np.random.default_rng(0)
    size = (-(-tokens // length), length)
    return generator.integers(4, model.config.vocab_size, size).tolist()


def against_forward(model: torch.nn.Module, tokens: int, batch: int, rounds: int) -> dict:
    """Seconds of the forward pass and of the profiling pass over the same batches, and of measuring
    the sample; ratios are of medians."""
    rows = text(model, tokens)
    config = Profile(batch_size=batch, blocks=1)
    begin = time.perf_counter()
    measured = profile_sample(model, rows, [], config)
    sample = time.perf_counter() - begin
    above = least(measured)
    seconds: dict[str, list[float]] = {"forward": [], "profile": []}
    passes = {
        "forward": lambda: forward(model, rows, batch),
        "profile": lambda: profile_shard(model, rows, [], above, config, 0, 1),
    }
    for run in passes.values():
        run()
    for _ in range(rounds):
        for name, run in passes.items():
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    plain, whole = (statistics.median(seconds[name]) for name in ("forward", "profile"))
    in_sample = min(tokens, config.cett_tokens)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": tokens,
        "seconds": seconds,
        "ratio": whole / plain,
        "sample_tokens": in_sample,
        "sample_in_forward_passes": sample / (plain * in_sample / tokens),
        "ratio_at_100000_tokens": whole / plain + sample / plain * tokens / 100_000,
    }


def whole_profile(folder: Path, dtype: str, tokens: int) -> dict:
    """The whole profile of 100,000 tokens against a plain forward pass over them.

    Both go over `tokens` in equal parts, by turns; ratios are of medians over the parts, and of the
    fastest, which other programs have slowed least. The sample is of the same size at any number
    of tokens, so its seconds are divided by those of a pass over 100,000.
    """
    section = Model(source=str(folder.resolve()), dtype=dtype)
    model = load(section, resolve("model", section))[0]
    rows = text(model, tokens, _LONG)
    config = Profile(batch_size=8, blocks=_PARTS)
    above = least(profile_sample(model, rows, [], config))
    took: dict[str, list[float]] = {"plain": [], "pass": [], "sample": []}
    for part in range(_PARTS):
        mine = rows[of_block(len(rows), _PARTS, part)]
        runs = (
            ("plain", lambda mine=mine: forward(model, mine, config.batch_size)),
            ("pass", _passing(model, rows, above, config, part)),
            ("sample", lambda: profile_sample(model, rows, [], config)),
        )
        for name, run in runs:
            took[name].append(seconds(run))
    share = sum(map(len, rows)) / _PARTS / _WHOLE
    found = {}
    for name, of in (("", statistics.median), ("fastest_", min)):
        plain, passing, sample = (of(took[each]) for each in ("plain", "pass", "sample"))
        found[f"{name}pass"], found[f"{name}sample"] = passing / plain, sample / plain * share
        found[f"{name}ratio"] = found[f"{name}pass"] + found[f"{name}sample"]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": sum(map(len, rows)),
        **found,
        "seconds": took,
        "compiled": compiled.available(),
        "machine": machine(),
    }


def _passing(
    model: torch.nn.Module, rows: list[list[int]], above: list, config: Profile, part: int
) -> Callable[[], object]:
    return lambda: profile_shard(model, rows, [], above, config, part, _PARTS)


def seconds(run: Callable[[], object]) -> float:
    """Processor seconds that a call takes on one thread; other programs' turns are left out."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def least(measured: dict) -> list:
    """Magnitudes from which on neurons are active."""
    return magnitudes(pl.DataFrame(measured["thresholds"]), pl.DataFrame(measured["norms"]))


def forward(model: torch.nn.Module, rows: list[list[int]], batch: int) -> None:
    """The plain pass."""
    with torch.inference_mode():
        for given in batches(rows, batch, [], "cpu"):
            model.base_model(
                input_ids=given.tokens, attention_mask=given.attention, use_cache=False
            )


def memory(rounds: int) -> dict:
    """Peak memory, in megabytes, of profiling some tokens and ten times as many."""
    found = {}
    for tokens in _TOKENS:
        line = [sys.executable, __file__, "--memory", str(tokens)]
        peaks = [float(subprocess.check_output(line, text=True)) for _ in range(rounds)]
        found[str(tokens)] = statistics.median(peaks)
    few, many = found.values()
    return {"megabytes_by_tokens": found, "ratio": many / few}


def peak(tokens: int) -> float:
    """Peak megabytes of this process once it has profiled."""
    torch.set_num_threads(1)
    model = built_in("ref-reglu")
    rows = text(model, tokens)
    config = Profile()
    above = least(profile_sample(model, rows, [], config))
    profile_shard(model, rows, [], above, config, 0, 1)
    # Not getrusage's figure, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"^VmHWM:\s*(\d+) kB", status, re.M)[0]) / 1024


def stored(model: torch.nn.Module) -> dict:
    """Bytes of a profile on disk, in all and by neuron."""
    rows = text(model, 16_384)
    config = Profile()
    measured = profile_sample(model, rows, [], config)
    thresholds, norms = (pl.DataFrame(measured[name]) for name in ("thresholds", "norms"))
    above = magnitudes(thresholds, norms)
    blocks, channels, histograms = (
        pl.DataFrame(columns) for columns in profile_shard(model, rows, [], above, config, 0, 1)
    )
    merged = merge_neurons([blocks], config.blocks, norms, exact_zeros=True)
    made = [
        (tables.NEURONS, merged),
        (tables.LAYERS, layers_of(merged, thresholds)),
        (tables.CHANNELS, merge_channels([channels], config.blocks)),
        (tables.HISTOGRAMS, merge_histograms([histograms])),
        *((getattr(sampled, name.upper()), columns) for name, columns in measured.items()),
    ]
    return written(made, merged.height)


def eight_billion() -> dict:
    """Bytes of a profile of a model of 32 layers with 14,336 neurons and width 4096, made of random
    figures, which compress worse than real ones."""
    layers, width, wide = 32, 4096, 14_336
    generator = np.random.default_rng(0)
    tokens = 100_000

    def sums(size: int) -> dict:
        return {
            "tokens": np.full(size, tokens),
            "nonfinite": np.zeros(size, dtype=int),
            "active_nonzero": generator.integers(0, tokens, size),
            "sum_abs": generator.lognormal(size=size),
            "sum_square": generator.lognormal(size=size),
            "max_abs": generator.lognormal(size=size),
        }

    number = layers * wide
    place = {
        "layer": np.repeat(np.arange(layers), wide),
        "neuron": np.tile(np.arange(wide), layers),
    }
    norms = {"weight_norm": generator.random(number), "down_norm": generator.random(number)}
    counts = generator.integers(0, tokens, number)
    inputs = ("q,k,v", "o", "gate,up")
    channels = len(inputs) * width
    bins = [(s, low) for s in (-1, 1) for low in range(16 * 64)]
    names = (*inputs, "down", "ffn.gate", "ffn.up", "ffn.activation", "ffn.output")
    held = len(bins) * len(names)
    seen = 4096 * layers
    made = [
        (tables.NEURONS, {**place, **sums(number), **norms, "active_cett": counts,
                         "active": counts, "sum_contribution": generator.random(number)}),
        (tables.CHANNELS, {
            "layer": np.repeat(np.arange(layers), channels),
            "linears": np.tile(np.repeat(inputs, width), layers),
            "channel": np.tile(np.arange(width), layers * len(inputs)),
            **sums(layers * channels),
        }),
        (tables.HISTOGRAMS, {
            "layer": np.repeat(np.arange(layers), held),
            "tensor": np.tile(np.repeat(names, len(bins)), layers),
            "sign": np.tile([s for s, _ in bins], layers * len(names)),
            "low": np.tile([float(low) for _, low in bins], layers * len(names)),
            "high": np.tile([low + 1.0 for _, low in bins], layers * len(names)),
            "count": generator.integers(0, 10**9, layers * held),
        }),
        (sampled.NORMS, {**place, **norms}),
        (sampled.TOKENS, {
            "layer": np.repeat(np.arange(layers), 4096),
            "sequence": generator.integers(0, 10**5, seen),
            "position": generator.integers(0, 2048, seen),
            "active": generator.integers(0, wide, seen),
            "sparsity": generator.random(seen),
            "cett": generator.random(seen),
            "overlap_previous": generator.random(seen),
        }),
    ]  # fmt: skip
    block = {"block": np.zeros(number, dtype=int), **place, **sums(number), "active_cett": counts}
    found = written(made, number)
    # Shards keep the sums of every block; channels are in proportion.
    shards = written([(tables.NEURON_BLOCKS, block)], number)["bytes"]
    channels_too = 1 + found["by_table"]["channels"] / found["by_table"]["neurons"]
    found["bytes_of_shards"] = round(Profile().blocks * shards * channels_too)
    found["bytes"] += found["bytes_of_shards"]
    found["bytes_a_neuron"] = found["bytes"] / number
    return found


def written(made: list, neurons: int) -> dict:
    """Bytes of the tables once written."""
    manifest = Manifest("benchmark", "")
    with tempfile.TemporaryDirectory() as folder:
        sizes = {}
        for table, rows in made:
            path = Path(folder) / table.name
            table.write(path, rows, manifest)
            sizes[table.name] = path.stat().st_size
    total = sum(sizes.values())
    return {
        "bytes": total,
        "neurons": neurons,
        "bytes_a_neuron": total / neurons,
        "by_table": sizes,
    }


if __name__ == "__main__":
    main()
