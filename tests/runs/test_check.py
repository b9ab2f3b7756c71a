"""`check` opens local models as their jobs will, and sets tasks and corpora against them."""

import json

import pytest
import yaml
from safetensors.torch import load_file, save_file

from pipeline.__main__ import main


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


def test_a_hub_model_is_left_to_its_job(told, folder):
    assert told(models__backbone__source="someone/model") == ""
