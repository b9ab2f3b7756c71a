"""Sparse kernels against torch's dense products, and against what else could skip neurons.

    python benchmarks/kernels.py [--rounds 9] [--threads 2] [--shapes 4096x11008,4096x14336,128x512]

Tokens through one FFN (SiLU, gated) with random weights, or through one linear layer, as
`pipeline.decoding.timing` measures it: one token in all shapes, and 2 to 16 at once in the first
shape. The time of making the list of active neurons from the mask counts. On a CPU also against
PowerInfer's operators (powerinfer.cpp), in the first shape and its float16. Writes
benchmarks/results/kernels.json (kernels-cuda.json on a GPU), the part of docs/kernels.md that tells
of it, and docs/kernels.svg.
"""

import argparse
import json
from pathlib import Path

import powerinfer
import torch
from kernels_page import figure, summary
from machine import machine

from pipeline.decoding.clock import timed
from pipeline.decoding.timing import SHARES, Trial, compared, random_trial, speeds
from pipeline.kernels import PackedFFN, available_backends, pack_ffn, sparse_ffn
from pipeline.kernels.cpu import CPU
from pipeline.kernels.packed import in_large_pages
from pipeline.report.readme import between
from pipeline.report.render import svg

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = RESULTS.parents[1] / "docs" / "kernels.md"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
#: Tokens at once, beside one.
BATCHES = (2, 4, 8, 16)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--shapes", default="4096x11008,4096x14336,128x512")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows, rates = [], []
    shapes = [tuple(map(int, each.split("x"))) for each in given.shapes.split(",")]
    others = {"gather": gather, "embedding_bag": embedding_bag}
    for d, d_ff in shapes:
        for dtype in given.dtypes.split(","):
            for batch in (1, *BATCHES) if (d, d_ff) == shapes[0] else (1,):
                beside = others if batch == 1 else {}
                if batch == 1 and given.device == "cpu" and (d, d_ff) == shapes[0]:
                    beside = others | {name: Loops(name) for name in CPU.instruction_sets()[1:]}
                rates.append(bandwidth(given.device))
                for row in speeds(
                    d, d_ff, DTYPES[dtype], given.rounds, given.device, beside, batch
                ):
                    rows.append({"d": d, "d_ff": d_ff, "dtype": dtype, "batch": batch, **row})
                    print(told(rows[-1]), flush=True)
    engine = against_powerinfer(*shapes[0], given.rounds) if given.device == "cpu" else []
    found = {
        "machine": machine() | {"device": hardware(given.device), "torch": torch.__version__},
        "threads": given.threads,
        "backends": {each.name: each.details for each in available_backends()},
        "read_bytes_a_second": rates,
        "rows": rows,
        "against_powerinfer": engine,
    }
    name = "kernels.json" if given.device == "cpu" else f"kernels-{given.device}.json"
    (given.out or RESULTS / name).write_text(json.dumps(found, indent=1) + "\n")
    for line in (*budgets(rows, given.device), *budgets_of_engine(engine)):
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
        if each["batch"] > 1:
            continue
        wanted = part * each["ideal"]
        found.append(
            f"{each['dtype']} {each['form']} at {each['share']:.0%}: {each['ratio']:.2f} times, "
            f"budget {wanted:.2f}: {met(each['ratio'], wanted)}"
        )
    return found


def met(ratio: float, wanted: float) -> str:
    """In words."""
    return "met" if ratio >= wanted else "NOT met"


#: How much faster than PowerInfer's operators the kernels are to be, where half or more is skipped.
_ENGINE_BUDGET = 1.5


def budgets_of_engine(rows: list[dict]) -> list[str]:
    """A line for every share at which half or more is skipped."""
    return [
        f"float16 active at {each['share']:.0%}: {each['ratio']:.2f} times PowerInfer's operators, "
        f"budget {_ENGINE_BUDGET:.2f}: {met(each['ratio'], _ENGINE_BUDGET)}"
        for each in rows
        if each["share"] in (0.5, 0.75, 0.9)
    ]


def against_powerinfer(d: int, d_ff: int, rounds: int) -> list[dict]:
    """By share, times as fast as PowerInfer's operators with the same mask, weights and threads."""
    if reason := powerinfer.missing():
        print(f"not compared with PowerInfer's operators: {reason}")
        return []
    trial = random_trial(d, d_ff, torch.float16)
    engine = powerinfer.PowerInfer(trial)
    # ReLU, which its models have.
    packed = pack_ffn(trial.gate, trial.up, trial.down, activation="relu")

    def renew() -> None:
        trial.renew()
        engine.renew()

    rows = []
    for share in SHARES:
        trial.share = share
        contenders = {
            "powerinfer": engine,
            "ours": lambda: sparse_ffn(trial.x, packed, active=trial.mask),
        }
        found = compared(contenders, rounds, renew, against="powerinfer")
        seconds = {"powerinfer_seconds": found["powerinfer"]["seconds"]}
        rows.append({"share": share, **found["ours"], **seconds})
        print(
            f"{share:.0%}: {found['ours']['ratio']:.2f} times as fast as PowerInfer's", flush=True
        )
    return rows


def told(row: dict) -> str:
    """One line of what was measured."""
    others = [f"{name} {each['ratio']:.2f}" for name, each in row.get("others", {}).items()]
    parts = [
        f"{row['batch']} x {row['d']} x {row['d_ff']} {row['dtype']:9} {row['form']:9} "
        f"{row['share']:4.0%}: "
        f"{row['ratio']:.2f} times ({row['low']:.2f}, {row['high']:.2f})",
        f"ideal {row['ideal']:.2f}",
        f"{row['bytes_a_second'] / 1e9:.1f} GB/s",
    ]
    return ", ".join([*parts, *others])


class Loops:
    """The C++ kernel by loops for another instruction set than the processor's best."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._packed: dict[int, PackedFFN] = {}

    def __call__(self, trial: Trial) -> torch.Tensor:
        """The FFN's output."""
        if id(trial) not in self._packed:
            weights = trial.gate, trial.up, trial.down
            self._packed = {id(trial): pack_ffn(*weights, activation="silu")}
        return CPU.ffn(trial.x, self._packed[id(trial)], trial.mask, None, self._name)


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
    """Bytes a second that a sum over a gibibyte reads, the best of five; of large pages, which the
    kernels' weights are in.
    """
    values = torch.empty(1 << 28, device=device)
    in_large_pages(values)
    values.fill_(1)
    return values.nbytes / min(timed(values.sum, device=device) for _ in range(5))


def hardware(device: str) -> str:
    """What the products ran on."""
    return torch.cuda.get_device_name() if device != "cpu" else "CPU"


if __name__ == "__main__":
    main()
