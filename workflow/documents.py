"""Write the parts of documents that follow from the code: `make docs`.

The rules of a study in docs/architecture.md, as Snakemake plans them; the sparsifiers that remove
neurons for good in docs/methods.md, as they describe themselves.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pipeline.registry import SPARSIFIERS
from pipeline.report.readme import between

PROJECT = Path(__file__).resolve().parent.parent
ARCHITECTURE, METHODS = PROJECT / "docs" / "architecture.md", PROJECT / "docs" / "methods.md"
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


def write(page: Path, part: str, body: str) -> None:
    """Put `body` between the marks of a part of a page."""
    page.write_text(between(page.read_text(encoding="utf-8"), part, body), encoding="utf-8")


if __name__ == "__main__":
    write(METHODS, "removing", removing())
    write(ARCHITECTURE, "stages", mermaid(reduced(planned())))
