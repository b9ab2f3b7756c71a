"""Names that all rules share, and the input functions."""

import inspect
import os
import re
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from pipeline.config.study import parse_study
from pipeline.store.closures import versions
from pipeline.store.arguments import PLACES
from pipeline.errors import UserError
from pipeline.running.launcher import JOBS_LOCK
from pipeline.planning import cost
from pipeline.planning.conditions import undivided
from pipeline.planning.folder import Folder
from pipeline.planning.jobs import job_like, jobs_of, size_of, write_jobs
from pipeline.planning.outdated import outdated, sentences
from pipeline.planning.sources import rule_source
from pipeline.planning.stages import STAGES
from pipeline.planning.study import Study, read_config
from pipeline.report.section import figures
from pipeline.tables.curves import REFUSED

# Snakemake writes its interpreter's path into shell lines as it is. A quoted path exists no more, so
# a second look changes nothing. All that starts a process in this one gets the quoted path, too.
if Path(sys.executable).exists():
    sys.executable = shlex.quote(sys.executable)

try:
    for file in workflow.configfiles:
        # Snakemake's own reader takes what this one refuses, keys that stand twice for one.
        read_config(Path(file))
    given = {key: value for key, value in config.items() if key != PLACES}
    STUDY = Study(parse_study(given, Path(workflow.configfiles[-1]).parent))
except UserError as error:
    raise WorkflowError(str(error)) from None

config[PLACES] = STUDY.places

CONFIG = STUDY.config
RESULTS = f"results/{CONFIG.study}"
LOGS = "results/logs"

MODELS = {STUDY.model_key(model): model for model in CONFIG.models}
CORPORA = {STUDY.corpus_key(*pair): pair for pair in STUDY.extracted}
PROFILES = {STUDY.profile_key(*pair): pair for pair in STUDY.profiled}
DENSE = {STUDY.dense_key(model): model for model in CONFIG.models}
TASKS = {STUDY.tasks_key(model): model for model in CONFIG.models}

#: What a key in a path stands for: a model, or a model and a corpus.
KEYED = {
    **{key: (model, "") for key, model in {**MODELS, **DENSE, **TASKS}.items()},
    **CORPORA,
    **PROFILES,
}


class Left(dict):
    """Values of a path's wildcards, where those without a value stay wildcards."""

    def __missing__(self, name):
        return f"{{{name}}}"


def path(rule, output, **values):
    """An output of a rule by its name, as the table of stages has it; wildcards without a value
    stay."""
    stage = STAGES[rule]
    folder = stage.folder.format_map(Left(values, study=CONFIG.study))
    return f"results/{folder}/{stage.outputs[output].file}"


def outputs(rule):
    """All outputs of a rule, by their names."""
    return {name: path(rule, name) for name in STAGES[rule].outputs}


def log_of(rule):
    """The log of a rule's jobs."""
    folder = STAGES[rule].folder.format_map(Left(study=CONFIG.study))
    return f"{LOGS}/{STAGES[rule].log_place(folder)}.log"


def file_in(place, rule, output):
    """An output of a rule's job that writes the folder `place`."""
    return f"{place}/{STAGES[rule].outputs[output].file}"


def names(values):
    # Nothing at all matches where there is no name.
    return "|".join(sorted(re.escape(str(value)) for value in set(values))) or "(?!)"


wildcard_constraints:
    model=names(CONFIG.models),
    corpus=names(CONFIG.calibration),
    classification=names(CONFIG.classification),
    method=names(CONFIG.methods),
    # Snakemake writes a constraint into every path and searches it for each job, so thousands of
    # levels cannot be listed.
    level=r"[0-9.e-]+|cold|hot|whole",
    seed=r"\d+",
    shard=r"\d+",
    shards=r"\d+",
    tokens=r"\d+",
    model_key=names(MODELS),
    corpus_key=names(CORPORA),
    overlap_key=names(map(STUDY.overlap_key, CONFIG.calibration)),
    tasks_key=names(TASKS),
    profile_key=names(PROFILES),
    dense_key=names(DENSE),


def fixed(function):
    """The function with its signature noted: Snakemake asks for it at every call."""
    function.__signature__ = inspect.signature(function)
    return function


def model_named(wildcards):
    """The configuration's name of the model that the wildcards name or key."""
    if hasattr(wildcards, "model"):
        return wildcards.model
    for name in ("model_key", "dense_key", "profile_key", "corpus_key", "tasks_key"):
        if hasattr(wildcards, name):
            return KEYED[getattr(wildcards, name)][0]
    raise ValueError(f"the wildcards {wildcards} name no model")


@fixed
def model_of(wildcards):
    """model.json of the model that the wildcards name or key."""
    return file_in(STUDY.model_place(model_named(wildcards)), "resolve_model", "model")


@fixed
def cleared_of(wildcards):
    """What every evaluation of the model at hand waits for. Another corpus of the study, or another
    study's, is compared anew without a rerun of what is evaluated."""
    return file_in(STUDY.tasks_place(model_named(wildcards)), "clear_tasks", "cleared")


def for_model(function):
    """The function of the wildcards, or what it gives where there is one model alone: thousands of
    jobs would each ask."""
    if len(CONFIG.models) > 1:
        return function
    return function(SimpleNamespace(model=next(iter(CONFIG.models))))


#: What every evaluation reads besides its plan.
RECORD, CLEARED = for_model(model_of), for_model(cleared_of)


def memory(rule):
    """`mem_mb` of a rule's jobs by the size of their model, and more on each retry, since a cluster
    ends a job that is over its memory."""

    def asked(wildcards, attempt):
        return cost.asked_megabytes(work_of(rule, wildcards), attempt)

    return fixed(asked)


def runtime(rule):
    """`runtime` of a rule's jobs, in minutes, which a cluster holds them to; as `memory`."""

    def asked(wildcards, attempt):
        return cost.asked_minutes(work_of(rule, wildcards), attempt)

    return fixed(asked)


def at_most(asked, rule):
    """What the rule's jobs on the largest model would be given on a first retry.

    For rules that read tables and no model: a plain number, which thousands of jobs need not ask
    for, and enough for all of them.
    """
    models = {folder.model for folder in STUDY.folders.values() if folder.rule == rule}
    works = [job_like(STUDY, rule, model, None, sizes_now()) for model in models]
    return max((asked(work, attempt=2) for work in works), default=0)


def sizes_now():
    """The models' sizes as far as they are known; a Hub model's comes to be known during the run."""
    for model, size in SIZES.items():
        try:
            SIZES[model] = size or size_of(STUDY, model, Path())
        except UserError as error:
            raise WorkflowError(str(error)) from None
    return SIZES


def corpus_named(wildcards):
    """The configuration's name of the corpus that the wildcards name or key; None without one."""
    key = getattr(wildcards, "profile_key", None) or getattr(wildcards, "corpus_key", None)
    return KEYED[key][1] if key else getattr(wildcards, "corpus", None)


def work_of(rule, wildcards):
    """A job of the rule on the model, corpus and method at hand."""
    model = model_named(wildcards) if STAGES[rule].wildcards else ""
    if model and SIZES[model] is None:
        sizes_now()
    corpus, method = corpus_named(wildcards), getattr(wildcards, "method", None)
    known = rule, model, corpus, method, SIZES.get(model)
    if known not in WORK:
        WORK[known] = job_like(STUDY, rule, model, corpus, SIZES, method)
    return WORK[known]


SIZES, WORK = dict.fromkeys(CONFIG.models), {}


@fixed
def gpus_of(wildcards):
    """Number of GPUs of a job that runs the model which the wildcards name or key."""
    return CONFIG.models[model_named(wildcards)].gpus


#: A plain number where no model is on a GPU: thousands of jobs would each ask.
GPUS = gpus_of if any(m.gpus for m in CONFIG.models.values()) else 0


def as_it_is(value):
    """A param function that gives the value: braces in a plain one's texts count as wildcards."""

    def given(wildcards):
        return value

    return fixed(given)


#: The section `profile` as params of what is profiled.
PROFILE = undivided(CONFIG.profile.model_dump())


#: What a job can be about, and how its wildcards say so.
ABOUT = {
    "model": model_named,
    "corpus": corpus_named,
    "method": lambda wildcards: wildcards.method,
    "classification": lambda wildcards: wildcards.classification,
}


def source_of(rule):
    """A param function: what a rule's job rests on besides configuration, `Study.source`.

    Of the wildcards alone: Snakemake compares no param that is made of inputs or outputs with the
    last run's.
    """
    about = {name: ABOUT[name] for name in sorted(STAGES[rule].reads - {"tasks"})}

    def source(wildcards):
        return STUDY.source(rule, **{name: named(wildcards) for name, named in about.items()})

    return fixed(source)


def asked_for():
    """What a study is run for: the files of the stages that are asked for."""
    return [
        f"{folder}/{file}"
        for folder, job in STUDY.folders.items()
        if STAGES[job.rule].asked
        for file in STAGES[job.rule].files
    ]


def lost_results(_):
    """Artifacts that are not there, in a study that has made some.

    Snakemake makes a missing file only for a job that has to run, so a deleted one is asked for;
    asking for all of them would make planning a third slower. Shards are left out: put together,
    they have served.
    """
    files = [
        f"{folder}/{file}"
        for folder, job in STUDY.folders.items()
        if not STAGES[job.rule].serves
        for file in STAGES[job.rule].files
    ]
    lost = [file for file in files if not os.path.exists(file)]
    return lost if len(lost) < len(files) else []


def judged(check_incomplete):
    """Snakemake's look for files that a killed job left, with one for those that by their own
    manifests are not what is asked: both are made again, and nothing but what the targets need.

    Snakemake's own comparison knows no file whose notes in .snakemake are lost, and takes it.
    """

    async def check(dag):
        found = outdated(STUDY, Path()) if workflow.is_main_process else []
        dag.forcefiles.update(one.file for one in found)
        for sentence in sentences(found):
            logger.warning(sentence)
        await check_incomplete(dag)

    return check


DAG.check_incomplete = judged(DAG.check_incomplete)


def in_folders(folders, rule, output):
    """An output of a rule in each of the folders."""
    return [file_in(folder, rule, output) for folder in folders]


def about_folders(rule, about):
    """Folder of a rule's job by each of the facts that it is about."""
    return {STUDY.place_of(Folder(rule, "", **facts)): facts for facts in about}


def identified(folders):
    """Folders with what they are about, and the identity that what stands in them has to have."""
    return {
        folder: facts | {"identity": STUDY.folders[folder].identity}
        for folder, facts in folders.items()
    }


def evaluated_conditions():
    """Folders of all evaluations: every condition in the order of the configuration, then the
    dense runs."""
    measures = {name: STUDY.measure(name) for name in CONFIG.methods}
    pruned = {
        STUDY.condition_place("evaluate", c): asdict(c) | {"measure": measures[c.method]}
        for c in STUDY.conditions
    }
    dense = {"method": "dense", "level": "0", "seed": 0, "measure": None}
    return pruned | {
        STUDY.place("evaluate_dense", dense_key=key): {"model": model} | dense
        for key, model in DENSE.items()
    }


def profiles(pairs, rule="merge_profile"):
    """Folders of the profiles, or of their samples, of (model, corpus) pairs."""
    return about_folders(rule, [dict(model=model, corpus=corpus) for model, corpus in pairs])


def classifications(named):
    """Folders of (model, corpus, classification) triples."""
    return about_folders(
        "classify",
        [dict(model=model, corpus=corpus, classification=name) for model, corpus, name in named],
    )


def of_models(rule):
    """Folders of a rule that has one job a model."""
    return about_folders(rule, [dict(model=model) for model in CONFIG.models])


def of_texts(rule):
    """Folders of a rule that has one job a corpus and model, under the key of the corpus."""
    return {
        STUDY.place_of(Folder(rule, "", *pair)): dict(name=STUDY.corpus_key(*pair))
        for pair in STUDY.extracted
    }


def parted_methods():
    """The methods that remove one part of a model at a time, for every model, with what they go
    by."""
    return [
        dict(
            model=model,
            method=name,
            part=part,
            by_layer=CONFIG.methods[name].scope == "layer",
            corpus=CONFIG.methods[name].corpus,
            classification=CONFIG.methods[name].classification,
        )
        for model, name, part in STUDY.parted
    ]


if jobs_lock := os.environ.get(JOBS_LOCK):
    # A shared lock for as long as a job's shell or any process below it lives. A cluster's node may
    # have the results on a mount without locks; the launcher finds its jobs in the queue, too.
    # Snakemake formats the prefix.
    held = shlex.quote(jobs_lock).replace("{", "{{").replace("}", "}}")
    shell.prefix(f"exec 9>>{held}; flock -s 9 || true; ")
