"""From a job's names to a script's typed arguments, and to the manifest of its artifacts."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.classification import Classification
from pipeline.config.models import Model
from pipeline.store import digest
from pipeline.store.arguments import PLACES, arguments, manifest
from pipeline.store.artifacts import Manifest
from tests.jobs import Job


def test_values_are_cast_as_annotated():
    def main(
        *, one: Path, many: list[Path], single: list[Path], config: Classification, share: float,
        seed: int, flag: bool, off: bool, nothing: str, names: list[str], facts: dict, value: Any,
        threads: int, out: Path,
    ) -> None:  # fmt: skip
        """A script."""

    job = Job(
        inputs={"one": "a.txt", "many": ["b", "c"], "single": "d"},
        outputs={"out": "e"},
        params={
            "config": {"policy": "coverage", "share": 0.8},
            "share": "0.5",
            "flag": True,
            "off": False,
            "nothing": None,
            "names": ["x", "y"],
            "facts": {"k": 1},
            "value": "cold",
        },
        wildcards={"seed": "7"},
    )
    assert arguments(main, job) == {
        "one": Path("a.txt"),
        "many": [Path("b"), Path("c")],
        "single": [Path("d")],
        "config": Classification(policy="coverage", share=0.8),
        "share": 0.5,
        "seed": 7,
        "flag": True,
        "off": False,
        "nothing": None,
        "names": ["x", "y"],
        "facts": {"k": 1},
        "value": "cold",
        "threads": 1,
        "out": Path("e"),
    }


def test_inputs_come_before_outputs_params_and_wildcards():
    def main(*, name: str) -> None:
        """A script."""

    layers = {"wildcards": "w", "params": "p", "outputs": "o", "inputs": "i"}
    given = {}
    for kind, value in layers.items():
        given[kind] = {"name": value}
        assert arguments(main, Job(**given)) == {"name": value}


def test_a_name_the_rule_lacks_is_told_with_those_it_has():
    def main(*, missing: Path) -> None:
        """A script."""

    with pytest.raises(TypeError, match=r"rule fit names no 'missing'; it has \['a', 'threads'\]"):
        arguments(main, Job(inputs={"a": "x"}))


@pytest.mark.parametrize(("hint", "value"), [(int, "three"), (float, "x"), (int, [1]), (Path, 3)])
def test_a_value_that_does_not_fit_is_told_by_name(hint, value):
    def main(*, given) -> None:
        """A script."""

    main.__annotations__["given"] = hint
    with pytest.raises(TypeError, match=r"^given: .* is no "):
        arguments(main, Job(params={"given": value}))


@pytest.mark.parametrize("text", ["False", "false", "0", "no"])
def test_a_text_never_becomes_true_by_being_text(text):
    def main(*, flag: bool) -> None:
        """A script."""

    try:
        assert arguments(main, Job(wildcards={"flag": text}))["flag"] is False
    except TypeError as error:
        assert "flag" in str(error)


def test_the_manifest_holds_digests_of_inputs_and_the_configuration(tmp_path):
    for name in "abcd":
        (tmp_path / name).write_text(name)
    job = Job(
        inputs={
            "record": str(tmp_path / "a"),
            "many": [str(tmp_path / "b"), str(tmp_path / "c")],
            "block_shards": [str(tmp_path / "d")],
        },
        params={
            "source": {"digest": "s" * 32, "libraries": {"numpy": "2.0"}},
            "seed": 4,
            "folders": [1],
            "levels": (0.1, 0.2),
            "model": Model(source="builtin:x", dtype="bfloat16").model_dump(),
        },
    )
    made = manifest(job)
    assert (made.rule, made.source, made.seed) == ("fit", "s" * 32, 4)
    assert made.versions == {"numpy": "2.0"}
    assert (made.device, made.dtype) == ("cpu", "bfloat16")
    assert made.inputs == {
        "record": digest.of_bytes(b"a"),
        "many.0": digest.of_bytes(b"b"),
        "many.1": digest.of_bytes(b"c"),
    }
    assert sorted(made.config) == ["levels", "model"] and made.config["levels"] == [0.1, 0.2]
    assert str(tmp_path) not in made.text("plan", 1)
    json.loads(made.text("plan", 1))


def test_a_local_place_is_found_by_its_name_and_enters_no_manifest(tmp_path):
    def main(*, model: Model, tasks: list[str], manifest: Manifest) -> None:
        """A script."""

    named = {**Model(source="./mine").model_dump(), "source": "local:models.mine"}
    source = {"digest": "s", "libraries": {}}
    params = {"source": source, "model": named, "tasks": ["chain", "local:task.own"]}
    job = Job(params=params)
    job.config = {PLACES: {"local:models.mine": str(tmp_path), "local:task.own": "/a/own.yaml"}}
    values = arguments(main, job)
    assert values["model"].source == str(tmp_path)
    assert values["tasks"] == ["chain", "/a/own.yaml"]
    text = values["manifest"].text("plan", 1)
    assert "local:models.mine" in text and "local:task.own" in text
    assert str(tmp_path) not in text and "/a/own" not in text


def test_a_script_that_asks_for_a_manifest_gets_it():
    def main(*, manifest: Manifest) -> None:
        """A script."""

    source = {"digest": "s", "libraries": {}}
    assert arguments(main, Job(params={"source": source}), "mine")["manifest"].source == "s"
