"""The README's finding, written from a study's results: `make readme`."""

import re
import shutil
import sys
from pathlib import Path

from pipeline.errors import UserError, at
from pipeline.tables.finding import FINDING

FIGURE = Path("docs/accuracy-lost.svg")
_PART = re.compile(r"(<!-- finding[^\n]*-->\n).*?(<!-- end of finding -->)", re.DOTALL)


def with_finding(text: str, sentences: list[str]) -> str:
    """The README with the finding's sentences and figure between its two marks.

    UserError when it has none.
    """
    quoted = "\n>\n".join(f"> {sentence}" for sentence in sentences)
    figure = f"![Points of reasoning accuracy lost against neurons removed]({FIGURE})"
    whole, found = _PART.subn(lambda match: f"{match[1]}{quoted}\n\n{figure}\n{match[2]}", text)
    if not found:
        raise UserError(
            "no part that starts with <!-- finding --> and ends with <!-- end of finding -->"
        )
    return whole


def main(readme: Path, results: Path) -> None:
    """Rewrite the README's part and copy the figure beside the documents."""
    sentences = FINDING.read(results / "analyse" / "finding.json")["sentences"]
    with at(readme.name):
        text = with_finding(readme.read_text(encoding="utf-8"), sentences)
    readme.write_text(text, encoding="utf-8")
    shutil.copyfile(results / "report" / FIGURE.name, readme.parent / FIGURE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
