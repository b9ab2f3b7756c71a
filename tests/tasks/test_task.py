"""Task files: their items, their texts, and what makes them another task."""

import json

import pytest
import yaml

from pipeline.errors import UserError
from pipeline.tasks import task as tasks

DEFINITION = {
    "task": "sums",
    "dataset_kwargs": {"data_files": {"test": "sums.jsonl", "train": "more.jsonl"}},
    "test_split": "test",
    "output_type": "generate_until",
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "doc_to_text": "Q: {{question}} A:",
    "doc_to_target": "answer",
    "metadata": {"reasoning": False, "steps": "hops"},
}
ITEMS = [{"question": "1 + 1", "answer": "2", "hops": 1}, {"question": "2 + 2", "answer": "4"}]


@pytest.fixture
def write_task(tmp_path):
    def write(items=ITEMS, **changes):
        lines = "\n".join(json.dumps(item) for item in items)
        (tmp_path / "sums.jsonl").write_text(lines + "\n\n" if items else "")
        (tmp_path / "more.jsonl").write_text(json.dumps(ITEMS[0]) + "\n")
        definition = {k: v for k, v in {**DEFINITION, **changes}.items() if v is not None}
        (tmp_path / "sums.yaml").write_text(yaml.safe_dump(definition))
        return tasks.find(str(tmp_path / "sums.yaml"))

    return write


def test_items_texts_and_facts_of_a_task_file(write_task):
    task = write_task()
    assert (task.name, task.reasoning) == ("sums", False)
    assert task.items() == ITEMS
    assert task.items("train") == ITEMS[:1]
    assert [task.steps(item) for item in ITEMS] == [1, 0]
    assert task.text(ITEMS[0]) == "Q: 1 + 1 A:"
    assert task.text(ITEMS[0], "doc_to_target") == "2"


def test_items_may_hold_every_character_that_json_allows(write_task, tmp_path):
    task = write_task()
    item = {"question": "one\u2028two\x85three", "answer": "2"}
    (tmp_path / "sums.jsonl").write_text(json.dumps(item, ensure_ascii=False), encoding="utf-8")
    assert task.items() == [item]


@pytest.mark.parametrize("line", ["{", "[1]", "plain words"])
def test_an_item_that_is_no_json_object_is_told_by_file_and_line(write_task, tmp_path, line):
    task = write_task()
    (tmp_path / "sums.jsonl").write_text(f"{json.dumps(ITEMS[0])}\n{line}\n")
    with pytest.raises(UserError, match=r"sums\.jsonl, line 2: .*give one object a line"):
        task.items()


def test_targets_hold_what_chance_is_computed_from(write_task):
    assert write_task().targets() == [
        {"task": "sums", "steps": 1, "target": "2"},
        {"task": "sums", "steps": 0, "target": "4"},
    ]


@pytest.mark.parametrize("metadata", [None, {"steps": None}, {"version": 1.0}])
def test_a_task_needs_reasoning_and_counts_only_the_field_that_it_names(write_task, metadata):
    items = [{**item, "steps": ["add", "carry"]} for item in ITEMS]
    task = write_task(items=items, metadata=metadata)
    task.check()
    assert task.reasoning is True
    assert [task.steps(item) for item in items] == [0, 0]


def test_no_items_is_refused_by_name(write_task):
    with pytest.raises(UserError, match=r"task sums: sums\.jsonl has no items"):
        write_task(items=[]).items()


def test_a_split_that_is_not_there_is_refused_with_those_that_are(write_task):
    with pytest.raises(UserError, match="task sums has no dev split; it has: test, train"):
        write_task().items("dev")


def test_a_missing_item_file_is_refused_by_name(write_task, tmp_path):
    task = write_task()
    (tmp_path / "sums.jsonl").unlink()
    with pytest.raises(UserError, match=r"item file sums\.jsonl is not beside sums\.yaml"):
        task.items()


@pytest.mark.parametrize("text", ["", "[1, 2]", "task: x\n", "dataset_kwargs: {}\n"])
def test_a_file_that_is_no_task_is_refused(tmp_path, text):
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(UserError, match="not a task file; it needs `task`"):
        _ = tasks.find(str(tmp_path / "file.yaml")).definition


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task: x\nprocess_docs: !function utils.process\n", "2: .*'!function'.*plain YAML"),
        ("task: [1\n", "2 is not YAML"),
        ("task: x\ndate: 2020-13-45\n", "2 is not YAML: month must be"),
    ],
)
def test_a_file_that_is_no_plain_yaml_is_refused(tmp_path, text, said):
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"file\.yaml, line {said}"):
        tasks.find(str(tmp_path / "file.yaml")).check()


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "file.yaml").write_bytes(b"task: \xff\n")
    with pytest.raises(UserError, match=r"file\.yaml, line 1 is not YAML"):
        tasks.find(str(tmp_path / "file.yaml")).check()


@pytest.mark.parametrize(
    "given",
    [
        "null",
        "[]",
        "{data_files: null}",
        "{data_files: sums.jsonl}",
        "{data_files: {test: [a]}}",
        "{data_files: {1: sums.jsonl}}",
    ],
)
def test_item_files_are_one_a_split(write_task, given):
    task = write_task(dataset_kwargs=None)
    task.path.write_text(f"{task.path.read_text()}dataset_kwargs: {given}\n")
    for use in (task.check, task.items, task.identity):
        with pytest.raises(UserError, match=r"sums\.yaml: dataset_kwargs is .*test: FILE\.jsonl"):
            use()


def test_a_whole_task_passes_its_check(write_task):
    write_task().check()
    write_task(metadata=None, filter_list=[]).check()
    write_task(generation_kwargs={"until": ["."], "do_sample": False, "max_gen_toks": 8}).check()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output_type": "loglikelihood"}, "output_type is 'loglikelihood'.*generate_until"),
        ({"output_type": "multiple_choice"}, "metric_list is .*multiple_choice is scored by acc"),
        ({"test_split": None}, "test_split is None.*give test"),
        ({"test_split": "dev"}, "test_split is 'dev'"),
        ({"output_type": None}, "output_type is None"),
        ({"output_type": ["multiple_choice"]}, "output_type is .*give generate_until"),
        ({"metric_list": [{"metric": ["exact_match"]}]}, "metric_list is "),
        ({"metric_list": [{"metric": "acc"}]}, "metric_list is .*'acc'.*exact_match"),
        ({"metric_list": [{"metric": "exact_match"}] * 2}, "metric_list is "),
        ({"metric_list": None}, "metric_list is None"),
        ({"metric_list": 3}, "metric_list is 3"),
        ({"filter_list": [{"name": "a"}, {"name": "b"}]}, "filter_list is .*one way"),
        ({"filter_list": "first"}, "filter_list is 'first'"),
        ({"filter_list": ["first"]}, "filter_list is "),
        (
            {"generation_kwargs": {"do_sample": True}},
            "generation_kwargs: do_sample is True.*greedy",
        ),
        ({"generation_kwargs": {"num_beams": 4}}, "generation_kwargs is .*num_beams.*max_gen_toks"),
        ({"generation_kwargs": ["until"]}, "generation_kwargs is "),
        ({"doc_to_text": None}, "doc_to_text is None; give a template"),
        ({"doc_to_target": 3}, "doc_to_target is 3; give a template"),
        ({"doc_to_text": "{{question"}, "doc_to_text: '{{question' is not a template: "),
    ],
)
def test_a_task_of_another_form_is_refused_by_file_and_key(write_task, changes, said):
    with pytest.raises(UserError, match=rf"^task sums: sums\.yaml: {said}"):
        write_task(**changes).check()


def test_metadata_is_a_mapping(write_task):
    with pytest.raises(UserError, match=r"sums\.yaml: metadata is \[1\]; give \{reasoning: true"):
        write_task(metadata=[1]).check()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"question": ...}, "doc_to_text: 'question' is undefined; the item has: answer"),
        ({"answer": ...}, "doc_to_target: no field 'answer'; the item has: question"),
        ({"hops": "many"}, "hops, the number of steps, is 'many'; give a whole number"),
        ({"hops": None}, "hops, the number of steps, is None"),
        ({"hops": 2.7}, "hops, the number of steps, is 2.7; give a whole number"),
        ({"hops": True}, "hops, the number of steps, is True"),
        ({"hops": -1}, "hops, the number of steps, is -1"),
        ({"hops": 2**31}, "hops, the number of steps, is 2147483648"),
        ({"hops": ["add"]}, "hops, the number of steps, is .*metadata.steps null"),
        ({"answer": None}, "doc_to_target: the value is null; give a text or a number"),
        ({"answer": ["4"]}, r"doc_to_target: the value is \['4'\]; give a text or a number"),
        ({"answer": {"value": 4}}, "doc_to_target: the value is {'value': 4}; give a text"),
        ({"question": None}, "doc_to_text: the value is null; give a text or a number"),
        ({"question": [1]}, r"doc_to_text: the value is \[1\]; give a text or a number"),
        ({"question": "\ud83d"}, r"a text holds '\\ud83d', which is not a character"),
    ],
)
def test_an_item_that_does_not_fit_is_told_by_file_and_line(write_task, changes, said):
    item = {name: value for name, value in {**ITEMS[1], **changes}.items() if value is not ...}
    with pytest.raises(UserError, match=rf"^task sums: sums\.jsonl, line 2: {said}"):
        write_task(items=[ITEMS[0], item]).check()


def test_a_check_reads_the_items(write_task, tmp_path):
    with pytest.raises(UserError, match=r"sums\.jsonl has no items"):
        write_task(items=[]).check()
    task = write_task()
    (tmp_path / "sums.jsonl").unlink()
    with pytest.raises(UserError, match=r"item file sums\.jsonl is not beside sums\.yaml"):
        task.check()


def test_a_text_keeps_its_last_line_end_as_the_harness_does(write_task):
    assert write_task(doc_to_text="Q: {{question}}\n").text(ITEMS[0]) == "Q: 1 + 1\n"


def test_an_unknown_task_gets_the_nearest_name_and_the_list():
    with pytest.raises(UserError, match="unknown task 'chian'. Did you mean 'chain'. Known: addi"):
        tasks.find("chian")


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere.yaml"):
        tasks.find(str(tmp_path / "nowhere.yaml"))


def test_identity_follows_the_definition_and_the_items(write_task):
    same = write_task().identity()
    assert write_task().identity() == same
    assert write_task(items=ITEMS[:1]).identity() != same
    assert write_task(doc_to_text="{{question}}").identity() != same


@pytest.mark.parametrize("name", sorted(p.stem for p in tasks.BUILTIN_TASKS.glob("*.yaml")))
def test_every_shipped_task_holds_500_different_items_with_a_target(name):
    task = tasks.find(name)
    task.check()
    items = task.items()
    assert task.name == name
    assert len({task.question(item) for item in items}) == len(items) == 500
    assert all(task.text(item, "doc_to_target") for item in items)
    assert all(task.steps(item) > 0 for item in items) is task.reasoning


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_fewshot": 5}, "num_fewshot: not used here"),
        ({"include": "other.yaml"}, "include: not used here"),
        ({"description": "Think."}, "description: not used here"),
        (
            {
                "filter_list": [
                    {"name": "n", "filter": [{"function": "regex", "regex_pattern": "("}]}
                ]
            },
            "filter_list: regex: regex_pattern is '\\('; give a regular expression",
        ),
        ({"metadata": {"steps": "hop"}}, "metadata.steps is 'hop', and no item"),
    ],
    ids=["few shots", "include", "description", "regex", "steps"],
)
def test_what_would_change_the_answers_unseen_is_refused(write_task, changes, words):
    with pytest.raises(UserError, match=words):
        write_task(**changes).check()


def test_no_shots_are_what_there_is(write_task):
    write_task(num_fewshot=0).check()


def test_a_task_file_that_is_not_there_is_no_unknown_name():
    with pytest.raises(UserError, match=r"task file /nowhere/own\.yaml does not exist"):
        tasks.find("/nowhere/own.yaml")


CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_choice": "choices",
    "doc_to_target": "right",
    "metric_list": [{"metric": "acc"}],
}
TEXT = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{text}}",
    "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
}


def of_form(write_task, form, items, **changes):
    """A task of a form that counts no steps."""
    return write_task(items=items, **{"metadata": {"reasoning": False}, **form, **changes})


@pytest.mark.parametrize(
    ("right", "choices", "place"),
    [(1, ["a", "b"], 1), ("1", ["a", "b"], 1), ("b", ["a", "b"], 1), ("2", ["2", "1", "3"], 0),
     (2, ["4", "1", "3"], 2), (0, [7, 8], 0)],
)  # fmt: skip
def test_the_right_choice_is_named_by_its_text_or_its_place(write_task, right, choices, place):
    item = {"question": "x", "choices": choices, "right": right}
    task = of_form(write_task, CHOICE, [item])
    task.check()
    assert task.choices(item) == ([str(choice) for choice in choices], place)
    assert task.targets()[0]["target"] == str(place)


PAIRS = [{"question": "x", "choices": ["3", "0", "1"], "right": 1},
         {"question": "y", "choices": ["1", "2", "0"], "right": 2}]  # fmt: skip


def test_numbers_that_look_like_the_choices_texts_are_refused(write_task):
    """Read as places, as the harness reads them, they mean other choices."""
    for target in ("right", "{{right}}"):
        task = of_form(write_task, CHOICE, PAIRS, doc_to_target=target)
        with pytest.raises(UserError, match="line 1: doc_to_target '1' is a number.*means '0'"):
            task.check()
    quoted = [{**item, "right": str(item["right"])} for item in PAIRS]
    task = of_form(write_task, CHOICE, quoted)
    task.check()
    assert [task.choices(item)[1] for item in quoted] == [2, 1]


def test_places_that_stand_among_the_choices_now_and_then_are_places(write_task):
    items = [*PAIRS, {"question": "z", "choices": ["7", "8", "9"], "right": 0}]
    of_form(write_task, CHOICE, items).check()


@pytest.mark.parametrize(
    ("template", "choices", "place"),
    [("{{right}}", ["3", "2", "5"], 1), ("{{['a', 'b'].index('a')}}", ["2", "38", "5"], 0),
     ("{{choices[1]}}", ["a", "b"], 1)],
)  # fmt: skip
def test_a_number_from_a_template_is_a_place_as_in_the_harness(
    write_task, template, choices, place
):
    item = {"question": "x", "choices": choices, "right": 1}
    task = of_form(write_task, CHOICE, [item], doc_to_target=template)
    task.check()
    assert task.choices(item) == (choices, place)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"choices": ["a", ""], "right": 0}, "the choices are .*give none that is empty"),
        ({"choices": ["a", None], "right": 0}, "doc_to_choice: the value is null; give a text"),
        ({"choices": ["a", ["b"]], "right": 0}, "doc_to_choice: the value is .'b'.; give a text"),
        ({"choices": ["a", "b"], "right": 0, "question": " "}, "doc_to_text gives no prompt"),
        ({"choices": ["a", "b"], "right": 2}, "doc_to_target is '2'; give one of the choices"),
        ({"choices": ["a", "b"], "right": "c"}, "doc_to_target is 'c'"),
        ({"choices": ["a"], "right": 0}, "doc_to_choice is 'choices'; give a list of two or more"),
        ({"right": 0}, "doc_to_choice is 'choices'.*the item has: question, right"),
    ],
)
def test_choices_that_do_not_fit_are_refused_by_line(write_task, item, said):
    task = of_form(write_task, CHOICE, [{"question": "x", **item}], doc_to_text="question")
    with pytest.raises(UserError, match=rf"line 1: {said}"):
        task.check()


def test_equal_choices_are_taken_as_the_harness_takes_them_and_noted(write_task):
    items = [
        {"question": "x", "choices": ["a", "b"], "right": "b"},
        {"question": "y", "choices": ["a", "b", "b"], "right": "b"},
    ]
    task = of_form(write_task, CHOICE, items)
    task.check()
    assert [task.choices(item)[1] for item in items] == [1, 1]
    assert task.notes() == [
        "task sums: sums.jsonl: items with equal choices: 1, the first in line 2; of equal choices "
        "the first is chosen, as by lm-evaluation-harness"
    ]
    assert not of_form(write_task, CHOICE, items[:1]).notes() and not write_task().notes()


def test_a_text_has_no_answer_and_no_prompt(write_task):
    task = of_form(write_task, TEXT, [{"text": "the king ."}])
    task.check()
    assert task.targets() == [] and task.question(task.items()[0]) == "the king ."
    assert not write_task(items=[{"text": "a"}], metadata=None, **TEXT).reasoning
    with pytest.raises(UserError, match="doc_to_text is 'text'; a text has no prompt"):
        of_form(write_task, TEXT, [{"text": "a"}], doc_to_text="text").check()
    with pytest.raises(UserError, match="line 1: doc_to_target gives no text"):
        of_form(write_task, TEXT, [{"text": " "}]).check()


@pytest.mark.parametrize(
    ("form", "changes", "said"),
    [
        (CHOICE, {"metric_list": [{"metric": "acc_norm"}]}, "scored by acc"),
        (TEXT, {"metric_list": [{"metric": "acc"}]}, "scored by word_perplexity or"),
        (TEXT, {"metric_list": []}, "scored by word_perplexity or"),
        (TEXT, {"doc_to_choice": "text"}, "doc_to_choice: not used here"),
    ],
)
def test_a_form_has_its_own_keys_and_metrics(write_task, form, changes, said):
    items = [{"question": "x", "choices": ["a", "b"], "right": 0, "text": "x"}]
    with pytest.raises(UserError, match=said):
        of_form(write_task, form, items, **changes).check()


def test_generation_options_are_of_no_use_where_nothing_is_written(write_task):
    options = {"generation_kwargs": {"until": ["."]}, "filter_list": []}
    with pytest.raises(UserError, match="filter_list, generation_kwargs: not used here"):
        of_form(write_task, TEXT, [{"text": "x"}], **options).check()


def test_items_that_belong_together_are_told_by_a_template(write_task):
    alone = write_task()
    assert len({alone.cluster(item) for item in ITEMS}) == len(ITEMS)
    assert alone.cluster(ITEMS[0]) == alone.cluster(dict(ITEMS[0]))
    metadata = {"reasoning": False, "steps": "steps", "cluster": "{{question[:1]}}"}
    task = write_task(metadata=metadata)
    assert {task.cluster(item) for item in ITEMS} == {item["question"][:1] for item in ITEMS}
    with pytest.raises(UserError, match=r"metadata\.cluster: .*'nope' is undefined"):
        write_task(metadata={**metadata, "cluster": "{{nope}}"}).check()


def test_texts_take_no_cluster(write_task):
    task = of_form(write_task, TEXT, [{"text": "x"}], metadata={"cluster": "{{text[:1]}}"})
    with pytest.raises(UserError, match=r"metadata\.cluster: texts are taken each by itself"):
        task.check()


def test_recited_verses_are_clusters():
    task = tasks.find("reciting")
    assert {task.cluster(item) for item in task.items()} <= set("abcdefghijklmnopqrstuvwxyz")
