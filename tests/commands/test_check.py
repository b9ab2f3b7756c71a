"""`check` opens local models as their jobs will, and sets tasks and corpora against them."""

import json

import pytest
import yaml
from safetensors.torch import load_file, save_file

from pipeline.__main__ import main
from pipeline.config.methods import Method
from pipeline.config.profile import Profile
from pipeline.config.study import StudyConfig, parse_study
from pipeline.planning.study import PROJECT, Study, read_config
from pipeline.registry import ARCHITECTURES


@pytest.fixture
def folder(save_model, tmp_path):
    return save_model(tmp_path / "model")


@pytest.fixture
def told(study_values, tmp_path, folder, capsys):
    """A function: command, changed keys of the study -> what the command line says on stderr."""

    def run(command="check", **changes):
        study_values["models"]["backbone"]["source"] = str(folder)
        for path, value in changes.items():
            section, key = path.rsplit("__", 1)
            place = study_values
            for part in section.split("__"):
                place = place[part]
            place[key] = value
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(study_values))
        ended = main([command, "--config", str(path), *(["--json"] * (command == "plan"))])
        said = capsys.readouterr().err
        assert ended == (2 if said else 0)
        assert said.count("\n") == bool(said) and "Traceback" not in said
        return said

    return run


def test_a_folder_that_fits_passes(told):
    assert told() == ""


def test_weights_that_do_not_fit_are_refused(told, folder):
    path = folder / "model.safetensors"
    save_file({f"_orig_mod.{name}": each for name, each in load_file(path).items()}, path)
    assert "'backbone': the weight files do not fit config.json" in told()


def test_a_damaged_tokenizer_is_refused(told, folder):
    (folder / "tokenizer.json").write_text("{}")
    assert "'backbone': model folder 'model': its tokenizer cannot be read" in told()


def test_tokens_without_embeddings_are_refused(told, folder, tokenizer):
    values = json.loads((folder / "tokenizer.json").read_text())
    values["model"]["vocab"]["alpha"] = 153
    (folder / "tokenizer.json").write_text(json.dumps(values))
    said = told()
    assert "'backbone': the tokenizer has tokens up to number 153 ('alpha')" in said
    assert "153 embeddings" in said


def test_blocks_that_the_architectures_view_does_not_fit_are_refused(told, monkeypatch):
    swapped = {**ARCHITECTURES, "LlamaForCausalLM": ARCHITECTURES["OPTForCausalLM"]}
    monkeypatch.setattr(ARCHITECTURES, "_table", swapped)
    said = told()
    assert said.startswith(
        "error: model 'backbone': LlamaForCausalLM: the FFN view of this architecture does not fit "
        "the model: 'LlamaModel' object has no attribute 'decoder'"
    )


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_what_headers_tell_is_refused_by_every_command(told, folder, command):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": ["Other"]}))
    said = told(command)
    assert said.startswith("error: models.backbone.source: architecture 'Other' has no FFN view")


def test_answers_and_windows_longer_than_the_model_are_refused(told, save_model, folder):
    save_model(folder, max_position_embeddings=64)
    said = told()
    assert "models.backbone: task chain: max_gen_toks is 64" in said
    assert "the model has 64 positions" in said
    said = told(calibration__reasoning__sequence_length=65)
    assert "models.backbone: calibration corpus 'builtin:reasoning': sequence_length is 65" in said


def test_a_complete_study_is_the_same_one(study_values, tmp_path, capsys):
    """As a file in another folder; the text that it is printed as holds every key."""
    (tmp_path / "text.txt").write_text("a b c\n" * 200)
    study_values["calibration"]["reasoning"] = {"source": "path:text.txt", "tokens": 100}
    method = study_values["methods"].pop("drop_cold")
    study_values |= {"method_defaults": {"corpus": "reasoning", "options": {"spon": {"steps": 7}}}}
    study_values["methods"] = {
        "drop": {"grid": {"sparsifier": ["drop_cold", "keep_cold"]}, **_less(method)},
        "bits": {
            "sparsifier": "teal", "levels": [0.25],
            "grid": {"quantization": [None, "int8"], "compensation": ["spon"]},
        },
    }  # fmt: skip
    path, elsewhere = tmp_path / "study.yaml", tmp_path / "other" / "study.yaml"
    path.write_text(yaml.safe_dump(study_values, sort_keys=False))
    assert main(["check", "--complete", str(path)]) == 0
    text = capsys.readouterr().out
    elsewhere.parent.mkdir()
    elsewhere.write_text(text)
    before, after = (Study(parse_study(read_config(p), p.parent)) for p in (path, elsewhere))
    assert after.config == before.config
    assert after.conditions == before.conditions and after.folders == before.folders
    assert list(after.config.methods) == [
        "drop_drop_cold", "drop_keep_cold", "bits_spon", "bits_int8_spon"
    ]  # fmt: skip
    values = yaml.safe_load(text)
    assert "method_defaults" not in values and "grid:" not in text
    assert values["methods"]["bits_spon"]["compensation"]["steps"] == 7
    assert set(values["methods"]["bits_spon"]) == set(Method.model_fields)
    assert set(values) == set(StudyConfig.model_fields)
    assert set(values["profile"]) == set(Profile.model_fields)


def _less(method):
    return {key: value for key, value in method.items() if key not in ("corpus", "sparsifier")}


@pytest.mark.parametrize("path", [PROJECT / "config.yaml", *(PROJECT / "configs").glob("*.yaml")])
def test_every_shipped_study_is_itself_when_complete(path, tmp_path, capsys):
    assert main(["check", str(path), "--complete"]) == 0
    (tmp_path / "complete.yaml").write_text(capsys.readouterr().out)
    studies = [Study(parse_study(read_config(p))) for p in (path, tmp_path / "complete.yaml")]
    assert studies[0].config == studies[1].config
    assert list(studies[0].folders.items()) == list(studies[1].folders.items())


def test_a_refused_study_is_not_completed(study_values, tmp_path, capsys):
    study_values["seed"] = -1
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study_values))
    assert main(["check", "--complete", str(tmp_path / "study.yaml")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "seed: -1 is refused" in said.err


def test_a_hub_model_is_left_to_its_job(told, folder):
    assert told(models__backbone__source="someone/model") == ""
