"""Templates are data: what they may do, and what they may take."""

import contextlib
import time

import pytest

from pipeline.errors import UserError
from pipeline.tasks import templates

FIELDS = {"q": "one", "n": 2, "x": 2.5, "b": True, "none": None, "many": ["a", "b"],
          "endless": float("inf")}  # fmt: skip


def filled(text, fields=FIELDS):
    return templates.filled(templates.compiled(text), fields)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("{{q}} {{ n }}", "one 2"),
        ("{{x}}{{b}}", "2.5True"),
        ("{% for each in many %}{{ loop.index }}{{ each }};{% endfor %}", "1a;2b;"),
        ("{{ many|join(', ') }}{{ q|upper }}{{ q.strip() }}", "a, bONEone"),
        ("{% if n > 1 and none is none %}more{% endif %}\n", "more\n"),
        ("{% for i in range(3) %}{{ 'ab'[i % 2] }}{% endfor %}", "aba"),
        ("{{ many[n - 1] * 3 }}", "bbb"),
    ],
)
def test_templates_write_texts_numbers_and_truth_values(text, written):
    assert filled(text) == written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{none}}", "the value is null; give a text or a number"),
        ("{{many}}", r"the value is \['a', 'b'\]; give a text or a number"),
        ("{{ {'a': 1} }}", "the value is {'a': 1}"),
        ("{{ many.append }}", "is unsafe"),
        ("{{ missing }}", "'missing' is undefined"),
        ("{{ n / 0 }}", "division by zero"),
        ("{{ q", "'{{ q' is not a template"),
        ("{% include 'other' %}", "no loader"),
        ("{{ many|random }}", "No filter named 'random'"),
        ("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "recursion"),
        ("{{ '\\ud83d' }}", "lone surrogate"),
        ("{{ endless }}", "the value is inf; give a text or a number"),
    ],
)
def test_what_is_no_text_is_refused(text, said):
    with pytest.raises(UserError, match=said):
        filled(text)


@pytest.mark.parametrize(
    "way",
    [
        "cycler.__init__.__globals__.os.popen('touch {0}').read()",
        "''.__class__.__mro__[1].__subclasses__()",
        "self.__init__.__globals__",
    ],
)
def test_a_template_runs_no_code(way, tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(UserError):
        filled(f"{{{{ {way.format(mark)} }}}}")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ 'a' * 10**9 }}", r"\*\* is not computed in a template"),
        ("{{ 'a' * 1000000000 }}", "more than 256 MB of memory"),
        ("{{ 'a'.ljust(1000000000) }}", "more than 256 MB of memory"),
        ("{{ 'a'|center(1000000000) }}", "more than 256 MB of memory"),
        ("{{ 'a' * 1000001 }}", "writes 1,000,001 characters; a text may have 1,000,000"),
        ("{% for i in range(1000000000) %}{% endfor %}", "Range too big"),
        ("{{ 5|round(-1000000000) }}", "No filter named 'round'"),
    ],
)
def test_a_template_that_grows_is_refused_at_once(text, said):
    start = time.monotonic()
    with pytest.raises(UserError, match=said):
        filled(text)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ many|slice(1000000000)|list|length }}",
    ],
)
def test_a_template_that_does_not_end_is_refused(text, monkeypatch):
    monkeypatch.setattr(templates, "SECONDS", 0.2)
    with pytest.raises(UserError, match="computes for more than 0.2 seconds|MB of memory"):
        filled(text)


def test_limits_end_with_the_template():
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGVTALRM)
    for text in ("{{q}}", "{{ 'a' * 1000000000 }}"):
        with contextlib.suppress(UserError):
            filled(text)
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
        after = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGVTALRM)
        assert after == before
