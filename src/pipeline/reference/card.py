"""Model cards of the built-in backbones, from measured figures."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.reference.recipes import Recipe

if TYPE_CHECKING:
    import polars as pl

Rows = Sequence[Mapping[str, Any]]
_DENSE = ("task", "reasoning", "steps", "n", "accuracy", "chance")
_ABOUT = ("name", "architecture", "config")


def card(recipe: Recipe, training: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """README.md of a backbone; `training` is the body of LOSS_CURVE, `facts` that of CARD."""
    curve = training["rows"]
    return "\n".join(
        [
            "---", "license: apache-2.0", "library_name: transformers", "---", "",
            f"# {recipe.name}", "",
            "A built-in backbone of Cold Neurons, trained from scratch by the project's own code "
            "on its built-in language. It answers the built-in tasks and nothing else.", "",
            f"Architecture {recipe.architecture}, {facts['parameters']:,} parameters: "
            f"{_listed(recipe.config)}.", "",
            f"Recipe: {_listed({k: v for k, v in recipe.as_dict().items() if k not in _ABOUT})}. "
            f"{curve[-1]['tokens']:,} token positions seen, on {training['hardware']}; shipped as "
            "float16. `make reference-models` makes it again.", "",
            *_dense(facts), *_sparsity(facts), *_loss(curve),
        ]
    ) + "\n"  # fmt: skip


def facts_of(
    record: Mapping[str, Any],
    dense: Rows,
    samples: "pl.DataFrame",
    layers: "pl.DataFrame",
    classification: Mapping[str, Any],
) -> dict[str, Any]:
    """The body of CARD from model.json's, the rows of dense accuracy, SAMPLES, LAYERS and a
    classification's body."""
    import polars as pl

    texts = samples.filter(pl.col("correct").is_null()).group_by("task").agg(
        nats=pl.col("nats").sum() / pl.col("scored_tokens").sum()
    )  # fmt: skip
    sparsity = [float(value) for value in layers["natural_sparsity"]]
    return {
        "model": record["name"],
        "activation": record["activation"],
        "parameters": record["parameters"],
        "dense": [{key: row[key] for key in _DENSE} for row in dense],
        "log_perplexity": dict(texts.sort("task").iter_rows()),
        "layers": [{"natural_sparsity": value} for value in sparsity],
        "natural_sparsity": sum(sparsity) / len(sparsity),
        "hot_share": classification["hot"] / classification["neurons"],
    }


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _dense(facts: Mapping[str, Any]) -> list[str]:
    """Accuracy and chance by task and, below it, by number of steps."""
    lines = ["## Dense accuracy", "", "| task | steps | right | chance | items |"]
    lines.append("|---|---|---|---|---|")
    for whole in (row for row in facts["dense"] if row["steps"] is None):
        lines.append(f"| {whole['task']} | all | {_shares(whole)} |")
        parts = [
            row for row in facts["dense"]
            if row["task"] == whole["task"] and row["steps"] is not None
        ]  # fmt: skip
        if len(parts) > 1:
            lines += [f"| | {row['steps']} | {_shares(row)} |" for row in parts]
    for task, nats in facts["log_perplexity"].items():
        lines += ["", f"{task}: {nats:.4f} nats a token."]
    return [*lines, ""]


def _shares(row: Mapping[str, Any]) -> str:
    return f"{row['accuracy']:.1%} | {row['chance']:.1%} | {row['n']}"


def _sparsity(facts: Mapping[str, Any]) -> list[str]:
    lines = ["## Natural sparsity", "", "On the built-in reasoning corpus.", ""]
    lines += ["| layer | inactive (token, neuron) pairs |", "|---|---|"]
    for layer, row in enumerate(facts["layers"]):
        lines.append(f"| {layer} | {row['natural_sparsity']:.1%} |")
    share = f"{facts['hot_share']:.1%}"
    return [*lines, "", f"{share} of the neurons carry 80 % of all activations.", ""]


def _loss(curve: Rows) -> list[str]:
    """About a dozen rows of the curve, the last one among them."""
    lines = [
        "## Loss", "",
        "Weighted cross entropy on training text; sizes grow while the curriculum advances.", "",
        "| step | nats a token | zero share |", "|---|---|---|",
    ]  # fmt: skip
    for row in curve[len(curve) - 1 :: -max(1, len(curve) // 12)][::-1]:
        zero = "" if row["zero_share"] is None else f"{row['zero_share']:.1%}"
        lines.append(f"| {row['step']} | {row['loss']:.4f} | {zero} |")
    return lines
