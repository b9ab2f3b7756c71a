"""Write the parts of documents that follow from the code: `make docs`.

The rules of a study in docs/architecture.md, as Snakemake plans them; the sparsifiers that remove
neurons for good in docs/methods.md, as they describe themselves; the architectures in
docs/models.md, from the list that their contracts made.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.registry import SPARSIFIERS
from pipeline.report.readme import between

PROJECT = Path(__file__).resolve().parent.parent
ARCHITECTURE, METHODS = PROJECT / "docs" / "architecture.md", PROJECT / "docs" / "methods.md"
MODELS, PROVED = PROJECT / "docs" / "models.md", PROJECT / "docs" / "architectures.json"
#: The study that has a job of every rule except those for shards.
STUDY = "configs/full.yaml"

Edges = set[tuple[str, str]]


def planned() -> Edges:
    """(rule, rule that reads what it makes) of the study, by Snakemake's own graph of the rules."""
    line = [sys.executable, "-m", "snakemake", "--snakefile", PROJECT / "Snakefile"]
    line += ["--configfile", PROJECT / STUDY, "--rulegraph", "mermaid-js"]
    with tempfile.TemporaryDirectory() as folder:
        line += ["--profile", "none", "--workflow-profile", "none", "--directory", folder]
        done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    rules = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", done.stdout, re.M))
    arrows = re.findall(r"^\s*(id\d+) --> (id\d+)", done.stdout, re.M)
    return {(rules[one], rules[other]) for one, other in arrows if rules[other] != "all"}


def reduced(edges: Edges) -> Edges:
    """The edges without those between rules that a longer path joins."""
    after: dict[str, set[str]] = {}
    for one, other in edges:
        after.setdefault(one, set()).add(other)

    def reached(starts: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for start in starts:
            found |= {start} | reached(after.get(start, ()))
        return found

    return {(a, b) for a, b in edges if not any(b in reached(after.get(c, ())) for c in after[a])}


def mermaid(edges: Edges) -> str:
    """The graph as a block of Mermaid's language."""
    lines = [f"  {one} --> {other}" for one, other in sorted(edges)]
    return "\n".join(["```mermaid", "flowchart TB", *lines, "```"])


def removing() -> str:
    """A table of the sparsifiers that remove neurons for good, in the order of the registry."""
    rows = ["| name | removes | as | source |", "|---|---|---|---|"]
    for name, entry in SPARSIFIERS.items():
        kind = SPARSIFIERS.load(name)
        if kind.static:
            text = sys.modules[entry.partition(":")[0]].__doc__ or ""
            papers = re.findall(r"arXiv\s+(\d{4}\.\d{5})", text)
            links = ", ".join(f"[{paper}](https://arxiv.org/abs/{paper})" for paper in papers)
            rows.append(f"| `{name}` | {kind.label} | {kind.role} | {links} |")
    return "\n".join(rows)


def supported() -> str:
    """Two tables: the architectures with what differs between them, and what was proved of how
    many."""
    told = json.loads(PROVED.read_text(encoding="utf-8"))
    every = told["architectures"]
    forms = [form for each in every.values() for form in each["forms"]]
    facts = list(dict.fromkeys(key for form in forms for key in form))
    rows = [_row(["architecture", "FFN", *facts, "proved"]), _row(["---"] * (len(facts) + 3))]
    for name, each in every.items():
        cells = [_either(form[key] for form in each["forms"]) for key in facts]
        share = f"{len(each['proved'])} of {len(told['properties'])}"
        rows.append(_row([f"`{name}`", each["ffn"] or "not known", *cells, share]))
    rows += ["", _row(["property", "what holds", "how closely", "architectures"])]
    rows.append(_row(["---"] * 4))
    for name, says in told["properties"].items():
        bounds = [each["proved"][name] for each in every.values() if name in each["proved"]]
        rows.append(_row([f"`{name}`", says, _either(bounds), str(len(bounds))]))
    return "\n".join(rows)


def _either(values: Iterable[str]) -> str:
    """The different values."""
    return " or ".join(dict.fromkeys(values))


def _row(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def write(page: Path, part: str, body: str) -> None:
    """Put `body` between the marks of a part of a page."""
    page.write_text(between(page.read_text(encoding="utf-8"), part, body), encoding="utf-8")


if __name__ == "__main__":
    write(METHODS, "removing", removing())
    write(MODELS, "architectures", supported())
    write(ARCHITECTURE, "stages", mermaid(reduced(planned())))
