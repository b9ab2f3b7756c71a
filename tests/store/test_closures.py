"""Source closures and rule texts: what an edit may and may not rerun."""

import itertools
import os
import sys
from importlib import metadata

import pytest

from pipeline.store.closures import rule_text, source_closure, versions

FILES = {
    "pipeline/__init__.py": '"""A package."""\n',
    "pipeline/stage.py": (
        '"""Does one thing."""\n'
        "from pipeline import tools\n"
        "from pipeline.deep.inner import value\n"
        "# why it is so\n"
        "def work(x):\n"
        '    """Twice x."""\n'
        "    from pipeline.late import more\n"
        "    return tools.double(x) + more(value)\n"
    ),
    "pipeline/tools.py": "def double(x):\n    return 2 * x\n",
    "pipeline/late.py": "def more(x):\n    return x + 1\n",
    "pipeline/other.py": "def unrelated():\n    return 0\n",
    "pipeline/names.py": (
        "from pipeline.registry import Registry\n"
        'THINGS = Registry("thing", {"a": "pipeline.a:A"})\n'
    ),
    "pipeline/registry.py": "class Registry:\n    pass\n",
    "pipeline/deep/__init__.py": "",
    "pipeline/deep/inner.py": "value = 3\n",
}
_clock = itertools.count(1_000_000_000)


class Tree:
    """A source tree whose every edit gets a modification time of its own."""

    def __init__(self, root):
        self.root = root
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, ns=(tick := next(_clock), tick))

    def edit(self, name, old, new):
        text = (self.root / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def closure(self, *roots, **options):
        return source_closure(*(roots or ("pipeline.stage",)), source_root=self.root, **options)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("pipeline/stage.py", "# why it is so", "# another reason"),
        ("pipeline/stage.py", "# why it is so\n", ""),
        ("pipeline/stage.py", '"""Does one thing."""', '"""Does it well."""'),
        ("pipeline/stage.py", '    """Twice x."""\n', ""),
        ("pipeline/stage.py", "def work(x):\n", "\n\ndef work(\n    x,\n):\n"),
        ("pipeline/tools.py", "2 * x", "(2  *  x)"),
        ("pipeline/__init__.py", "A package.", "The package."),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(tree, file, old, new):
    before = tree.closure()
    tree.edit(file, old, new)
    assert tree.closure() == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("pipeline/stage.py", "tools.double(x) +", "tools.double(x) -"),
        ("pipeline/tools.py", "2 * x", "3 * x"),
        ("pipeline/deep/inner.py", "3", "4"),
        ("pipeline/deep/__init__.py", "", "import os\n"),
        ("pipeline/late.py", "+ 1", "+ 2"),
    ],
)
def test_code_counts_in_the_root_and_in_all_it_imports(tree, file, old, new):
    before = tree.closure()
    if old:
        tree.edit(file, old, new)
    else:
        tree.write(file, new)
    assert tree.closure() != before


def test_modules_that_are_not_imported_do_not_count(tree):
    before = tree.closure()
    tree.edit("pipeline/other.py", "0", "1")
    tree.write("pipeline/brand_new.py", "x = 1\n")
    assert tree.closure() == before


def test_an_import_of_an_import_counts(tree):
    tree.edit("pipeline/tools.py", "def double", "from pipeline import other\n\ndef double")
    before = tree.closure()
    tree.edit("pipeline/other.py", "0", "1")
    assert tree.closure() != before


def test_a_string_in_the_middle_of_a_function_counts(tree):
    tree.edit("pipeline/tools.py", "return 2 * x", 'y = "one"\n    return y')
    before = tree.closure()
    tree.edit("pipeline/tools.py", '"one"', '"two"')
    assert tree.closure() != before


def test_lines_of_a_registry_table_do_not_count_and_its_kind_does(tree):
    before = tree.closure("pipeline.names")
    tree.edit("pipeline/names.py", '"a": "pipeline.a:A"', '"a": "pipeline.a:A", "b": "x.b:B"')
    assert tree.closure("pipeline.names") == before
    tree.edit("pipeline/names.py", '"thing"', '"object"')
    assert tree.closure("pipeline.names") != before


def test_a_description_of_a_configuration_key_does_not_count_and_its_bound_does(tree):
    field = 'Field(0.5, gt=0, title="Share", description="a share")'
    tree.write("pipeline/keys.py", f"from pydantic import Field\nshare = {field}\n")
    before = tree.closure("pipeline.keys")
    tree.edit("pipeline/keys.py", "a share", "the share of all")
    tree.edit("pipeline/keys.py", 'title="Share", ', "")
    assert tree.closure("pipeline.keys") == before
    tree.edit("pipeline/keys.py", "gt=0", "gt=1")
    assert tree.closure("pipeline.keys") != before


@pytest.mark.parametrize("line", ["from . import tools", "from .deep import inner"])
def test_a_relative_import_is_refused_since_it_is_not_followed(tree, line):
    tree.edit("pipeline/stage.py", "from pipeline import tools", line)
    with pytest.raises(ValueError, match=r"pipeline\.stage, line 2: write the import in full"):
        tree.closure()


def test_a_script_counts_by_name_and_not_by_place(tree, tmp_path):
    for place in ("here", "there"):
        tree.write(f"{place}/run.py", "from pipeline import tools\nprint(tools.double(1))\n")
    here, there = (tree.closure(str(tmp_path / p / "run.py")) for p in ("here", "there"))
    assert here == there
    tree.edit("pipeline/tools.py", "2 * x", "3 * x")
    assert tree.closure(str(tmp_path / "here" / "run.py")) != here


def test_the_order_of_roots_does_not_count(tree):
    assert tree.closure("pipeline.stage", "pipeline.other") == tree.closure(
        "pipeline.other", "pipeline.stage"
    )


def test_a_module_that_is_cut_does_not_count_and_what_stands_for_it_does(tree):
    tree.write("pipeline/running/__init__.py", "")
    tree.write("pipeline/running/entry.py", "from pipeline.other import unrelated\nretries = 3\n")
    tree.write("pipeline/store/__init__.py", "")
    tree.write("pipeline/store/arguments.py", "kinds = 1\n")
    tree.edit("pipeline/stage.py", "from pipeline import tools", "import pipeline.running.entry")
    before = tree.closure()
    tree.edit("pipeline/running/entry.py", "3", "4")
    tree.edit("pipeline/other.py", "0", "1")
    assert tree.closure() == before
    tree.edit("pipeline/store/arguments.py", "1", "2")
    assert tree.closure() != before


RULES = """\
# Rules of a stage.
rule first:
    input:
        "a.txt",
    output:
        "b.txt",  # the result
    script:
        "first.py"


rule second:
    output:
        "c.txt",
    script:
        "second.py"
"""


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "stage.smk"
    path.write_text(RULES)

    def edited(old, new):
        assert old in RULES
        path.write_text(RULES.replace(old, new))
        return rule_text(path, "first"), rule_text(path, "second")

    return edited


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# the result", "# what is made"),
        ("# Rules of a stage.", "# Nothing."),
        ('    script:\n        "first.py"\n', '    # so\n    script:\n        "first.py"\n'),
        ('        "a.txt",\n', '\n        "a.txt",\n'),
        ("\n\nrule second", "\n\n# now the second\nrule second"),
        ("rule first:", "rule first:  # begins"),
    ],
)
def test_comments_and_layout_of_a_rule_do_not_count(rules, old, new):
    assert rules(old, new) == rules("a", "a")


def test_an_edit_changes_the_rule_it_is_in_and_no_other(rules):
    first, second = rules("a", "a")
    edited_first, same_second = rules('"a.txt"', '"other.txt"')
    assert edited_first != first and same_second == second
    same_first, edited_second = rules('"second.py"', '"third.py"')
    assert same_first == first and edited_second != second


def test_a_rule_that_is_not_there_is_an_error(tmp_path):
    path = tmp_path / "stage.smk"
    path.write_text(RULES)
    with pytest.raises(ValueError, match="no rule third in stage.smk"):
        rule_text(path, "third")


def test_versions_are_those_installed():
    assert dict(versions("numpy")) == {"numpy": metadata.version("numpy")}


def test_torchs_version_names_its_build():
    """Which is what torch says of itself once it is imported."""
    import torch

    assert dict(versions("torch")) == {"torch": str(torch.__version__)}


def test_python_counts_by_its_minor_version():
    assert dict(versions("python")) == {"python": "{}.{}".format(*sys.version_info)}


def test_an_uninstalled_library_is_an_error():
    with pytest.raises(metadata.PackageNotFoundError):
        versions("no-such-distribution-anywhere")
