"""What the command measures for which method, and what it refuses."""

import pytest

from pipeline.__main__ import main
from pipeline.commands.speed import forms, speed
from pipeline.config.study import parse_study
from pipeline.errors import UserError
from pipeline.planning.study import PROJECT, Study, read_config


def test_methods_by_what_is_measured_for_them():
    found = forms(Study(parse_study(read_config(PROJECT / "configs/full.yaml"))))
    assert found["drop_cold"] == "sliced" and found["cats"] == "threshold"
    assert found["predicted"] == "active" and found["teal"] == "channels"
    # What is pruned is not skipped by a kernel, though it counts as achieved.
    assert not {"wanda_teal", "sparsegpt_teal_spon", "int4_wanda_teal"} & set(found)
    assert found["int8_teal"] == "channels"
    assert not {"topk", "cett", "wina", "rsparse", "wanda", "int8"} & set(found)


def test_a_study_that_has_not_run_is_refused(small, tmp_path):
    with pytest.raises(UserError, match="run the study first"):
        speed(small(), tmp_path, 8, 8, "float32", 1, "cpu")


def test_a_gpu_that_is_not_there_is_refused(small, tmp_path):
    study = small()
    curves = tmp_path / "results" / study.config.study / "analyse" / "curves.parquet"
    curves.parent.mkdir(parents=True)
    curves.touch()
    with pytest.raises(UserError, match="device cuda: torch finds no GPU here"):
        speed(study, tmp_path, 8, 8, "float32", 1, "cuda")


def test_neurons_that_are_there_for_a_start_are_not_cut_out(small, study_values):
    study_values["methods"]["drop_cold"]["sparse_from"] = "continuation"
    assert forms(Study(parse_study(study_values)))["drop_cold"] == "active"


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_sizes_are_whole_numbers(wrong, capsys):
    with pytest.raises(SystemExit):
        main(["speed", "--d", wrong])
    assert "give a whole number from 1" in capsys.readouterr().err


def test_too_few_rounds_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["speed", "--rounds", "4"])
    assert "fewer than 5 tell nothing of the spread" in capsys.readouterr().err
