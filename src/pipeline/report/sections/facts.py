"""What was measured, and how the models stood before pruning."""

from typing import Any

from pipeline.report.numbers import count, percent
from pipeline.report.results import Results, Row, Rows
from pipeline.report.section import Section
from pipeline.tables.curves import DENSE, REASONING

_BITS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 8: "eight"}


def values(results: Results) -> dict[str, Any]:
    """The sentences as a list."""
    tables = results.tables
    return {
        "facts": [
            *facts(tables["curves"], tables["perplexity"], tables["refused"], results.finding),
            *map(_dequantized, (model for model in results.models if model["bits"])),
        ]
    }


def _dequantized(model: Row) -> str:
    """A sentence for a model that was made of packed weights."""
    return (
        f"{model['name']}: weights dequantized from {_BITS.get(model['bits'], model['bits'])} bits "
        f"({model['quantization']} in its GGUF file), so it may do worse than its published "
        "figures, pruned or not."
    )


def facts(curves: Rows, perplexity: Rows, refused: Rows, finding: Row) -> list[str]:
    """Short sentences on what was measured and how the models stood before pruning."""
    pruned = [row for row in (*curves, *perplexity) if row["method"] != DENSE]
    models = {row["model"] for row in finding["models"]}
    conditions = {(row["model"], row["method"], row["level"]): row["seeds"] for row in pruned}
    sentences = [
        f"{_several(len(conditions), 'pruned condition')} of {_several(len(models), 'model')} "
        f"evaluated; {count(len(refused))} refused. Seeds of a condition are pooled: "
        f"{_several(sum(conditions.values()), 'pruned model')} in all."
    ]
    for row in finding["models"]:
        sentences.append(
            f"{row['model']}: {percent(1 - row['natural_sparsity'])} of its FFN neurons are active "
            f"at a token, on average. Its hot set, {percent(row['hot'] / row['neurons'])} of the "
            f"neurons, carries {percent(row['carried'])} of all activations."
        )
    for row in _unique_by_model(curves):
        sentences.append(
            f"{row['model']}: unpruned, it gets {percent(row['accuracy_dense'])} right, the mean "
            f"of the reasoning tasks; the best constant answers would get {percent(row['chance'])}."
        )
    lost = [row for row in pruned if row.get("accuracy", 1) < row.get("chance", 0)]
    silent = {(r["model"], r["method"], r["level"]) for r in lost if r["task"] == REASONING}
    if silent:
        answered = [row for row in lost if row["task"] == REASONING]
        sentences.append(
            f"{_several(len(silent), 'condition')} left less than chance on the mean of the "
            f"reasoning tasks{_out_of_form(answered)}; how far below chance such a model lies says "
            "nothing."
        )
    sentences += _left_out(pruned)
    sentences.append(
        f"Brackets and bars are {percent(finding['confidence'], 0)} intervals, each on its own: "
        "they are not widened for the number of comparisons."
    )
    return sentences


def _out_of_form(rows: Rows) -> str:
    """A clause that says in what share of the responses the task's filter finds no answer; empty
    where no filter looks for one."""
    shares = [row["out_of_form"] for row in rows if row["out_of_form"] is not None]
    if not shares:
        return ""
    low, high = percent(min(shares), 0), percent(max(shares), 0)
    span_of = low if low == high else f"{low} to {high}"
    return f", where {span_of} of the responses hold no answer in the task's form"


def _left_out(rows: Rows) -> list[str]:
    """Sentences that name methods together with the reasoning tasks that their means leave out."""
    methods: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.get("left_out"):
            methods.setdefault(row["left_out"], {})[row["method"]] = None
    return [
        f"The mean of the reasoning tasks is without {tasks} under {', '.join(names)}: nothing was "
        "imposed at any token of these tasks there. The dense model's mean beside it is of the "
        "same tasks."
        for tasks, names in methods.items()
    ]


def _several(number_of: int, noun: str) -> str:
    return f"{count(number_of)} {noun}{'' if number_of == 1 else 's'}"


def _unique_by_model(curves: Rows) -> list[Row]:
    first: dict[str, Row] = {}
    for row in curves:
        if (row["task"], row["method"]) == (REASONING, DENSE):
            first.setdefault(row["model"], row)
    return list(first.values())


SECTION = Section(values=values)
