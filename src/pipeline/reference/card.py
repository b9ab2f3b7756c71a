"""Model cards of the built-in backbones, from measured figures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reference.recipes import Recipe

Tally = dict[tuple[str, int], tuple[int, int]]


def tally(samples: Sequence[Mapping[str, Any]]) -> Tally:
    """(right, items) by task and number of steps."""
    counts: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for sample in samples:
        count = counts[sample["task"], sample["steps"]]
        count[0] += sample["correct"]
        count[1] += 1
    return {key: (right, items) for key, (right, items) in sorted(counts.items())}


def card(
    recipe: Recipe,
    curve: Sequence[Mapping[str, Any]],
    results: Tally,
    sparsity: Sequence[Mapping[str, Any]],
) -> str:
    """README.md of a backbone: recipe, tokens seen, loss curve, dense accuracy, zeros by task."""
    zeros = {row["task"]: row["neuron_sparsity"] for row in sparsity if row["basis"] == "total"}
    tasks = sorted({task for task, _ in results})
    lines = [
        "---", "license: apache-2.0", "library_name: transformers", "---", "",
        f"# {recipe.name}", "",
        "A built-in backbone of Cold Neurons, trained from scratch by the project's own code on "
        "its built-in language. It answers the built-in tasks and nothing else.", "",
        f"Architecture {recipe.architecture}: "
        + ", ".join(f"{key} {value}" for key, value in recipe.config.items()) + ".", "",
        "Recipe: "
        + ", ".join(
            f"{key} {value}" for key, value in recipe.as_dict().items()
            if key not in ("name", "architecture", "config")
        ) + f". {curve[-1]['tokens']:,} token positions seen, on CPU, one thread, float32; shipped "
        "as float16. `make reference-models` makes it again.", "",
        "## Dense accuracy", "",
        "| task | steps | right | items | share of FFN activations that are zero |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for task in tasks:
        rows = {steps: count for (name, steps), count in results.items() if name == task}
        right, items = (sum(column) for column in zip(*rows.values(), strict=True))
        lines.append(f"| {task} | all | {right / items:.3f} | {items} | {zeros[task]:.3f} |")
        if len(rows) > 1:
            lines += [f"| | {s} | {r / n:.3f} | {n} | |" for s, (r, n) in sorted(rows.items())]
    lines += [
        "", "## Loss", "",
        "Weighted cross entropy on training text; sizes grow while the curriculum advances.", "",
        "| step | nats a token | zero share |", "|---|---|---|",
    ]  # fmt: skip
    for row in curve[len(curve) - 1 :: -max(1, len(curve) // 12)][::-1]:
        zero = "" if row["zero_share"] is None else f"{row['zero_share']:.3f}"
        lines.append(f"| {row['step']} | {row['loss']:.4f} | {zero} |")
    return "\n".join(lines) + "\n"
