"""Loading what was resolved, and nothing else."""

import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.models import loading
from pipeline.models.loading import load, load_tokenizer, own_tokenizer
from pipeline.models.resolve import resolve

TOKENS = torch.tensor([[1, 5, 9, 20]])


@pytest.fixture
def folder(save_model, tmp_path):
    return save_model(tmp_path / "backbone")


def logits(model):
    with torch.inference_mode():
        return model(TOKENS).logits


def pickled(folder):
    """The same folder with its weights as a pickle."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_a_model_loads_with_its_weights_in_evaluation_mode(folder, make_model):
    model = Model(source=str(folder))
    loaded, tokenizer = load(model, resolve("mine", model))
    assert not loaded.training and loaded.dtype == torch.float32
    assert torch.equal(logits(loaded), logits(make_model()))
    assert tokenizer("let a = 3").input_ids == [
        1,
        *tokenizer.convert_tokens_to_ids(["let", "a", "=", "3"]),
    ]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_loaded_in_the_configured_type(folder, dtype):
    model = Model(source=str(folder), dtype=dtype)
    loaded, _ = load(model, resolve("mine", model))
    assert {p.dtype for p in loaded.parameters()} == {getattr(torch, dtype)}


def test_pickled_weights_load_as_the_safetensors_do(folder):
    model = Model(source=str(folder))
    before = logits(load(model, resolve("mine", model))[0])
    pickled(folder)
    assert torch.equal(logits(load(model, resolve("mine", model))[0]), before)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(folder, tmp_path):
    pickled(folder)
    torch.save({"lm_head.weight": Bomb(tmp_path / "ran")}, folder / "pytorch_model.bin")
    model = Model(source=str(folder))
    with pytest.raises((pickle.UnpicklingError, UserError, OSError, ValueError)):
        load(model, resolve("mine", model))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_files_that_changed_after_they_were_resolved_are_refused(folder, file):
    model = Model(source=str(folder))
    record = resolve("mine", model)
    path = folder / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"'mine': its files changed since model\.json was made"):
        load(model, record)


def test_other_weights_of_the_same_shape_are_refused(folder, save_model, tmp_path):
    model = Model(source=str(folder))
    record = resolve("mine", model)
    other = save_model(tmp_path / "other", seed=1)
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="files changed"):
        load(model, record)


def test_weights_that_lack_a_tensor_by_now_are_never_filled_up(folder, monkeypatch):
    model = Model(source=str(folder))
    record = resolve("mine", model)
    # Above this size the digest is not looked at again.
    monkeypatch.setattr(loading, "LARGE_FILE", 10)
    path = folder / "model.safetensors"
    held = load_file(path)
    del held["model.norm.weight"]
    save_file(held, path)
    with pytest.raises(UserError, match=r"'mine': the weight files .* 1 missing \(model\.norm"):
        load(model, record)


def test_a_tokenizer_that_ends_texts_is_loaded_to_leave_them_open(folder):
    import json

    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    end = {"SpecialToken": {"id": "<eos>", "type_id": 0}}
    values["post_processor"]["single"].append(end)
    values["post_processor"]["special_tokens"]["<eos>"] = {
        "id": "<eos>", "ids": [2], "tokens": ["<eos>"],
    }  # fmt: skip
    path.write_text(json.dumps(values))
    model = Model(source=str(folder))
    record = resolve("mine", model)
    own, ready = own_tokenizer(model, record), load_tokenizer(model, record)
    assert own("a b").input_ids == [*ready("a b").input_ids, 2]
    assert ready("a b").input_ids[0] == 1


def test_large_weights_are_not_read_twice(folder, monkeypatch):
    monkeypatch.setattr(loading, "LARGE_FILE", 10)
    model = Model(source=str(folder))
    record = {**resolve("mine", model), "weights_digest": "of other weights"}
    assert load(model, record)
    with pytest.raises(UserError, match="files changed"):
        load(model, {**record, "config_digest": "of another config"})


def test_a_tokenizer_without_padding_pads_with_its_end_token(folder):
    import json

    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text())
    del values["pad_token"]
    path.write_text(json.dumps(values))
    model = Model(source=str(folder))
    tokenizer = load_tokenizer(model, resolve("mine", model))
    assert tokenizer.pad_token == "<eos>"


def test_a_gpu_that_is_not_there_is_told_in_one_message(folder, monkeypatch):
    model = Model(source=str(folder))
    record = resolve("mine", model)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"'mine': device 'cuda:0', and torch .* finds no GPU here"):
        load(model.model_copy(update={"device": "cuda:0"}), record)


def test_a_model_in_parts_is_for_profiling_alone_and_needs_safetensors(folder):
    model = Model(source=str(folder), max_memory={"cpu": "1KB"})
    record = resolve("mine", model)
    with pytest.raises(
        UserError, match="can be profiled .*; methods, evaluation and the policy perplexity need"
    ):
        load(model, record)
    loaded, _ = load(model, record, whole=False)
    assert torch.equal(logits(loaded), logits(load(Model(source=str(folder)), record)[0]))
    with pytest.raises(UserError, match="convert the model"):
        load(model, resolve("mine", Model(source=str(pickled(folder)))), whole=False)
