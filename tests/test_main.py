"""The command line refuses bad input in one line, and checks without running."""

import pytest
import yaml

from pipeline.__main__ import main


@pytest.fixture
def config_file(study_values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(study_values))
    return path


def test_check_counts_what_a_study_holds(config_file, capsys):
    assert main(["check", "--config", str(config_file)]) == 0
    assert "study 'small', 1 model, 2 pruned conditions, 2 tasks" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_refused_configuration_ends_with_2_and_one_message(command, tmp_path, capsys):
    assert main([command, "--config", str(tmp_path / "nowhere.yaml")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: configuration ") and "Traceback" not in message


def test_a_refused_run_makes_no_folder(config_file, study_values, tmp_path):
    study_values["seed"] = -1
    config_file.write_text(yaml.safe_dump(study_values))
    assert main(["run", "--config", str(config_file), "--directory", str(tmp_path)]) == 2
    assert not (tmp_path / "results").exists()


def test_no_command_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
