"""Names that all rules share, and the input functions."""

import inspect
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from pipeline.config.study import parse_study
from pipeline.digest import versions
from pipeline.entry import PLACES
from pipeline.errors import UserError
from pipeline.launcher import JOBS_LOCK
from pipeline.runs import cost
from pipeline.runs.jobs import job_like, jobs_of, size_of, write_jobs
from pipeline.runs.outdated import outdated, sentences
from pipeline.study import FILES, REPORT_FILES, Study, read_config, rule_source
from pipeline.tables.curves import REFUSED
from pipeline.tables.finding import FINDING

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
SHARED = "results/shared"
LOGS = "results/logs"

MODELS = {STUDY.model_key(model): model for model in CONFIG.models}
CORPORA = {STUDY.corpus_key(*pair): pair for pair in STUDY.extracted}
PROFILES = {STUDY.profile_key(*pair): pair for pair in STUDY.profiled}
DENSE = {STUDY.dense_key(model): model for model in CONFIG.models}

PLAN = "{model}/{method}/{level}/{seed}"


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
    for name in ("model_key", "dense_key", "profile_key", "corpus_key"):
        if hasattr(wildcards, name):
            return KEYED[getattr(wildcards, name)][0]


@fixed
def model_of(wildcards):
    """model.json of the model that the wildcards name or key."""
    return f"{SHARED}/resolve_model/{STUDY.model_key(model_named(wildcards))}/model.json"


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


def work_of(rule, wildcards):
    """A job of the rule on the model and corpus at hand."""
    about_model = rule not in ("analyse", "build_report")
    model = model_named(wildcards) if about_model else ""
    key = getattr(wildcards, "profile_key", None) or getattr(wildcards, "corpus_key", None)
    corpus = KEYED[key][1] if key else getattr(wildcards, "corpus", None)
    if model and SIZES[model] is None:
        sizes_now()
    # What fitting costs hangs on the method; what evaluating costs does not.
    method = wildcards.method if rule in ("prepare", "fit_with_model") else None
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


def other_neurons(wildcards):
    """Neurons of the profile that the policy at hand looks at besides its own, if any."""
    section = CONFIG.classification[wildcards.classification]
    if STUDY.needs(section.policy) != "profile":
        return []
    return f"{SHARED}/merge_profile/{STUDY.profile_key(wildcards.model, section.other)}/neurons.parquet"


def other_sequences(wildcards):
    """Sequences that the policy at hand measures a loss on, if any."""
    section = CONFIG.classification[wildcards.classification]
    if STUDY.needs(section.policy) != "sequences":
        return []
    key = STUDY.corpus_key(wildcards.model, section.other)
    return f"{SHARED}/extract_calibration/{key}/sequences.parquet"


def classes_of_method(model, name):
    """The classification that a method ranks by."""
    method = CONFIG.methods[name]
    return f"{RESULTS}/classify/{model}/{method.corpus}/{method.classification}/classes.parquet"


@fixed
def ranking_of(wildcards):
    """What a method at hand ranks by: the profile's neurons and their classes."""
    return dict(
        record=model_of(wildcards),
        neurons=neurons_of(wildcards.model, CONFIG.methods[wildcards.method].corpus),
        classes=classes_of_method(wildcards.model, wildcards.method),
        distractor=distractors_of(wildcards),
        matched=matched_of(wildcards),
        activity=activity_of(wildcards),
    )


def activity_of(wildcards):
    """The profile that tells the activity of the neurons which a method at hand removes, if any."""
    if not STUDY.removes(wildcards.method):
        return []
    return [neurons_of(wildcards.model, STUDY.activity_corpus)]


def matched_of(wildcards):
    """The plan that the condition at hand takes as many neurons of each layer as, if any."""
    other = STUDY.matched_plan(wildcards.model, wildcards.method, wildcards.level)
    if other is None:
        return []
    folder = f"{RESULTS}/fit/{other.model}/{other.method}/{other.level}/{other.seed}"
    return [f"{folder}/plan.json", f"{folder}/plan.safetensors"]


def neurons_of(model, corpus):
    """The neurons of a profile."""
    return f"{SHARED}/merge_profile/{STUDY.profile_key(model, corpus)}/neurons.parquet"


def distractors_of(wildcards):
    """Neurons of the profiles that the method at hand looks at besides its own."""
    corpora = STUDY.read_by(wildcards.method, "profile")
    return [neurons_of(wildcards.model, corpus) for corpus in corpora]


@fixed
def evidence_of(wildcards):
    """What a method at hand is fitted on with the model: its text, its profile, its classes."""
    method = CONFIG.methods[wildcards.method]
    key = STUDY.profile_key(wildcards.model, method.corpus)
    sequences = STUDY.corpus_key(wildcards.model, method.corpus)
    classes = classes_of_method(wildcards.model, wildcards.method) if method.classification else []
    return dict(
        record=model_of(wildcards),
        sequences=f"{SHARED}/extract_calibration/{sequences}/sequences.parquet",
        neurons=f"{SHARED}/merge_profile/{key}/neurons.parquet",
        histograms=f"{SHARED}/merge_profile/{key}/histograms.parquet",
        thresholds=f"{SHARED}/profile_sample/{key}/thresholds.parquet",
        norms=f"{SHARED}/profile_sample/{key}/norms.parquet",
        classes=classes,
        distractor=distractors_of(wildcards),
    )


@fixed
def prepared_of(wildcards):
    """What the levels of a method at hand share, if anything."""
    if not STUDY.prepares(wildcards.method):
        return []
    return f"{RESULTS}/prepare/{wildcards.model}/{wildcards.method}/prepared.safetensors"


@fixed
def text_of(wildcards):
    """Further text that the compensation of a method at hand is fitted on."""
    corpora = STUDY.read_by(wildcards.method, "sequences")
    keys = [STUDY.corpus_key(wildcards.model, corpus) for corpus in corpora]
    return [f"{SHARED}/extract_calibration/{key}/sequences.parquet" for key in keys]


def shards_of(folder, table, number):
    """A table of all shards of what is made in `folder`; the folder's wildcards stay."""
    return [f"{folder}/{shard}-of-{number}/{table}.parquet" for shard in range(number)]


def if_divided(folder, table, number):
    """`shards_of`, or nothing where one job does it all."""
    return shards_of(folder, table, number) if number > 1 else []


def as_it_is(value):
    """A param function that gives the value: braces in a plain one's texts count as wildcards."""

    def given(wildcards):
        return value

    return fixed(given)


def undivided(section):
    """A section as params hold it: into how many jobs the work is divided changes no result."""
    return section | {"shards": 1}


#: The section `profile` as params of what is profiled for every study; more is collected on demand.
PROFILE = undivided(CONFIG.profile.model_dump(exclude={"collect", "residual_tokens"}))


def collected():
    """What is collected besides the profiles, for every model and corpus."""
    return [
        f"{folder}/{file}"
        for folder, made in STUDY.folders.items()
        if made.rule.startswith("collect_")
        for file in FILES[made.rule]
    ]


#: What a key in a path stands for: a model, or a model and a corpus.
KEYED = {
    **{key: (model, "") for key, model in {**MODELS, **DENSE}.items()},
    **CORPORA,
    **PROFILES,
}


def source_of(rule, **named):
    """A param function: what a rule's job rests on besides configuration, `Study.source`.

    `named` says which wildcard names the model, corpus, method or classification; a key stands for
    its own model or corpus. Of the wildcards alone: Snakemake compares no param that is made of
    inputs or outputs with the last run's.
    """

    def source(wildcards):
        values = {about: named_by(wildcards[name], about) for about, name in named.items()}
        return STUDY.source(rule, **values)

    return fixed(source)


def named_by(value, about):
    """The model or corpus that a key stands for, or the name itself."""
    return KEYED[value][about == "corpus"] if value in KEYED else value


def lost_results(_):
    """Artifacts that are not there, in a study that has made some.

    Snakemake makes a missing file only for a job that has to run, so a deleted one is asked for;
    asking for all of them would make planning a third slower. Shards are left out: put together,
    they have served.
    """
    files = [
        f"{folder}/{file}"
        for folder, job in STUDY.folders.items()
        if not job.rule.endswith("_shard")
        for file in FILES[job.rule]
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


def conditions():
    """All pruned conditions as they stand in paths, in the order of the configuration."""
    return [f"{c.model}/{c.method}/{c.level}/{c.seed}" for c in STUDY.conditions]


def of_conditions(file):
    """A file of every condition and then of every dense evaluation, in one fixed order."""
    pruned = [f"{RESULTS}/evaluate/{condition}/{file}" for condition in conditions()]
    return pruned + [f"{SHARED}/evaluate_dense/{key}/{file}" for key in DENSE]


def all_conditions():
    """What `of_conditions` lists, as facts."""
    measures = {name: STUDY.measure(name) for name in CONFIG.methods}
    pruned = [
        dict(
            model=c.model,
            method=c.method,
            level=c.level,
            seed=c.seed,
            measure=measures[c.method],
        )
        for c in STUDY.conditions
    ]
    return pruned + [
        dict(model=m, method="dense", level="0", seed=0, measure=None) for m in DENSE.values()
    ]


if jobs_lock := os.environ.get(JOBS_LOCK):
    # A shared lock for as long as a job's shell or any process below it lives. A cluster's node may
    # have the results on a mount without locks; the launcher finds its jobs in the queue, too.
    # Snakemake formats the prefix.
    held = shlex.quote(jobs_lock).replace("{", "{{").replace("}", "}}")
    shell.prefix(f"exec 9>>{held}; flock -s 9 || true; ")
