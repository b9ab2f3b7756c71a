"""Names that all rules share, and the input functions."""

import os
import re
import shlex
from pathlib import Path

from snakemake.exceptions import WorkflowError

from pipeline.config.study import parse_study
from pipeline.entry import PLACES
from pipeline.errors import UserError
from pipeline.launcher import JOBS_LOCK
from pipeline.study import Study, rule_source
from pipeline.tables.curves import REFUSED
from pipeline.tables.finding import FINDING

try:
    given = {key: value for key, value in config.items() if key != PLACES}
    STUDY = Study(parse_study(given, Path(workflow.configfiles[-1]).parent))
except UserError as error:
    raise WorkflowError(str(error)) from None

config[PLACES] = STUDY.places

CONFIG = STUDY.config
RESULTS = f"results/{CONFIG.study}"
SHARED = "results/shared"
LOGS = "results/logs"
TIMING = "results/timing"

MODELS = {STUDY.model_key(model): model for model in CONFIG.models}
CORPORA = {STUDY.corpus_key(*pair): pair for pair in STUDY.profiled}
PROFILES = {STUDY.profile_key(*pair): pair for pair in STUDY.profiled}
DENSE = {STUDY.dense_key(model): model for model in CONFIG.models}

PLAN = "{model}/{method}/{level}/{seed}"


def names(values):
    return "|".join(sorted(re.escape(str(value)) for value in set(values)))


wildcard_constraints:
    model=names(CONFIG.models),
    corpus=names(CONFIG.calibration),
    classification=names(CONFIG.classification),
    method=names(CONFIG.methods),
    level=names(condition.level for condition in STUDY.conditions),
    seed=r"\d+",
    shard=r"\d+",
    shards=r"\d+",
    model_key=names(MODELS),
    corpus_key=names(CORPORA),
    profile_key=names(PROFILES),
    dense_key=names(DENSE),


def model_named(wildcards):
    """The configuration's name of the model that the wildcards name or key."""
    if hasattr(wildcards, "model"):
        return wildcards.model
    if hasattr(wildcards, "dense_key"):
        return DENSE[wildcards.dense_key]
    key = getattr(wildcards, "profile_key", None) or wildcards.corpus_key
    return {**PROFILES, **CORPORA}[key][0]


def model_of(wildcards):
    """model.json of the model that the wildcards name or key."""
    return f"{SHARED}/resolve_model/{STUDY.model_key(model_named(wildcards))}/model.json"


def memory(mb):
    """`mem_mb` of a job: `mb` megabytes, and as many more on each retry, since a cluster ends a job
    that is over its memory."""

    def grown(wildcards, attempt):
        return mb * attempt

    return grown


def runtime(minutes):
    """`runtime` of a job, in minutes, which a cluster holds it to; grows as `memory` does."""

    def grown(wildcards, attempt):
        return minutes * attempt

    return grown


def gpus(wildcards):
    """Number of GPUs of a job that runs the model which the wildcards name or key."""
    return int(CONFIG.models[model_named(wildcards)].device.startswith("cuda"))


def profile_of(table):
    """An input function for a merged profile's table, by the wildcards model and corpus, or by
    model and the corpus of the method."""

    def path(wildcards):
        corpus = (
            wildcards.corpus
            if hasattr(wildcards, "corpus")
            else CONFIG.methods[wildcards.method].corpus
        )
        key = STUDY.profile_key(wildcards.model, corpus)
        return f"{SHARED}/merge_profile/{key}/{table}.parquet"

    return path


def classes_of_method(model, name):
    """The classification that a method ranks by."""
    method = CONFIG.methods[name]
    return f"{RESULTS}/classify/{model}/{method.corpus}/{method.classification}/classes.parquet"


def classes_of(wildcards):
    """`classes_of_method` by the wildcards model and method."""
    return classes_of_method(wildcards.model, wildcards.method)


def every_result():
    """All artifacts before the analysis, so that a deleted one is made anew, and what follows.

    Snakemake makes a missing file only for a job that has to run. A profile's shards are left out:
    merged, they have served.
    """
    folders = {
        f"{SHARED}/resolve_model": (MODELS, ["model.json"]),
        f"{SHARED}/extract_calibration": (CORPORA, ["sequences.parquet", "corpus.json"]),
        f"{SHARED}/merge_profile": (PROFILES, ["neurons.parquet", "layers.parquet"]),
        f"{SHARED}/evaluate_dense": (DENSE, ["samples.parquet", "sparsity.parquet"]),
        f"{RESULTS}/classify": (
            ["/".join(names) for names in STUDY.classified],
            ["classes.parquet", "classification.json"],
        ),
        f"{RESULTS}/fit": (conditions(), ["plan.json", "plan.safetensors"]),
        f"{RESULTS}/evaluate": (conditions(), ["samples.parquet", "sparsity.parquet"]),
    }
    return [
        f"{folder}/{name}/{file}"
        for folder, (names, files) in folders.items()
        for name in names
        for file in files
    ]


def conditions():
    """All pruned conditions as they stand in paths, in the order of the configuration."""
    return [f"{c.model}/{c.method}/{c.level}/{c.seed}" for c in STUDY.conditions]


def of_conditions(file):
    """A file of every condition and then of every dense evaluation, in one fixed order."""
    pruned = [f"{RESULTS}/evaluate/{condition}/{file}" for condition in conditions()]
    return pruned + [f"{SHARED}/evaluate_dense/{key}/{file}" for key in DENSE]


def all_conditions():
    """What `of_conditions` lists, as facts."""
    pruned = [
        dict(model=c.model, method=c.method, level=c.level, seed=c.seed) for c in STUDY.conditions
    ]
    return pruned + [dict(model=m, method="dense", level="0", seed=0) for m in DENSE.values()]


if jobs_lock := os.environ.get(JOBS_LOCK):
    # A shared lock for as long as a job's shell or any process below it lives. A cluster's node may
    # have the results on a mount without locks; the launcher finds its jobs in the queue, too.
    shell.prefix(f"exec 9>>{shlex.quote(jobs_lock)}; flock -s 9 || true; ")
