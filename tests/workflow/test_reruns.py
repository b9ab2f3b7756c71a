"""What Snakemake plans after a change, from a finished tiny study."""

import os
import re
import shutil
import time

import pytest

from benchmarks import reruns
from pipeline.planning.stages import STAGES
from tests.conftest import jobs_in
from tests.finished import AGGREGATION, following, shipped

pytestmark = pytest.mark.workflow


def test_nothing_changed_plans_nothing(finished):
    assert finished.planned() == {}
    assert "Nothing to be done" in finished.run("--dry-run")


def test_a_dry_run_of_its_own_process_plans_the_same(edited):
    """Other tests ask forks of one process, which has imported others' libraries."""
    edited.edit("configs/tiny.yaml", "levels: [0.25, cold]", "levels: [0.25, 0.5, cold]")
    own = jobs_in(edited.run("--dry-run", "--quiet", "host"))
    assert {rule: sorted(files) for rule, files in own.items()} == {
        rule: sorted(files) for rule, files in edited.planned().items()
    }
    assert set(own) == {"fit", "evaluate"} | AGGREGATION


def test_comment_docstring_and_touch_plan_nothing(edited):
    module = "src/pipeline/profiling/shard.py"
    edited.edit(module, "one streaming pass, no activation kept.", "other words.")
    edited.edit(module, "\nclass _Layer:", "\n# A comment.\nclass _Layer:")
    edited.edit("rules/classify.smk", "rule classify:\n", "# A comment.\nrule classify:\n")
    later = time.time() + 60
    for script in (edited.folder / "workflow" / "scripts").glob("*.py"):
        os.utime(script, (later, later))
    assert edited.planned() == {}


def test_edits_that_change_no_result_plan_nothing(edited):
    for edit in reruns.WITHOUT_EFFECT:
        edited.edit(edit.file, edit.old, edit.new)
    assert edited.planned() == {}


#: One edit that each of some rules follows from, and one that all do.
WORDS = (
    "how a probability below 0.001 is printed",
    "how answers are scored",
    "an interval of the analysis",
    "how arguments of scripts are cast",
)


@pytest.fixture(scope="module")
def counted(finished, tmp_path_factory):
    """Edit -> its jobs in the tiny study, as the table counts them."""
    edits = [edit for edit in reruns.EDITS if edit.words in WORDS]
    assert len(edits) == len(WORDS)
    copy = reruns.copied(tmp_path_factory.mktemp("counted"), finished.folder)
    found = reruns.of_all(copy, edits, "configs/tiny.yaml")[1]
    return {edit.words: (edit, found[edit]) for edit in edits}


@pytest.mark.parametrize("words", WORDS)
def test_what_snakemake_plans_is_what_the_table_counts(edited, counted, words):
    edit, jobs = counted[words]
    edited.edit(edit.file, edit.old, edit.new)
    planned = {
        path.rpartition("/")[0]: rule for rule, files in edited.planned().items() for path in files
    }
    assert planned == jobs.again


def test_the_table_of_edits_is_that_of_the_default_study():
    page = reruns.PAGE.read_text()
    assert reruns.between(page, reruns.NAME, reruns.table()) == page, (
        "run: python benchmarks/reruns.py"
    )


def test_a_sparsifier_edited_plans_its_conditions_and_what_follows(edited):
    module = "src/pipeline/methods/sparsifiers/drop_random.py"
    edited.edit(module, "seed + 1", "seed + 2")
    jobs = edited.planned()
    assert set(jobs) == {"fit", "evaluate"} | AGGREGATION
    assert all("/drop_random/" in path for path in jobs["fit"] + jobs["evaluate"])


def test_a_policy_edited_plans_its_classification_and_what_follows(edited):
    edited.edit(
        "src/pipeline/classification/coverage.py",
        '["tokens"].to_numpy(), 1)',
        '["tokens"].to_numpy(), 2)',
    )
    assert set(edited.planned()) == {"classify", "fit", "evaluate"} | AGGREGATION


def test_a_registry_line_added_plans_nothing(edited):
    edited.edit(
        "src/pipeline/registry.py",
        '        "budget": "pipeline',
        '        "other": "pipeline.classification.budget:Budget",\n        "budget": "pipeline',
    )
    assert edited.planned() == {}


def test_a_rules_text_edited_plans_that_rule_and_what_follows(edited):
    rules = edited.folder / "rules" / "analyse.smk"
    text = rules.read_text()
    rules.write_text(text.replace("threads: 1", "threads: 2"))
    assert rules.read_text() != text
    assert set(edited.planned()) == AGGREGATION


def test_a_level_added_plans_its_jobs_and_the_aggregation(edited):
    edited.edit("configs/tiny.yaml", "levels: [0.25, cold]", "levels: [0.25, 0.5, cold]")
    jobs = edited.planned()
    assert set(jobs) == {"fit", "evaluate"} | AGGREGATION
    assert [path.split("/")[3:6] for path in jobs["fit"]] == [["ref-reglu", "drop_cold", "0.5"]]
    assert len(jobs["evaluate"]) == 1


def test_more_shards_plan_profiling_but_no_model_or_corpus(edited):
    edited.configure("profile.shards", 3)
    jobs = edited.planned()
    assert len(jobs["profile_shard"]) == 3
    assert not {"resolve_model", "extract_calibration", "evaluate_dense"} & set(jobs)


def test_seven_shards_of_every_long_stage_give_the_bytes_of_undivided_ones(edited):
    """One condition of the tiny study, all of it anew; keys in paths differ, contents do not."""
    undivided = whole(edited.artifacts())
    for stage in ("extract_calibration", "merge_profile"):
        shutil.rmtree(edited.work / "results/shared" / stage)
    for section in ("calibration.reasoning", "profile", "evaluation"):
        edited.configure(f"{section}.shards", 7)
    condition = "results/tiny/evaluate/ref-reglu/drop_cold/0.25/0/samples.parquet"
    (edited.work / condition).unlink()
    edited.run("--until", "merge_profile")
    edited.run(condition)
    counts = edited.work.glob(
        "results/tiny/evaluate_shard/*/drop_cold/0.25/0/*-of-7/counts.parquet"
    )
    assert len(list(counts)) == 7
    divided = whole(edited.artifacts())
    assert len([name for name in divided if "extract_calibration" in name]) == 3
    assert divided == undivided


def whole(artifacts):
    """Artifacts without shards, shared ones by names without digests."""
    return {
        re.sub(r"-[0-9a-f]{12}/", "/", name): content
        for name, content in artifacts.items()
        if "_shard/" not in name and name != "tiny/jobs.json"
    }


def test_profiling_code_edited_plans_profiling_and_downstream(edited):
    edited.edit("src/pipeline/models/cett.py", "_FEW = 256", "_FEW = 255")
    downstream = following(shipped("configs/tiny.yaml"), "profile_sample")
    assert downstream >= {"profile_shard", "merge_profile", "classify", "fit", "evaluate"}
    assert set(edited.planned()) == downstream


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("template", {"build_report"}),
        ("style", {"build_report"}),
        ("macros", {"build_report"}),
        ("sections/tasks", {"build_report"}),
        ("speed", set()),
    ],
)
def test_a_template_edited_plans_the_report_that_is_made_of_it(edited, name, rules):
    template = edited.folder / f"src/pipeline/report/{name}.html.j2"
    template.write_text(template.read_text() + "\n")
    assert set(edited.planned()) == rules


@pytest.mark.parametrize(
    ("module", "old", "new", "rules"),
    [
        ("report/finding/coldness.py", "MOSTLY_SHARED = 0.8", "MOSTLY_SHARED = 0.9",
         {"build_report"}),
        ("report/numbers.py", '"< 0.001"', '"below 0.001"', {"build_report"}),
        ("report/sections/activity.py", '"activity of the decile"', '"its activity"',
         {"build_report"}),
        ("registry.py", '        "dense": "pipeline.report.sections.dense:SECTION",\n', "",
         {"build_report"}),
        ("analysis/steps.py", "logspace(-5, 1.5, 400)", "logspace(-5, 1.5, 300)", AGGREGATION),
        ("analysis/losses.py", "max(-1.0, low)", "max(-0.9, low)", AGGREGATION),
    ],
)  # fmt: skip
def test_words_plan_the_report_alone_and_an_analysis_plans_both(edited, module, old, new, rules):
    edited.edit(f"src/pipeline/{module}", old, new)
    assert set(edited.planned()) == rules


#: What reads the tasks' items, and what follows.
OF_TASKS = {"check_overlap", "clear_tasks", "evaluate_dense", "evaluate"} | AGGREGATION


def test_a_tasks_items_edited_plan_what_reads_them(edited):
    items = edited.folder / "resources/tasks/chain.jsonl"
    lines = items.read_text().splitlines(keepends=True)
    items.write_text("".join(lines[1:]))
    assert set(edited.planned()) == OF_TASKS


def test_other_tasks_plan_no_corpus_no_profile_and_no_fit(edited):
    edited.edit("configs/tiny.yaml", "tasks: [chain, boolean_choice,", "tasks: [chain,")
    jobs = edited.planned()
    assert set(jobs) == OF_TASKS
    assert len(jobs["check_overlap"]) == len(jobs["clear_tasks"]) == 1


def test_another_idea_of_overlap_compares_anew_and_evaluates_nothing(edited):
    edited.edit("configs/tiny.yaml", "overlap_ngram: 32 ", "overlap_ngram: 40 ")
    assert set(edited.planned()) == {"check_overlap", "clear_tasks", "build_report"}
    edited.run()
    assert edited.planned() == {}


def test_a_deleted_result_plans_it_and_what_follows(edited):
    (plan,) = edited.work.glob("results/tiny/fit/*/keep_cold/hot/0/plan.json")
    plan.unlink()
    jobs = edited.planned()
    assert set(jobs) == {"fit", "evaluate"} | AGGREGATION
    assert len(jobs["fit"]) == len(jobs["evaluate"]) == 1


def test_another_configuration_plans_none_of_the_first_ones_models(edited):
    text = (edited.folder / "configs/tiny.yaml").read_text()
    other = edited.folder / "configs" / "other.yaml"
    other.write_text(text.replace("study: tiny", "study: other").replace("reglu", "swiglu"))
    jobs = edited.planned("configs/other.yaml")
    paths = [path for outputs in jobs.values() for path in outputs]
    assert any("ref-swiglu" in path for path in paths)
    assert not any("ref-reglu" in path for path in paths)


def test_another_study_of_the_same_model_shares_what_depends_on_no_study(edited):
    text = (edited.folder / "configs/tiny.yaml").read_text()
    other = edited.folder / "configs" / "other.yaml"
    other.write_text(text.replace("study: tiny", "study: other"))
    jobs = set(edited.planned("configs/other.yaml"))
    rules = {folder.rule for folder in shipped("configs/tiny.yaml").folders.values()}
    assert jobs == {rule for rule in rules if STAGES[rule].own}
    assert jobs >= {"classify", "fit", "evaluate"}
