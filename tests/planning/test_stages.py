"""The table of stages: what can no longer be left out of it, and what is told where it is wrong."""

import dataclasses
import re

import pytest

from pipeline.commands.status import status
from pipeline.errors import UserError
from pipeline.planning import cost
from pipeline.planning.jobs import jobs_of, write_jobs
from pipeline.planning.outdated import outdated
from pipeline.planning.sources import PROJECT, RULES
from pipeline.planning.stage import Stage
from pipeline.planning.stages import STAGES
from pipeline.registry import ANALYSES, ARCHITECTURES, SECTIONS
from pipeline.tables.jobs import jobs_file
from tests.planning.test_work import SIZE

RULE = re.compile(r"^rule (\w+):$", re.M)


def test_every_rule_has_its_stage_and_every_stage_its_rule_and_its_script():
    """Rules of `reference.smk` make what ships with the project, and belong to no study."""
    rules = {
        rule: path.stem
        for path in (PROJECT / "rules").glob("*.smk")
        for rule in RULE.findall(path.read_text(encoding="utf-8"))
        if rule != "reference_models"
    }
    assert rules == {rule: file for rule, (file, _) in RULES.items()}
    scripts = {path.stem for path in (PROJECT / "workflow" / "scripts").glob("*.py")}
    assert scripts == set(RULES)


def test_a_stage_cannot_be_written_without_its_work_and_its_cost():
    required = {f.name for f in dataclasses.fields(Stage) if f.default is dataclasses.MISSING}
    assert {"folder", "outputs", "work", "cost"} <= required


@pytest.mark.parametrize("rule", STAGES)
def test_no_two_outputs_of_a_stage_are_one_file_and_shards_name_outputs(rule):
    stage = STAGES[rule]
    assert len(set(stage.files)) == len(stage.outputs)
    assert set(stage.parts.values()) <= set(stage.outputs)
    assert not stage.serves or stage.serves in STAGES and stage.parts


def test_stages_that_import_torch_or_a_tokenizer_are_heavy():
    """What a fork of a process with these imports holds is more than one without."""
    light = {rule for rule, stage in STAGES.items() if not stage.heavy}
    assert light == {
        "check_overlap", "clear_tasks", "merge_profile", "power_law", "fit", "analyse",
        "build_report",
    }  # fmt: skip


@pytest.mark.parametrize("rule", STAGES)
def test_every_output_has_a_table_or_stands_in_the_one_that_tells_of_the_others(rule):
    stage = STAGES[rule]
    (without, told) = ([o.file for o in stage.outputs.values() if o.table is None], stage.told_by)
    assert bool(without) == bool(told)
    assert not told or told in stage.files and told not in without


def test_any_output_that_is_deleted_leaves_the_study_unfinished(small, stand, tmp_path):
    study = small()
    stand(study, tmp_path)
    write_jobs(jobs_file(tmp_path, "small"), "small", jobs_of(study, {"backbone": SIZE}))
    assert status("small", tmp_path, 0.0).state == "finished"
    for place, folder in study.folders.items():
        if STAGES[folder.rule].serves:
            continue
        for name in STAGES[folder.rule].files:
            path = tmp_path / place / name
            content = path.read_bytes()
            path.unlink()
            assert status("small", tmp_path, 0.0).state == "stopped", path
            path.write_bytes(content)
    assert outdated(study, tmp_path) == []


@pytest.mark.parametrize(
    ("rule", "about"),
    [
        ("merge_profile", {"model": "backbone"}),
        ("profile_shard", {}),
        ("fit", {"method": "drop_cold", "model": "backbone"}),
        ("evaluate", {"model": "backbone"}),
    ],
)
def test_a_source_of_other_than_what_the_stage_reads_is_an_error(small, rule, about):
    """It would leave results standing whose view, or whose parts, have changed."""
    with pytest.raises(ValueError, match=f"rule {rule} is of .*its stage reads"):
        small().source(rule, **about)


def test_what_a_stage_reads_decides_its_source(small):
    study = small()
    tasks = small(evaluation={"tasks": ["chain"]})
    # With the other tasks, too.
    view = small(models={"backbone": {"source": "builtin:ref-opt"}})
    for rule in {folder.rule for folder in study.folders.values()}:
        reads = STAGES[rule].reads
        assert (digest_of(study, rule) != digest_of(tasks, rule)) == ("tasks" in reads), rule
        # A policy that reads a profile runs no model.
        of_model = "model" in reads and rule != "classify"
        assert (digest_of(tasks, rule) != digest_of(view, rule)) == of_model, rule


def digest_of(study, rule):
    return next(study.source_behind(f) for f in study.folders.values() if f.rule == rule)


def test_a_rule_that_was_never_measured_costs_what_the_table_supposes(monkeypatch, tmp_path):
    empty = tmp_path / "cost.json"
    empty.write_text('{"rules": {"fit": {"start": 7, "token": 0, "row": 0, "bytes_a_row": 1}}}')
    monkeypatch.setattr(cost, "CONSTANTS", empty)
    cost.constants.cache_clear()
    try:
        constants = cost.constants()
    finally:
        cost.constants.cache_clear()
    assert constants["fit"]["start"] == 7
    assert constants["evaluate"] == STAGES["evaluate"].cost.as_dict()
    assert set(constants) == set(STAGES)


def test_jobs_of_a_rule_that_is_gone_are_told_and_not_guessed(small, tmp_path):
    from pipeline.planning.jobs import read_jobs

    path = jobs_file(tmp_path, "small")
    job = dataclasses.replace(jobs_of(small(), {"backbone": SIZE})[0], rule="gone")
    write_jobs(path, "small", [job])
    with pytest.raises(UserError, match="had the rules gone; run the study again"):
        read_jobs(path)


@pytest.mark.parametrize(
    ("registry", "one", "other", "rule"),
    [
        (SECTIONS, "models", "corpora", "build_report"),
        (ANALYSES, "steps.parquet", "units.parquet", "analyse"),
        (ARCHITECTURES, "LlamaForCausalLM", "OPTForCausalLM", "evaluate"),
    ],
)
def test_a_name_that_means_another_entry_is_another_source(
    small, monkeypatch, registry, one, other, rule
):
    """Also where the same entries are there under each other's names."""
    before = digest_of(small(), rule)
    swapped = {**registry, one: registry[other], other: registry[one]}
    monkeypatch.setattr(registry, "_table", swapped)
    assert digest_of(small(), rule) != before
