"""A folder that cannot be loaded whole is told from its settings and headers, in one sentence."""

import json

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.models.folder import check, computed, ends, tensors, weight_files
from pipeline.models.source import local_folder, settings
from pipeline.reference.vocabulary import save_tokenizer

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 132\n"


@pytest.fixture
def folder(save_model, tmp_path):
    return save_model(tmp_path / "backbone")


@pytest.fixture
def parts(make_model, tmp_path):
    """A folder whose weights lie in several files."""
    make_model().save_pretrained(tmp_path / "parts", max_shard_size="8KB")
    save_tokenizer(tmp_path / "parts")
    return tmp_path / "parts"


def change(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(folder, **options):
    model = Model(source=str(folder), **options)
    with pytest.raises(UserError) as refused:
        check("mine", model, local_folder(model))
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_whole_folders_pass(folder, parts):
    for each in (folder, parts):
        check("mine", Model(source=str(each)), each)


def test_headers_give_types_and_shapes(folder):
    found = tensors(folder / "model.safetensors")
    held = load_file(folder / "model.safetensors")
    assert {name: each.shape for name, each in found.items()} == {
        name: tuple(tensor.shape) for name, tensor in held.items()
    }
    assert {each.dtype for each in found.values()} == {"F32"}
    assert found["lm_head.weight"].elements == 153 * 16


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_told_as_such(folder, file):
    (folder / file).write_text(POINTER)
    message = refusal(folder)
    assert f"a Git LFS pointer stands in the place of {file}" in message
    assert "git lfs pull" in message


def test_pickled_weights_may_be_a_pointer_too(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_text(POINTER)
    assert "Git LFS pointer stands in the place of pytorch_model.bin" in refusal(folder)


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_file_that_is_cut_short_is_refused(folder, cut):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    assert "model.safetensors is not a whole safetensors file" in refusal(folder)


def test_a_file_with_more_behind_its_data_is_refused(folder):
    with open(folder / "model.safetensors", "ab") as stream:
        stream.write(b"more")
    assert "bytes where its header describes" in refusal(folder)


@pytest.mark.parametrize("header", [b"[]", b"{", b'{"a": 1}', b'{"a": {"dtype": "F32"}}'])
def test_a_header_of_another_kind_is_refused(folder, header):
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert "not a whole safetensors file" in refusal(folder)


def test_a_part_that_is_missing_is_named(parts):
    files = weight_files(parts)
    assert len(files) > 2
    files[1].unlink()
    message = refusal(parts)
    assert f"names {len(files)} files, and 1 of them are not there: {files[1].name}" in message


@pytest.mark.parametrize("index", ["{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}'])
def test_an_index_that_names_no_files_is_refused(parts, index):
    (parts / "model.safetensors.index.json").write_text(index)
    assert "has no weight_map" in refusal(parts)


def test_only_files_that_transformers_loads_count_as_weights(folder):
    save_file({"other": torch.zeros(2)}, folder / "consolidated.safetensors")
    assert weight_files(folder) == [folder / "model.safetensors"]
    (folder / "model.safetensors").unlink()
    assert "has no model.safetensors and no pytorch_model.bin" in refusal(folder)


def test_a_folder_without_a_tokenizer_is_refused_unless_its_code_may_have_one(folder):
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer: give it tokenizer.json or tokenizer.model" in refusal(folder)
    check("mine", Model(source=str(folder), trust_remote_code=True), folder)


def test_quantized_models_are_refused_by_their_method(folder):
    change(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    assert "is quantized (quantization_config in config.json: gptq)" in refusal(folder)


def test_packed_weights_are_refused_by_name_and_old_buffers_are_not(folder):
    path = folder / "model.safetensors"
    held = load_file(path)
    name = "model.layers.0.mlp.up_proj.weight"
    mask = {"model.layers.0.attn.bias": torch.ones(1, 1, 4, 4, dtype=torch.uint8)}
    save_file(held | mask, path)
    check("mine", Model(source=str(folder)), folder)
    save_file(held | {name: torch.zeros(24, 16, dtype=torch.int8)}, path)
    assert f"1 of its 21 tensors hold quantized or packed weights ({name}: I8)" in refusal(folder)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("alone", [True, False])
def test_adapters_are_refused_by_name(folder, file, alone):
    (folder / file).write_text("{}")
    if alone:
        (folder / "config.json").unlink()
    message = refusal(folder)
    assert f"holds an adapter ({file})" in message and "merge_and_unload" in message


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (["LlavaForConditionalGeneration"], "'LlavaForConditionalGeneration' has no FFN view"),
        ("LlamaForCausalLM", "'none named' has no FFN view"),
        ([], "'none named' has no FFN view"),
        (None, "'none named' has no FFN view"),
    ],
)
def test_an_architecture_without_a_view_is_refused(folder, named, said):
    change(folder, architectures=named, text_config={"hidden_size": 16})
    assert said in refusal(folder)


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "vocab_size"])
@pytest.mark.parametrize("value", ["16", 16.5, 0, -1, True, [16], 10**60])
def test_a_size_that_is_none_is_refused_with_its_key(folder, key, value):
    change(folder, **{key: value})
    message = refusal(folder)
    assert f"config.json has {key}: " in message and "give a whole number from 1 to" in message
    assert len(message) < 200


@pytest.mark.parametrize(
    "text",
    ['{"vocab_size": ' + "9" * 5000 + "}", "[" * 100_000, "\xff"],
    ids=["digits", "nested", "bytes"],
)
def test_a_config_that_python_cannot_read_is_refused(folder, text):
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"config\.json cannot be read as JSON \("):
        settings(folder)


def test_a_home_folder_that_nobody_has_is_refused():
    with pytest.raises(ValidationError, match="'~nosuchuser/x': ~ stands for no home here"):
        Model(source="~nosuchuser/x")


def test_code_of_the_models_own_is_told_before_anything_else(folder):
    change(folder, auto_map={"AutoModelForCausalLM": "code.Net"}, architectures=["Net"])
    assert "models.mine.trust_remote_code: true" in refusal(folder)
    assert "'Net' has no FFN view" in refusal(folder, trust_remote_code=True)


def test_what_models_compute_by_themselves_is_told_from_weights():
    old = [
        "h.0.attn.bias",
        "transformer.h.11.attn.masked_bias",
        "gpt_neox.layers.0.attention.bias",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "embeddings.position_ids",
    ]
    needed = [
        "model.layers.0.self_attn.q_proj.bias",
        "gpt_neox.layers.0.attention.dense.bias",
        "h.0.attn.c_attn.bias",
    ]
    assert all(map(computed, old)) and not any(map(computed, needed))


def test_ends_are_those_of_the_generation_settings_before_those_of_the_model(folder):
    assert ends(folder) == [2]
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 0]}')
    assert ends(folder) == [2, 0]
    (folder / "generation_config.json").unlink()
    change(folder, eos_token_id=1)
    assert ends(folder) == [1]
    change(folder, eos_token_id=None)
    assert ends(folder) == []
