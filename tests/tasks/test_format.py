"""The keys of a task file: what is taken, with which values; and that the harness has it all."""

import inspect

import pytest

from pipeline.errors import UserError
from pipeline.tasks import format as task_format
from pipeline.tasks.format import FILTERS, GENERATION, LONGEST, METRICS, Form

BASE = {
    "task": "sums",
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "q",
    "doc_to_target": "a",
    "metric_list": [{"metric": "exact_match"}],
}
REGEX = {"function": "regex", "regex_pattern": "# (.*)$"}
FIRST = {"function": "take_first"}


def read_by(*steps, **changes):
    return {**BASE, "filter_list": [{"name": "answer", "filter": list(steps), **changes}]}


def refused(definition, said):
    with pytest.raises(UserError, match=said):
        task_format.check(definition)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        (read_by({"function": "regxe"}, FIRST), "function is 'regxe'; there are .*regex, remove_"),
        (read_by({"function": ["regex"]}, FIRST), "the function is \\['regex'\\]"),
        (read_by({"regex_pattern": "a"}, FIRST), "the function is None"),
        (read_by({"function": "take_first_k", "k": 1}, FIRST), "the function is 'take_first_k'"),
        (read_by({"function": "multi_choice_regex"}, FIRST), "the function is 'multi_choice_"),
        (read_by({**REGEX, "pattern": "a"}, FIRST), "regex: 'pattern' is not used here; it takes "),
        (read_by({**REGEX, "regex_pattern": 3}, FIRST), "regex_pattern is 3; give a regular"),
        (read_by({**REGEX, "regex_pattern": "(a"}, FIRST), "regex_pattern is '\\(a'; give a reg"),
        (read_by({**REGEX, "group_select": 1}, FIRST), "group_select is 1; give 0 or -1"),
        (read_by({**REGEX, "group_select": True}, FIRST), "group_select is True; give 0 or -1"),
        (read_by({**REGEX, "fallback": None}, FIRST), "fallback is None; give a text"),
        (read_by({"function": "map"}, FIRST), "map needs default_value and mapping_dict"),
        (
            read_by({"function": "map", "mapping_dict": {"a": 1}, "default_value": ""}, FIRST),
            "map: mapping_dict is .*give a mapping of texts to texts",
        ),
        (
            read_by({"function": "lowercase", "k": 1}, FIRST),
            "'k' is not used here; it takes nothing",
        ),
        (read_by(REGEX), "the steps are regex; take_first.* has to be the last step"),
        (read_by(FIRST, REGEX), "the steps are take_first, regex; take_first"),
        (read_by(FIRST, FIRST), "the steps are take_first, take_first"),
        (read_by(), "filter_list is .*give \\[\\{name: NAME"),
        (read_by("take_first"), "filter_list is .*give \\[\\{name: NAME"),
        (read_by(FIRST, name=None), "filter_list is .*give \\[\\{name: NAME"),
        (read_by(FIRST, metric_list=[]), "filter_list is .*give \\[\\{name: NAME"),
    ],
)
def test_a_way_to_read_answers_that_the_harness_would_fail_at_is_refused(definition, said):
    refused(definition, said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"until": None}, "until is None; give the texts that end an answer"),
        ({"until": [5]}, "until is \\[5\\]; give the texts"),
        ({"until": ["x", ""]}, "until is .*an empty text would end every answer at once"),
        ({"until": ""}, "an empty text would end every answer at once"),
        ({"max_gen_toks": "many"}, "max_gen_toks is 'many'; give the tokens"),
        ({"max_gen_toks": -5}, "max_gen_toks is -5; .*from 1 to 131,072"),
        ({"max_gen_toks": 0}, "max_gen_toks is 0"),
        ({"max_gen_toks": 10**9}, "max_gen_toks is 1000000000"),
        ({"max_gen_toks": 8.0}, "max_gen_toks is 8.0"),
        ({"max_gen_toks": True}, "max_gen_toks is True"),
        ({"max_gen_toks": None}, "max_gen_toks is None; .*or leave it out for 256"),
        ({"do_sample": "false"}, "do_sample is 'false'; answers are greedy"),
        (["until"], "generation_kwargs is \\['until'\\]"),
        (0, "generation_kwargs is 0"),
    ],
)
def test_generation_that_no_answer_can_be_written_by_is_refused(given, said):
    refused({**BASE, "generation_kwargs": given}, said)


@pytest.mark.parametrize(
    ("given", "until", "most"),
    [
        (None, ["\n\n"], 256),
        ({}, ["\n\n"], 256),
        ({"until": "."}, ["."], 256),
        ({"until": [], "max_gen_toks": LONGEST}, [], LONGEST),
    ],
)
def test_what_is_left_out_is_the_harness_default(given, until, most):
    options = task_format.generation({**BASE, "generation_kwargs": given})
    assert options == {"until": until, "max_gen_toks": most, "do_sample": False}


def test_the_defaults_are_those_of_the_installed_harness():
    from lm_eval.config.task import TaskConfig
    from lm_eval.models.huggingface import HFLM

    made = TaskConfig(task="t", output_type="generate_until").generation_kwargs
    assert (made["until"], made["do_sample"]) == (list(GENERATION["until"]), False)
    assert HFLM.max_gen_toks.fget(None) == GENERATION["max_gen_toks"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"reasoning": "false"}, "metadata: reasoning is 'false'; give true or false"),
        ({"reasoning": 0}, "metadata: reasoning is 0"),
        ({"reasoning": None}, "metadata: reasoning is None"),
        ({"steps": 3}, "metadata: steps is 3; give the name of a field, or null"),
        ({"steps": ["steps"]}, "metadata: steps is "),
        ({"reasonning": False}, "metadata: 'reasonning' is not used here; it takes reasoning, ste"),
        ({1: "a"}, "metadata: 1 is not used here"),
    ],
)
def test_metadata_of_another_type_is_refused(given, said):
    refused({**BASE, "metadata": given}, said)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ({"aggregation": "maen"}, "metric_list: exact_match: aggregation is 'maen'; give mean"),
        ({"aggregation": "median"}, "aggregation is 'median'; give mean"),
        ({"aggregation": None}, "aggregation is None"),
        ({"higher_is_better": "yes"}, "higher_is_better is 'yes'; give true or false"),
        ({"ignore_case": "false"}, "ignore_case is 'false'; give true or false"),
        ({"regexes_to_ignore": ["("]}, "regexes_to_ignore is .*give a list of regular expr"),
        ({"regexes_to_ignore": "a"}, "regexes_to_ignore is 'a'"),
        ({"hf_evaluate": True}, "'hf_evaluate' is not used here; it takes metric, aggregation"),
    ],
)
def test_a_metric_with_arguments_that_it_does_not_take_is_refused(metric, said):
    refused({**BASE, "metric_list": [{"metric": "exact_match", **metric}]}, said)


def test_a_metric_is_a_mapping_that_names_it():
    refused({**BASE, "metric_list": ["exact_match"]}, "metric_list is .*give \\[\\{metric: exact")


def test_what_is_taken_passes():
    told = {"ignore_case": True, "ignore_punctuation": False, "ignore_numbers": False}
    metric = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, **told}
    steps = [
        {**REGEX, "group_select": -1, "fallback": "none"},
        {"function": "remove_whitespace"},
        {"function": "map", "mapping_dict": {"a": "b"}, "default_value": ""},
        FIRST,
    ]
    task_format.check({**read_by(*steps), "metric_list": [{**metric, "regexes_to_ignore": [","]}]})


def test_the_installed_harness_has_what_is_taken():
    from lm_eval import filters  # noqa: F401 - it registers them
    from lm_eval.api.registry import get_aggregation, get_filter, get_metric_aggregation

    for name, arguments in FILTERS.items():
        assert set(inspect.signature(get_filter(name)).parameters) >= set(arguments)
    for metric, aggregation in {k: v for of in METRICS.values() for k, v in of.items()}.items():
        assert get_metric_aggregation(metric) is get_aggregation(aggregation)
    assert set(METRICS) == set(Form)
