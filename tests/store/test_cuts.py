"""What of a module's code counts: every cut, with an edit that it covers and one beside it."""

import pytest

from pipeline.store.cuts import CALLS, FACES, MODULES, SYNTAX, TEXTS_THAT_COUNT, counted, cut_of

#: Cut syntax -> (code, the same with that syntax edited, code that differs in what counts).
EDITS = {
    "comments and layout": ("x = [1, 2]  # two", "x = [\n    1,\n    2,\n]", "x = [2, 1]"),
    "docstrings": (
        'class A:\n    """One."""\n    def f(self):\n        """Two."""\n        return 1',
        "class A:\n    def f(self):\n        return 1",
        'class A:\n    def f(self):\n        return """Two."""',
    ),
    "arguments of raised errors": (
        'if x < 1:\n    raise ValueError(f"x is {x}") from None',
        "if x < 1:\n    raise ValueError(message(x)) from None",
        'if x < 2:\n    raise ValueError(f"x is {x}") from None',
    ),
    "functions annotated to return an error": (
        'def _bad(x) -> KeyError:\n    return KeyError(x)\ndef f():\n    raise _bad("one")',
        'def _bad(x) -> KeyError:\n    return KeyError(x, 2)\ndef f():\n    raise _bad("two")',
        'def _bad(x) -> KeyError:\n    return KeyError(x)\ndef f():\n    return _bad("one")',
    ),
    "annotations of arguments, returned values and local variables": (
        "def f(x: int, *y: int, z: int = 2) -> int:\n    a: int = 1\n    b: list\n    return a",
        "def f(x: 'A', *y, z: float = 2) -> float:\n    a = 1\n    return a",
        "def f(x: int, *y: int, z: int = 3) -> int:\n    a: int = 1\n    return a",
    ),
    "blocks under TYPE_CHECKING": (
        "if TYPE_CHECKING:\n    import pipeline.one\nelse:\n    x = 1",
        "if typing.TYPE_CHECKING:\n    import pipeline.two\nelse:\n    x = 1",
        "if TYPE_CHECKING:\n    import pipeline.one\nelse:\n    x = 2",
    ),
    "`label` and `cost` of classes in pipeline.methods": (
        'class A:\n    label = "a"\n    seeded = True\n    def cost(self):\n        return 1',
        'class A:\n    label = "b"\n    seeded = True',
        'class A:\n    label = "a"\n    seeded = False\n    def cost(self):\n        return 1',
    ),
}

#: Full name of what is called -> (arguments, the same in other words, others that count).
ARGUMENTS = {
    "pipeline.errors.UserError": ('f"no {x}"', '"give another"', '"no", 2'),
    "pipeline.registry.Registry": ('"kind", {"a": "m:A"}', '"kind", table=TABLE', '"sort", {}'),
    "pipeline.tables.base.Column": (
        '"Float64", "in seconds", True',
        '"Float64", "in minutes", True',
        '"Float32", "in seconds", True',
    ),
    "pipeline.tables.base.Table": (
        '"name", 1, "of times", columns',
        '"name", 1, "of durations", columns',
        '"name", 2, "of times", columns',
    ),
    "pipeline.tables.base.Document": (
        '"name", 1, "of facts", {"a": "the one", **more}',
        '"name", 1, "of truths", {"a": "the other", **more}',
        '"name", 1, "of facts", {"b": "the one", **more}',
    ),
    "pipeline.tables.base.Arrays": (
        '"name", 1, "of numbers", arrays={"a": "(layers,)"}',
        '"name", 1, "of reals", arrays={"a": "(layers, d_ff)"}',
        '"name", 2, "of numbers", arrays={"a": "(layers,)"}',
    ),
    "pydantic.Field": (
        '0.5, gt=0, description="a share"',
        '0.5, gt=0, title="Share", description="share of all", examples=[1]',
        '0.5, gt=1, description="a share"',
    ),
}


def code(source, name="pipeline.stage"):
    """What counts of the source."""
    return counted(source, name)[0]


@pytest.mark.parametrize("kind", EDITS)
def test_cut_syntax_does_not_count_and_what_stands_beside_it_does(kind):
    before, same, other = (code(text, "pipeline.methods.stage") for text in EDITS[kind])
    assert before == same != other


@pytest.mark.parametrize("called", CALLS)
def test_words_of_a_call_do_not_count_and_its_other_arguments_do(called):
    module, _, name = called.rpartition(".")
    imported = f"from {module} import {name}\nx = {name}"
    before, same, other = (code(f"{imported}({given})") for given in ARGUMENTS[called])
    assert before == same != other


def test_every_cut_is_one_of_these():
    """A new one needs its reason, its edits here, and a look at who reads what it leaves out."""
    assert set(MODULES) == {"pipeline.running", "pipeline.errors"} and set(FACES) == {"pipeline"}
    assert set(CALLS) == set(ARGUMENTS)
    assert set(SYNTAX) == set(EDITS)
    assert set(TEXTS_THAT_COUNT) == {"pipeline.methods.quantizers.rounding"}
    reasons = [cut.reason for cut in (*MODULES.values(), *FACES.values(), *CALLS.values())]
    assert all(reason.endswith(".") for reason in [*reasons, *SYNTAX.values()])


@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("from pipeline.tables.base import Column as C", "C"),
        ("from pipeline.tables import base", "base.Column"),
        ("import pipeline.tables.base", "pipeline.tables.base.Column"),
        ("import pipeline.tables.base as kinds", "kinds.Column"),
    ],
)
def test_what_is_called_is_known_by_whatever_name_it_is_imported(imports, call):
    one, two = (code(f'{imports}\n{call}("Float64", text="{t}")') for t in ("one", "two"))
    assert one == two


def test_a_class_of_the_same_name_from_elsewhere_keeps_its_arguments():
    for imports in ("from pipeline.stage import Column", "class Column: ...", ""):
        one, two = (code(f'{imports}\nColumn("Float64", "{t}")') for t in ("one", "two"))
        assert one != two


def test_the_reason_of_a_refusal_counts_however_it_is_raised():
    for form in ("raise Refused({})", "raise plan.Refused({}) from None", "return Refused({})"):
        one, two = (code("def f():\n    " + form.format(text)) for text in ("'one'", "'two'"))
        assert one != two


def test_a_function_that_may_return_an_error_or_something_else_counts():
    for hint in ("KeyError | None", "'int | KeyError'", "list[KeyError]"):
        one, two = (code(f"def f(x) -> {hint}:\n    return {n}") for n in (1, 2))
        assert one != two


def test_texts_of_errors_count_where_they_are_taken_as_reasons():
    (module,) = TEXTS_THAT_COUNT
    one, two = (code(f"raise ValueError('{text}')", module) for text in ("one", "two"))
    assert one != two


def test_annotations_of_a_script_count_since_they_decide_what_it_is_given():
    one, two = (code(f"def main(x: {hint}): ...", "/a/fit.py") for hint in ("int", "str"))
    assert one != two


def test_annotations_of_a_class_count_since_they_are_its_fields():
    one, two = (code(f"class A:\n    x: {hint} = 1") for hint in ("int", "float"))
    assert one != two


def test_imports_count_everywhere_but_in_what_is_left_out():
    source = (
        "import pipeline.one\nfrom pipeline.two import three\nimport numpy\n"
        "if TYPE_CHECKING:\n    import pipeline.four\n"
        "def f():\n    import pipeline.deep.five\n"
        "def bad() -> KeyError:\n    import pipeline.six\n"
    )
    assert counted(source, "pipeline.stage")[1] == (
        "pipeline", "pipeline.deep", "pipeline.deep.five", "pipeline.one", "pipeline.two",
        "pipeline.two.three",
    )  # fmt: skip


def test_a_package_is_cut_with_all_below_it_and_nothing_beside():
    for module in ("pipeline.running", "pipeline.running.entry", "pipeline.running.entry.job"):
        assert cut_of(module) is MODULES["pipeline.running"]
    assert cut_of("pipeline.runningly") is cut_of("a.running") is None


def test_of_the_package_its_own_file_is_cut_and_nothing_below_it():
    assert cut_of("pipeline") is FACES["pipeline"]
    assert cut_of("pipeline.methods") is None
