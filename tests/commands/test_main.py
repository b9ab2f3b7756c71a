"""The command line refuses bad input in one line, and checks without running."""

import json

import pytest
import yaml

from pipeline import __main__ as command_line
from pipeline.__main__ import main
from pipeline.errors import UserError
from pipeline.planning.study import PROJECT
from pipeline.running import launcher


@pytest.fixture
def config_file(study_values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(study_values))
    return path


def test_check_counts_what_a_study_holds(config_file, capsys):
    assert main(["check", "--config", str(config_file)]) == 0
    assert "study 'small', 1 model, 2 pruned conditions, 2 tasks" in capsys.readouterr().out


def test_check_notes_what_is_odd_and_taken(config_file, study_values, tmp_path, capsys):
    item = {"q": "one", "choices": ["a", "a"], "right": 0}
    (tmp_path / "odd.jsonl").write_text(json.dumps(item))
    task = {
        "task": "odd", "dataset_kwargs": {"data_files": {"test": "odd.jsonl"}},
        "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "q",
        "doc_to_choice": "choices", "doc_to_target": "right", "metric_list": [{"metric": "acc"}],
    }  # fmt: skip
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(task))
    study_values["evaluation"]["tasks"] = ["odd.yaml"]
    config_file.write_text(yaml.safe_dump(study_values))
    assert main(["check", "--config", str(config_file)]) == 0
    assert "note: task odd: odd.jsonl: items with equal choices: 1" in capsys.readouterr().out


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


@pytest.mark.parametrize("command", ["run", "check", "plan", "status", "speed", "gc"])
def test_every_command_takes_a_configuration_by_option_and_by_itself(
    config_file, tmp_path, monkeypatch, command
):
    taken = []

    def stop(given):
        taken.append(given.config)
        raise UserError("the rest is not under test")

    monkeypatch.setattr(command_line, "_study", stop)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    for words in (["--config", str(config_file)], [f"--config={config_file}"], [str(config_file)]):
        assert main([command, *words]) == 2
    assert taken == [config_file] * 3
    # Cleaning up needs none, and then takes all studies as they were last started.
    assert main([command]) == (0 if command == "gc" else 2)
    assert taken[3:] == [] if command == "gc" else [PROJECT / "config.yaml"]


@pytest.mark.parametrize("command", ["check", "plan", "status", "speed", "gc"])
def test_a_second_configuration_is_refused(config_file, capsys, command):
    for words in (["--config", "one.yaml", str(config_file)], ["one.yaml", str(config_file)]):
        with pytest.raises(SystemExit):
            main([command, *words])
        told = capsys.readouterr().err
        assert f"one configuration at a time; given: one.yaml, {config_file}" in told


def test_an_option_that_a_command_does_not_have_is_refused(config_file, capsys):
    with pytest.raises(SystemExit):
        main(["check", str(config_file), "--deep"])
    assert "unrecognized arguments: --deep" in capsys.readouterr().err


def test_a_configuration_by_itself_may_have_any_ending(config_file, tmp_path, capsys):
    config_file.rename(tmp_path / "study.conf")
    assert main(["check", str(tmp_path / "study.conf")]) == 0
    assert "study 'small'" in capsys.readouterr().out


def test_a_run_takes_a_configuration_by_itself_and_hands_on_targets(config_file, monkeypatch):
    lines = []
    monkeypatch.setattr(launcher, "run", lambda line, lock, forks: lines.append(line))
    assert main(["run", str(config_file), "--dry-run", "results/some/file.json"]) == 0
    (line,) = lines
    assert line[line.index("--configfile") + 1] == str(config_file)
    assert line[-2:] == ["--dry-run", "results/some/file.json"]


@pytest.mark.parametrize("cores", ["0", "-1", "two"])
def test_cores_that_are_none_are_refused(config_file, capsys, cores):
    with pytest.raises(SystemExit):
        main(["plan", str(config_file), f"--cores={cores}"])
    assert "give a whole number from 1, or all" in capsys.readouterr().err


def test_a_folder_without_results_holds_nothing_to_clean_up(tmp_path, capsys):
    assert main(["gc", "--directory", str(tmp_path / "nowhere")]) == 2
    assert "there are no results in" in capsys.readouterr().err


def test_a_file_is_no_place_for_results(config_file, capsys):
    assert main(["run", str(config_file), "--directory", str(config_file)]) == 2
    assert "it is not a folder. Give another with --directory" in capsys.readouterr().err


def test_a_study_that_was_never_started_is_told_so(config_file, tmp_path, capsys):
    assert main(["status", str(config_file), "--directory", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: no study 'small' has been started in {tmp_path}; `run` with")


@pytest.mark.parametrize("command", ["check", "plan", "run", "status"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("study: a\nstudy: b\n", "line 2: the key 'study' stands in line 1 already"),
        ("study: " + "[" * 3000, "more than 64 mappings and lists in one another"),
        ("study: a\nseed: " + "9" * 5000, "line 2: a number of 5,000 digits"),
        ("study: *a\n", "line 1 is not YAML: found undefined alias 'a'"),
    ],
)
def test_a_file_that_is_no_configuration_ends_with_one_line(tmp_path, capsys, command, text, said):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert main([command, str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: configuration {path}, line ") and said in line


def test_a_link_to_a_configuration_counts_where_the_link_is(config_file, tmp_path, capsys):
    """Relative places start there: the model's folder is beside the link alone."""
    (tmp_path / "linked").mkdir()
    link = tmp_path / "linked" / "c.yaml"
    link.symlink_to(config_file)
    text = config_file.read_text().replace("builtin:reasoning", "path:text.txt")
    config_file.write_text(text)
    (tmp_path / "linked" / "text.txt").write_text("a b c\n" * 200)
    assert main(["check", str(link)]) == 0
    assert main(["check", str(config_file)]) == 2
    assert "text.txt does not exist" in capsys.readouterr().err
