"""Resolving a local model into its record, and refusing what cannot be used."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.models import source
from pipeline.models.folder import refuse_unfit
from pipeline.models.resolve import resolve
from pipeline.registry import ARCHITECTURES
from pipeline.tables.model import MODEL

PICKLE = "pytorch_model.bin"


@pytest.fixture
def folder(save_model, tmp_path):
    return save_model(tmp_path / "backbone")


def settings(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_record_of_a_small_model(folder):
    body = resolve("mine", Model(source=str(folder), dtype="bfloat16"))
    assert set(body) == set(MODEL.keys)
    # Embedding and head 153 x 16 each; a block has 4 x 256 + 3 x 384 weights and two norms of 16.
    assert body["parameters"] == 2 * 153 * 16 + 2 * (4 * 256 + 3 * 384 + 32) + 16
    facts = {
        "name": "mine",
        "kind": "path",
        "source": "",
        "commit": None,
        "architecture": "LlamaForCausalLM",
        "layers": 2,
        "d_model": 16,
        "d_ff": 24,
        "gated": True,
        "activation": "relu",
        "exact_zeros": True,
        "ffn_weights": 2304,
        "linear_weights": 4352,
        "vocabulary": 153,
        "positions": 256,
        "dtype": "bfloat16",
    }
    assert {key: body[key] for key in facts} == facts
    assert str(folder) not in json.dumps(body)


def test_an_activation_without_exact_zeros_is_recorded_as_such(save_model, tmp_path):
    folder = save_model(tmp_path / "silu", hidden_act="silu")
    body = resolve("mine", Model(source=str(folder)))
    assert (body["activation"], body["exact_zeros"]) == ("silu", False)


def test_the_same_files_elsewhere_give_the_same_record(save_model, tmp_path):
    bodies = [
        resolve("mine", Model(source=str(save_model(tmp_path / place)))) for place in ("a", "b")
    ]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("file", "digest"),
    [
        ("model.safetensors", "weights_digest"),
        ("config.json", "config_digest"),
        ("tokenizer.json", "tokenizer_digest"),
    ],
)
def test_each_digest_follows_its_own_files(folder, file, digest):
    before = resolve("mine", Model(source=str(folder)))
    data = (folder / file).read_bytes()
    # The last byte of the weights is a digit of a number; JSON takes white space at its end.
    other = data[:-1] + b"\0" if file == "model.safetensors" else data + b"\n"
    (folder / file).write_bytes(other)
    after = resolve("mine", Model(source=str(folder)))
    assert {key for key in before if before[key] != after[key]} == {digest}


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"has no config\.json; give the folder that save_pretrained"
    ):
        resolve("mine", Model(source=str(tmp_path)))


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_config_that_is_no_json_mapping_is_refused_by_name(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        resolve("mine", Model(source=str(folder)))


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model\.safetensors and no pytorch_model\.bin"):
        resolve("mine", Model(source=str(folder)))


@pytest.mark.parametrize("named", [["MambaForCausalLM"], [], None])
def test_an_unsupported_architecture_is_refused(folder, named):
    settings(folder, architectures=named)
    with pytest.raises(UserError, match=r"has no FFN view: .*Supported: .*LlamaForCausalLM"):
        resolve("mine", Model(source=str(folder)))


def test_code_of_the_models_own_is_refused_unless_allowed(folder):
    settings(folder, auto_map={"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Net"})
    (folder / "code.py").write_text("raise SystemExit('this code ran')\n")
    with pytest.raises(UserError) as refused:
        resolve("mine", Model(source=str(folder)))
    message = str(refused.value)
    assert "brings its own code (AutoConfig, AutoModelForCausalLM)" in message
    assert "models.mine.trust_remote_code: true" in message


def rewrite(folder, change):
    """Write the folder's weights again as `change` makes them."""
    path = folder / "model.safetensors"
    held = change(load_file(path))
    save_file({name: tensor.contiguous() for name, tensor in held.items()}, path)


def refusal(folder):
    with pytest.raises(UserError) as refused:
        resolve("mine", Model(source=str(folder)))
    message = str(refused.value)
    assert "'mine'" in message and "\n" not in message
    return message


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "base_model.model."])
def test_names_that_a_wrapper_left_are_refused(folder, prefix):
    rewrite(folder, lambda held: {prefix + name: tensor for name, tensor in held.items()})
    message = refusal(folder)
    assert "21 missing (lm_head.weight, " in message
    assert f"21 not the model's ({prefix}lm_head.weight, " in message


def test_a_tensor_that_is_missing_is_refused_by_name(folder):
    name = "model.layers.1.mlp.up_proj.weight"
    rewrite(folder, lambda held: {key: held[key] for key in held if key != name})
    assert f"tensors: 1 missing ({name}). " in refusal(folder)


def test_a_tensor_of_another_shape_is_refused_by_name(folder):
    name = "model.layers.1.mlp.up_proj.weight"
    rewrite(folder, lambda held: held | {name: held[name][:20]})
    assert f"tensors: 1 of another shape ({name}). " in refusal(folder)


def test_more_layers_than_the_configuration_has_are_refused(folder):
    settings(folder, num_hidden_layers=1)
    message = refusal(folder)
    assert "tensors: 9 not the model's (model.layers.1." in message


def test_pickled_weights_must_fit_too(folder):
    held = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({f"module.{name}": tensor for name, tensor in held.items()}, folder / PICKLE)
    assert "21 missing" in refusal(folder)
    name = "lm_head.weight"
    torch.save(held | {name: held[name].to(torch.int8)}, folder / PICKLE)
    assert f"hold quantized or packed weights ({name}: torch.int8)" in refusal(folder)
    (folder / PICKLE).write_bytes(b"no pickle")
    with pytest.raises(UserError, match="config.json with the weights cannot be read"):
        resolve("mine", Model(source=str(folder)))


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_architecture_resolves_from_what_it_saves(save_model, tmp_path, architecture):
    folder = save_model(tmp_path / architecture, architecture=architecture)
    body = resolve("mine", Model(source=str(folder)))
    assert (body["architecture"], body["layers"], body["positions"]) == (architecture, 2, 256)


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_that_is_tied_may_be_in_the_files_or_not(save_model, tmp_path, tied):
    folder = save_model(tmp_path / "tied", tie_word_embeddings=True)
    rewrite(
        folder,
        lambda held: (
            {key: held[key] for key in held if key != "lm_head.weight"}
            if tied
            else held | {"lm_head.weight": held["model.embed_tokens.weight"].clone()}
        ),
    )
    assert resolve("mine", Model(source=str(folder)))["vocabulary"] == 153


def test_a_head_that_is_not_tied_must_be_in_the_files(folder):
    rewrite(folder, lambda held: {key: held[key] for key in held if key != "lm_head.weight"})
    assert "1 missing (lm_head.weight)" in refusal(folder)


def test_names_and_buffers_of_older_versions_are_taken(save_model, tmp_path):
    opt = save_model(tmp_path / "opt", architecture="OPTForCausalLM")
    rewrite(opt, lambda held: {name.removeprefix("model."): held[name] for name in held})
    gpt2 = save_model(tmp_path / "gpt2", architecture="GPT2LMHeadModel")
    mask = torch.ones(1, 1, 8, 8, dtype=torch.uint8)
    rewrite(
        gpt2,
        lambda held: (
            {name.removeprefix("transformer."): held[name] for name in held}
            | {"h.0.attn.bias": mask, "h.0.attn.masked_bias": torch.tensor(-1e4)}
        ),
    )
    llama = save_model(tmp_path / "llama")
    frequencies = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    rewrite(llama, lambda held: held | frequencies)
    for folder in (opt, gpt2, llama):
        assert resolve("mine", Model(source=str(folder)))["layers"] == 2


def test_an_architecture_and_a_model_type_that_disagree_are_refused(folder):
    settings(folder, architectures=["MistralForCausalLM"])
    assert "names the architecture MistralForCausalLM, and its model_type loads as Llama" in (
        refusal(folder)
    )


def test_settings_that_transformers_cannot_read_are_told_in_one_line(folder):
    settings(folder, hidden_act=7)
    with pytest.raises(UserError, match="config.json with the weights cannot be read") as refused:
        resolve("mine", Model(source=str(folder)))
    assert "\n" not in str(refused.value)


def test_tokens_without_embeddings_are_refused_with_both_numbers(save_model, tmp_path):
    folder = save_model(tmp_path / "few", vocab_size=150)
    assert "up to number 152" in refusal(folder) and "150 embeddings" in refusal(folder)
    more = save_model(tmp_path / "more", vocab_size=160)
    assert resolve("mine", Model(source=str(more)))["vocabulary"] == 160


def test_what_does_not_fit_is_counted_and_a_few_names_are_shown():
    keys = {f"layer.{number}" for number in range(9)}
    with pytest.raises(
        UserError, match=r"9 missing \(layer.0, layer.1, layer.2, layer.3, \.\.\.\)"
    ):
        refuse_unfit(
            "mine", {"missing_keys": keys, "unexpected_keys": set(), "mismatched_keys": set()}
        )


def test_an_unknown_built_in_model_gets_the_nearest_name():
    with pytest.raises(UserError, match=r"unknown built-in model 'ref-reglo'\. Did you mean 'ref-"):
        resolve("mine", Model(source="builtin:ref-reglo"))


def test_identity_follows_content_and_settings_and_not_the_place(save_model, tmp_path):
    one, two = (save_model(tmp_path / place) for place in ("a", "b"))
    identity = source.identity(Model(source=str(one)))
    assert source.identity(Model(source=str(two))) == identity
    assert source.identity(Model(source=str(one), dtype="float16")) != identity
    settings(two, eos_token_id=1)
    assert source.identity(Model(source=str(two))) != identity


def test_a_model_card_is_no_part_of_the_model(folder):
    before = source.identity(Model(source=str(folder)))
    (folder / "README.md").write_text("about it")
    assert source.identity(Model(source=str(folder))) == before


def test_identity_of_a_hub_model_is_what_is_asked_for():
    asked = Model(source="someone/model", revision="v1")
    assert source.identity(asked) == source.identity(asked.model_copy())
    assert source.identity(asked) != source.identity(Model(source="someone/model"))
