"""Documents name what is there: links lead to files, paths exist, the index has every document,
and the glossary stays short."""

import re

import pytest

from pipeline.store.digest import SOURCE_ROOT

PROJECT = SOURCE_ROOT.parent
DOCUMENTS = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md")),
    *sorted((PROJECT / "docs").glob("*.md")),
]
#: A path of a module, or of another file of the sources, in code marks.
PATH = re.compile(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|smk|yaml))`")
#: Paths that are not of this project: a user's, another project's, and a walkthrough's own.
OTHERS = re.compile(r"tasks/gsm8k.yaml|utils/utils.py|.*(drop_light|answer_lengths|layer_heat).*")


def named(document):
    return str(document.relative_to(PROJECT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_lead_to_files(document):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_paths_are_there(document):
    roots = (PROJECT, SOURCE_ROOT / "pipeline", document.parent)
    paths = set(PATH.findall(document.read_text(encoding="utf-8")))
    lost = [path for path in paths if not any((root / path).exists() for root in roots)]
    assert not [path for path in lost if not OTHERS.fullmatch(path)]


def test_the_index_names_every_document():
    index = (PROJECT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (PROJECT / "docs").glob("*.md")} - {"README.md"}
    assert pages == set(re.findall(r"\]\((\w[\w-]*\.md)\)", index))


def test_the_glossary_has_at_most_forty_terms_each_once():
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    glossary = text[text.index("## Glossary") : text.index("## What reruns")]
    terms = re.findall(r"^\| ([^|]+?) \|", glossary, re.M)[2:]
    assert 20 < len(terms) <= 40 and len(set(terms)) == len(terms)
