"""The parts of the README that are computed: `make readme`."""

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, at
from pipeline.report.compared import compared, markdown
from pipeline.report.numbers import count, number, percent
from pipeline.tables.curves import CURVES, PERPLEXITY
from pipeline.tables.training import CARD
from pipeline.tasks.task import find

FIGURE = Path("docs/accuracy-lost.svg")
#: The measure and levels at which methods are compared.
_MEASURE, _LEVELS = "model_weight_sparsity", ("0.25", "0.5")


def with_finding(text: str, sentences: Sequence[str]) -> str:
    """The README with the finding's sentences and figure between its two marks.

    UserError when it has none.
    """
    quoted = "\n>\n".join(f"> {sentence}" for sentence in sentences)
    figure = f"![Points of reasoning accuracy lost against neurons removed]({FIGURE})"
    return between(text, "finding", f"{quoted}\n\n{figure}")


def with_backbones(text: str, cards: Sequence[Mapping[str, Any]]) -> str:
    """The README with a table of the built-in backbones between its two marks; `cards` are bodies
    of tables.training.CARD. UserError when it has none."""
    whole = [{row["task"]: row for row in c["dense"] if row["steps"] is None} for c in cards]
    kinds = {task: row["reasoning"] for rows in whole for task, row in rows.items()}
    tasks = sorted(kinds, key=lambda task: (not kinds[task], task))
    rows = [
        ["", *(f"`{card['model']}`" for card in cards)],
        ["---"] * (len(cards) + 1),
        ["activation", *(card["activation"] for card in cards)],
        ["parameters", *(count(card["parameters"]) for card in cards)],
        ["natural sparsity", *(percent(card["natural_sparsity"]) for card in cards)],
        [
            "neurons that carry 80 % of all activations",
            *(percent(card["hot_share"]) for card in cards),
        ],
    ]
    for task in tasks:
        name = f"{task} (chance {percent(whole[0][task]['chance'], 0)})"
        found = (percent(own[task]["accuracy"]) for own in whole)
        rows.append([name if kinds[task] else f"control: {task}", *found])
    for task in sorted(cards[0]["log_perplexity"]):
        found = (number(card["log_perplexity"][task]) for card in cards)
        kind = "" if find(task).reasoning else "control: "
        rows.append([f"{kind}{task}, nats a token", *found])
    return between(text, "backbones", "\n".join(f"| {' | '.join(row)} |" for row in rows))


def with_methods(
    text: str, curves: Sequence[Mapping[str, Any]], perplexity: Sequence[Mapping[str, Any]]
) -> str:
    """The README with methods side by side at two achieved levels between its two marks; rows are
    those of tables.curves. UserError when it has none."""
    models = list(dict.fromkeys(row["model"] for row in curves))
    tables = compared(curves, perplexity, models)
    return between(text, "methods", markdown(tables, models, _MEASURE, _LEVELS))


def between(text: str, name: str, body: str) -> str:
    """`text` with `body` between the marks of the part `name`; UserError when it has none."""
    part = re.compile(rf"(<!-- {name}[^\n]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    whole, found = part.subn(lambda match: f"{match[1]}{body}\n{match[2]}", text)
    if not found:
        raise UserError(
            f"no part that starts with <!-- {name} --> and ends with <!-- end of {name} -->"
        )
    return whole


def _sentences(path: Path) -> list[str]:
    """The finding in sentences, one a line; UserError when the study has none yet."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run the study first") from error


def main(readme: Path, results: Path, models: Path, full: Path) -> None:
    """Rewrite the README's parts and copy the figure beside the documents; the table of methods
    only where the full study has been run."""
    sentences = _sentences(results / "report" / "finding.txt")
    cards = [CARD.read(path) for path in sorted(models.glob("*/card.json"))]
    # The coldest first.
    cards.sort(key=lambda card: -card["natural_sparsity"])
    with at(readme.name):
        text = with_finding(readme.read_text(encoding="utf-8"), sentences)
        text = with_backbones(text, cards)
        if (full / "analyse" / "curves.parquet").exists():
            rows = [
                table.read(full / "analyse" / f"{table.name}.parquet").to_dicts()
                for table in (CURVES, PERPLEXITY)
            ]
            text = with_methods(text, *rows)
    readme.write_text(text, encoding="utf-8")
    shutil.copyfile(results / "report" / FIGURE.name, readme.parent / FIGURE)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
