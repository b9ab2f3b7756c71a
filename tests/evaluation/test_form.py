"""Whether a response holds an answer, by the harness' filters."""

import pytest
from lm_eval import filters  # noqa: F401 - it registers them

from pipeline.evaluation.form import in_form

FIRST = {"function": "take_first"}


def regex(pattern, **more):
    return {"function": "regex", "regex_pattern": pattern, **more}


@pytest.mark.parametrize(
    ("steps", "response", "found"),
    [
        ([regex("# (.*)$"), FIRST], "1 + 1 # 2", True),
        ([regex("# (.*)$"), FIRST], "1 + 1", False),
        ([regex("# (.*)$"), FIRST], "1 + 1 # ", False),
        ([regex("# (.*)$"), FIRST], "", False),
        # What the harness gives for no answer, written by the model.
        ([regex("# (.*)$"), FIRST], "# [invalid]", True),
        ([regex("# (.*)$", fallback="0"), FIRST], "# 0", True),
        ([regex("# (.*)$", fallback="0"), FIRST], "0", False),
        ([regex("(a)|(b)", group_select=-1), {"function": "uppercase"}, FIRST], "a b", True),
        ([{"function": "lowercase"}, regex("# (.*)$"), FIRST], "A", False),
        ([regex("# (.*)$"), regex("(.*)"), FIRST], "A", False),
        (
            [{"function": "map", "mapping_dict": {"a": "1"}, "default_value": "a"}, FIRST],
            "b",
            False,
        ),
        ([{"function": "map", "mapping_dict": {"a": "1"}, "default_value": "1"}, FIRST], "a", True),
        ([{"function": "lowercase"}, FIRST], "anything", None),
        ([], "anything", None),
    ],
)
def test_an_answer_is_found_or_not(steps, response, found):
    assert in_form(steps, response) is found
