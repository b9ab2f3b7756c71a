"""Sizes from headers are those of the models themselves."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from pipeline.config.models import Model
from pipeline.models.headers import of_local
from pipeline.models.resolve import resolve
from pipeline.models.size import Size, of_record
from pipeline.models.source import BUILTIN_MODELS

NAMES = sorted(path.parent.name for path in BUILTIN_MODELS.glob("*/config.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_local_models_size_is_that_of_the_model_itself(name):
    model = Model(source=f"builtin:{name}")
    assert of_local(model) == of_record(resolve(name, model.model_copy(update={"dtype": "auto"})))
    weights = load_file(BUILTIN_MODELS / name / "model.safetensors")
    assert of_local(model).parameters == sum(array.size for array in weights.values())


def test_weights_in_several_files_are_added(make_model, tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "parts", max_shard_size="8KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    whole, parts = (of_local(Model(source=str(tmp_path / p))) for p in ("whole", "parts"))
    assert (
        whole
        == parts
        == Size(whole.parameters, 2, 24, whole.vocabulary, d_model=16, cache=2 * 2 * 8)
    )


def test_pickled_weights_tell_no_size(make_model, tmp_path):
    make_model().save_pretrained(tmp_path)
    next(tmp_path.glob("*.safetensors")).rename(tmp_path / "pytorch_model.bin")
    assert of_local(Model(source=str(tmp_path))) is None


def test_bytes_follow_the_type():
    size = Size(1000, 2, 20, 50, 8, 16)
    assert [size.bytes(t) for t in ("float32", "bfloat16", "float16")] == [4000, 2000, 2000]


HUB = """
import json
from pipeline.config.models import Model
from pipeline.models.headers import of_hub
size = of_hub(Model(source="someone/model"))
print(json.dumps(vars(size) if size else None))
"""


def test_a_hub_models_size_is_that_of_its_files(hub, python, save_model, tmp_path):
    folder = save_model(tmp_path / "model")
    repositories, environment = hub
    repositories["someone/model"] = folder
    done = python(HUB, **environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == vars(of_local(Model(source=str(folder))))


@pytest.mark.parametrize("content", [None, (403, "GatedRepo"), Path("nowhere")])
def test_a_hub_model_that_cannot_be_seen_is_of_unknown_size(hub, python, content):
    repositories, environment = hub
    if content and not isinstance(content, Path):
        repositories["someone/model"] = content
    offline = {"HF_HUB_OFFLINE": "1"} if isinstance(content, Path) else {}
    done = python(HUB, **{**environment, **offline})
    assert done.stdout.strip() == "null", done.stderr
