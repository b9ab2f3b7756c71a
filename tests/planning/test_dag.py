"""What Snakemake plans is what the table of stages and the planned study say, for every study that
ships, and a job whose rule says otherwise is told by name."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.config.study import parse_study
from pipeline.planning.stages import STAGES
from pipeline.planning.study import PROJECT, Study, read_config

STUDIES = [PROJECT / "config.yaml", *sorted((PROJECT / "configs").glob("*.yaml"))]
#: Jobs that read whatever a study has made, so no list of their inputs is kept.
READ_ALL = ("analyse", "build_report")


#: What no job reads and the command `inspect` does.
BY_INSPECT = {
    ("merge_profile", "channels"), ("profile_sample", "tokens"),
    ("profile_sample", "always_active"), ("profile_sample", "prompt_overlaps"),
}  # fmt: skip


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A function: configuration -> (its study, all jobs that Snakemake would run in a new folder);
    once for each configuration."""
    found = {}

    def plan(config):
        if config not in found:
            folder = tmp_path_factory.mktemp(config.stem)
            found[config] = (
                Study(parse_study(read_config(config), config.parent)),
                dumped(config, folder),
            )
        study, jobs = found[config]
        return study, copy.deepcopy(jobs)

    return plan


def dumped(config, folder):
    """The jobs by the folders that they write."""
    dump = folder / "dag.json"
    line = [
        sys.executable, "-m", "snakemake", "all", "--snakefile", PROJECT / "tests/planning/dag.smk",
        "--configfile", config, "--config", f"dag={dump}", "--directory", folder,
        "--dry-run", "--quiet", "all", "--nolock", "--cores", "1",
    ]  # fmt: skip
    done = subprocess.run(
        list(map(str, line)), capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = json.loads(dump.read_text())
    return {str(Path(job["files"][0]).parent): job for job in jobs if job["rule"] != "all"}


def disagreements(study, jobs):
    """A line for every job of one side alone, and for every rule, file, log and param of a job that
    the table or the study says otherwise."""
    lines = [f"{place}: only in Snakemake's plan" for place in sorted(jobs.keys() - study.folders)]
    lines += [f"{place}: only in the study" for place in sorted(study.folders.keys() - jobs)]
    for place in sorted(jobs.keys() & study.folders):
        lines += [f"{place}: {line}" for line in of_job(study, place, jobs[place])]
    return lines


def of_job(study, place, job):
    folder = study.folders[place]
    stage = STAGES[folder.rule]
    if job["rule"] != folder.rule:
        yield f"rule {job['rule']}, not {folder.rule}"
        return
    if folder.rule in READ_ALL:
        outputs = {f"{place}/{name}" for name in stage.files}
        if set(job["files"]) != outputs:
            yield f"outputs {sorted(job['files'])}, not {sorted(outputs)}"
    else:
        yield from differing("outputs", job["outputs"], {
            name: [f"{place}/{output.file}"] for name, output in stage.outputs.items()
        })  # fmt: skip
        yield from differing(
            "inputs",
            {name: files for name, files in job["inputs"].items() if files},
            {name: list(files) for name, files in folder.reads.items()},
        )
    if job["log"] != [f"results/logs/{stage.log_place(place)}.log"]:
        yield f"log {job['log']}"
    yield from differing("params", job["params"], params_of(study, folder, job["params"]))
    for file in (file for files in job["inputs"].values() for file in files):
        where, _, name = file.rpartition("/")
        if where not in study.folders or name not in STAGES[study.folders[where].rule].files:
            yield f"input {file} is no output of any stage"


def params_of(study, folder, given):
    """The params of a job as the study has them; those that it has no word of as they are."""
    known = {"source": study.source(folder.rule, **about(folder))}
    if folder.model and given.get("model") is not None:
        known["model"] = study.section("models", folder.model)
    if "tasks" in STAGES[folder.rule].reads and "tasks" in given:
        known["tasks"] = study.evaluation()["tasks"]
    if "evaluation" in given:
        known["evaluation"] = study.evaluation() | {"shards": 1}
    return json.loads(json.dumps({**given, **known}))


def about(folder):
    return {name: getattr(folder, name) for name in STAGES[folder.rule].reads - {"tasks"}}


def differing(what, given, wanted):
    for name in sorted(given.keys() | wanted):
        if given.get(name) != wanted.get(name):
            yield f"{what} {name}: {given.get(name)}, not {wanted.get(name)}"


@pytest.mark.parametrize("config", STUDIES, ids=lambda path: path.stem)
def test_what_snakemake_plans_is_what_the_table_says(planned, config):
    study, jobs = planned(config)
    assert len(jobs) > 10
    assert disagreements(study, jobs) == []


@pytest.mark.parametrize("config", STUDIES, ids=lambda path: path.stem)
def test_every_file_is_read_by_another_job_or_asked_for(planned, config):
    study, jobs = planned(config)
    read = {file for job in jobs.values() for files in job["inputs"].values() for file in files}
    kinds = {
        f"{place}/{output.file}": (folder.rule, name)
        for place, folder in study.folders.items()
        for name, output in STAGES[folder.rule].outputs.items()
        if not STAGES[folder.rule].asked
    }
    # Where nothing is trained, loss curves are empty.
    unread = set(kinds.values()) - {kinds[file] for file in read if file in kinds}
    if not study.trained:
        unread -= {("prepare", "training"), ("fit_with_model", "training")}
    # Methods that are fitted with the model read the histograms.
    needed = {folder.rule for folder in study.folders.values()}
    of_fits = set() if "fit_with_model" in needed else {("merge_profile", "histograms")}
    assert unread == BY_INSPECT | of_fits


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"seed": 5, "analysis": {"confidence": 0.9, "bootstrap": 300}}, "power_law"),
        ({"evaluation": {"limit": 7, "batch_size": 9, "block_items": 5}}, "fit"),
        ({"profile": {"cett_tokens": 99}}, "check_overlap"),
        ({"classification": {"coverage80": {"share": 0.7}}}, "power_law"),
    ],
)
def test_jobs_of_one_identity_have_the_same_params(planned, tmp_path, changes, kept):
    """What a rule hands to its script and its identity leaves out would leave old results standing
    where they were moved without Snakemake's notes."""
    values = read_config(PROJECT / "configs" / "tiny.yaml")
    for key, value in changes.items():
        values[key] = merged(values.get(key, {}), value) if isinstance(value, dict) else value
    config = tmp_path / "other.yaml"
    config.write_text(yaml.safe_dump(values))
    (one, first), (two, second) = planned(PROJECT / "configs" / "tiny.yaml"), planned(config)
    same = [
        place
        for place in one.folders.keys() & two.folders
        if one.folders[place].identity == two.folders[place].identity
    ]
    assert {one.folders[place].rule for place in same} >= {"extract_calibration", kept}
    for place in same:
        assert first[place]["params"] == second[place]["params"], place


def merged(values, changes):
    """The values with changed keys, at any depth."""
    return {
        **values,
        **{
            key: merged(values.get(key, {}), change) if isinstance(change, dict) else change
            for key, change in changes.items()
        },
    }


def test_the_same_holds_where_every_stage_is_divided(planned, tmp_path):
    values = read_config(PROJECT / "configs" / "tiny.yaml")
    values["calibration"]["reasoning"]["shards"] = 2
    values["evaluation"]["shards"] = 2
    values["methods"]["drop_random"]["sparsifier"] = {"name": "drop_random", "match": "drop_cold"}
    config = tmp_path / "divided.yaml"
    config.write_text(yaml.safe_dump(values))
    study, jobs = planned(config)
    served = {rule for rule, stage in STAGES.items() if stage.serves}
    assert served <= {j["rule"] for j in jobs.values()}
    assert disagreements(study, jobs) == []


@pytest.fixture
def tiny(planned):
    """(study, jobs) of the tiny study, to be changed."""
    return planned(PROJECT / "configs" / "tiny.yaml")


def place_of(jobs, rule):
    return next(place for place, job in jobs.items() if job["rule"] == rule)


@pytest.mark.parametrize(
    ("rule", "side", "one", "other"),
    [
        ("merge_profile", "inputs", "neuron_shards", "channel_shards"),
        ("merge_profile", "inputs", "thresholds", "norms"),
        ("profile_sample", "outputs", "thresholds", "norms"),
        ("classify", "outputs", "classes", "summary"),
        ("evaluate", "inputs", "plan", "arrays"),
    ],
)
def test_two_files_that_are_swapped_in_a_rule_are_told(tiny, rule, side, one, other):
    study, jobs = tiny
    place = place_of(jobs, rule)
    files = jobs[place][side]
    files[one], files[other] = files[other], files[one]
    lines = disagreements(study, jobs)
    assert [line.split(": ")[:2] for line in lines] == [
        [place, f"{side} {name}"] for name in sorted((one, other))
    ]


def test_shards_in_another_order_are_told(tiny):
    study, jobs = tiny
    place = place_of(jobs, "merge_profile")
    jobs[place]["inputs"]["histogram_shards"].reverse()
    (line,) = disagreements(study, jobs)
    assert line.startswith(f"{place}: inputs histogram_shards: ")


def test_an_output_or_a_job_that_one_side_lacks_is_told(tiny):
    study, jobs = tiny
    place = place_of(jobs, "power_law")
    del jobs[place]["outputs"]["ranked"]
    gone = place_of(jobs, "classify")
    del jobs[gone]
    jobs["results/tiny/elsewhere"] = {"rule": "fit"}
    lines = disagreements(study, jobs)
    assert lines[:2] == [
        "results/tiny/elsewhere: only in Snakemake's plan", f"{gone}: only in the study",
    ]  # fmt: skip
    assert lines[2].startswith(f"{place}: outputs ranked: None, not ")


def test_evaluations_wait_for_the_comparison_of_all_corpora_with_the_tasks(tiny):
    study, jobs = tiny
    (cleared,) = (place for place, job in jobs.items() if job["rule"] == "clear_tasks")
    evaluations = [job for job in jobs.values() if job["rule"].startswith("evaluate")]
    assert {job["rule"] for job in evaluations} == {"evaluate", "evaluate_dense"}
    assert all(job["inputs"]["cleared"] == [f"{cleared}/cleared.json"] for job in evaluations)
    checks = {place for place, job in jobs.items() if job["rule"] == "check_overlap"}
    assert {str(Path(f).parent) for f in jobs[cleared]["inputs"]["overlap_checks"]} == checks
