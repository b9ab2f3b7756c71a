"""The README's finding, written from a study's results: `make readme`."""

import re
import shutil
import sys
from pathlib import Path

from pipeline.tables.finding import FINDING

FIGURE = Path("docs/accuracy-lost.svg")
_PART = re.compile(r"(<!-- finding[^\n]*-->\n).*?(<!-- end of finding -->)", re.DOTALL)


def with_finding(text: str, sentences: list[str]) -> str:
    """The README with the finding's sentences and figure between its two marks."""
    quoted = "\n>\n".join(f"> {sentence}" for sentence in sentences)
    figure = f"![Points of reasoning accuracy lost against neurons removed]({FIGURE})"
    return _PART.sub(lambda match: f"{match[1]}{quoted}\n\n{figure}\n{match[2]}", text)


def main(readme: Path, results: Path) -> None:
    """Rewrite the README's part and copy the figure beside the documents."""
    sentences = FINDING.read(results / "analyse" / "finding.json")["sentences"]
    readme.write_text(with_finding(readme.read_text(encoding="utf-8"), sentences), encoding="utf-8")
    shutil.copyfile(results / "report" / FIGURE.name, readme.parent / FIGURE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
