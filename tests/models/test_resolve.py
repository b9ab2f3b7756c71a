"""Resolving a local model into its record, and refusing what cannot be used."""

import json

import pytest

from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.models import source
from pipeline.models.resolve import resolve
from pipeline.tables.model import MODEL


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
    with open(folder / file, "ab") as stream:
        stream.write(b"\n")
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
    with pytest.raises(UserError, match=r"no \*\.safetensors and no pytorch_model\*\.bin"):
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
