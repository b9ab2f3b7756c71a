"""The one table of stages: what every rule makes, where, from what, and at what cost.

The rules take their paths from it, and whatever plans, counts, removes or describes results reads
it. A new rule needs its text in `rules/`, its script, and its entry here with `each` and `inputs`.
If a rule does not simply have one job for each model, corpus, profile or classification, its jobs
are written out in `planning.folders`, and their inputs in `planning.inputs`.
"""

from functools import partial

from pipeline.models import conversion
from pipeline.planning import work
from pipeline.planning.folder import Folder
from pipeline.planning.identities import Identities
from pipeline.planning.stage import Cost, Output, Read, Stage
from pipeline.registry import ANALYSES
from pipeline.report.section import files as section_files
from pipeline.tables import (
    classes,
    converted,
    model,
    neurons,
    overlap,
    plan,
    power_law,
    report,
    sampled,
    samples,
    sequences,
)
from pipeline.tables.base import Arrays, Document, Table

#: What says how the files of a converted model, which carry no manifest, were written.
CONVERTED_FILE = "converted.json"
#: The same of a report's files.
REPORT_FILES = "files.json"
#: Assumed costs of stages that read tables, that tokenize, and that run a model.
_TABLES, _TEXT = Cost(0.6, row=2e-5), Cost(4.2, token=5e-6, bytes_a_row=2.0)
_RUNS = Cost(5.5, token=5e-5, bytes_a_row=200.0)


_CONDITION = "{model}/{method}/{level}/{seed}"
_SHARD = "{shard}-of-{shards}"
_LM = (
    "torch", "transformers", "tokenizers", "lm_eval", "datasets", "jinja2", "numpy", "polars",
    "pyarrow",
)  # fmt: skip
_EXTRACTS = ("transformers", "tokenizers", "datasets", "jinja2", "pyarrow")
#: Packages of the project that nearly every stage may import, and those that run a model.
_GROUND = frozenset({"config", "numerics", "registry", "store", "tables"})
_ON_MODELS = _GROUND | {"models"}
_MODELS, _TEXTS = "Models and text", "Profiles: all tokens"
_FITS = "Methods and their evaluation"
_SAMPLES, _COUNTS = (
    Output("samples.parquet", samples.SAMPLES),
    Output("counts.parquet", samples.COUNTS),
)
_SPARSITY = Output("sparsity.parquet", samples.SPARSITY)
_PLAN = {
    "plan": Output("plan.json", plan.PLAN),
    "arrays": Output("plan.safetensors", plan.PLAN_ARRAYS),
}
_EVALUATED_PARTS = {"sample_shards": "samples", "count_shards": "counts"}
_TRAINING = Output("training.parquet", plan.TRAINING)


def _written(file: str) -> Table | Document | Arrays:
    """The table that an analysis writes; its module is loaded for it, which planning does not
    need."""
    table: Table | Document | Arrays = ANALYSES.load(file).table
    return table


def _reads(*what: Read) -> frozenset[Read]:
    return frozenset(what)


def _compared(study: Identities, folder: Folder) -> object:
    """What counts as overlap, and the tasks that a corpus is compared with."""
    return [study.overlap(folder.corpus), study.task_identities]


#: Rule of a study -> its stage, in the order of a run.
STAGES: dict[str, Stage] = {
    "convert_model": Stage(
        "model",
        _MODELS,
        "shared/convert_model/{model_key}",
        {
            "converted": Output(CONVERTED_FILE, converted.CONVERTED),
            **{name: Output(file) for name, file in conversion.FILES.items()},
        },
        ("torch", "transformers", "tokenizers", "gguf"),
        _ON_MODELS,
        work.converting,
        Cost(30.0, token=2e-8),
        told_by=CONVERTED_FILE,
    ),
    "resolve_model": Stage(
        "model",
        _MODELS,
        "shared/resolve_model/{model_key}",
        {"model": Output("model.json", model.MODEL)},
        ("torch", "transformers"),
        _ON_MODELS,
        work.resolving,
        Cost(4.0, bytes_a_row=1100.0),
        _reads("model"),
    ),
    "extract_shard": Stage(
        "calibration",
        _MODELS,
        f"shared/extract_shard/{{corpus_key}}/{_SHARD}",
        {"documents": Output("documents.parquet", sequences.DOCUMENTS)},
        _EXTRACTS,
        _ON_MODELS | {"calibration", "tasks"},
        work.extracting,
        _TEXT,
        _reads("corpus"),
        serves="extract_calibration",
        parts={"document_shards": "documents"},
    ),
    "extract_calibration": Stage(
        "calibration",
        _MODELS,
        "shared/extract_calibration/{corpus_key}",
        {
            "sequences": Output("sequences.parquet", sequences.SEQUENCES),
            "texts": Output("texts.parquet", sequences.TEXTS),
            "corpus": Output("corpus.json", sequences.CORPUS),
        },
        _EXTRACTS,
        _ON_MODELS | {"calibration", "tasks"},
        work.extracting,
        _TEXT,
        _reads("corpus"),
    ),
    "check_overlap": Stage(
        "calibration",
        _MODELS,
        "shared/check_overlap/{corpus_key}/{overlap_key}",
        {"overlap": Output("overlap.json", overlap.OVERLAP)},
        ("jinja2", "polars", "pyarrow"),
        _GROUND | {"calibration", "tasks"},
        work.checking,
        Cost(1.0, token=5e-6, bytes_a_row=2000.0),
        _reads("tasks"),
        each="text",
        inputs={"texts": ("extract_calibration", "texts")},
        settings=_compared,
    ),
    "clear_tasks": Stage(
        "calibration",
        _MODELS,
        "shared/clear_tasks/{tasks_key}",
        {"cleared": Output("cleared.json", overlap.CLEARED)},
        (),
        frozenset({"store", "tables", "tasks"}),
        work.clearing,
        Cost(0.5, bytes_a_row=1000.0),
        _reads("tasks"),
    ),
    "profile_sample": Stage(
        "profile",
        "Profiles: sampled tokens",
        "shared/profile_sample/{profile_key}",
        {
            "thresholds": Output("thresholds.parquet", sampled.THRESHOLDS),
            "norms": Output("norms.parquet", sampled.NORMS),
            "tokens": Output("tokens.parquet", sampled.TOKENS),
            "cett_curve": Output("cett_curve.parquet", sampled.CETT_CURVE),
            "always_active": Output("always_active.parquet", sampled.ALWAYS_ACTIVE),
            "prompt_overlaps": Output("prompt_overlaps.parquet", sampled.PROMPT_OVERLAPS),
        },
        ("torch", "transformers", "numpy", "polars", "pyarrow"),
        _ON_MODELS | {"profiling"},
        work.sampling,
        _RUNS,
        _reads("model"),
    ),
    "profile_shard": Stage(
        "profile",
        "Profiles: shards",
        f"shared/profile_shard/{{profile_key}}/{_SHARD}",
        {
            "neurons": Output("neurons.parquet", neurons.NEURON_BLOCKS),
            "channels": Output("channels.parquet", neurons.CHANNEL_BLOCKS),
            "histograms": Output("histograms.parquet", neurons.HISTOGRAMS),
        },
        ("torch", "transformers", "numpy", "polars", "pyarrow"),
        _ON_MODELS | {"profiling"},
        work.profiling,
        _RUNS,
        _reads("model"),
        serves="merge_profile",
        parts={
            "neuron_shards": "neurons",
            "channel_shards": "channels",
            "histogram_shards": "histograms",
        },
        least_shards=1,
    ),
    "merge_profile": Stage(
        "profile",
        _TEXTS,
        "shared/merge_profile/{profile_key}",
        {
            "neurons": Output("neurons.parquet", neurons.NEURONS),
            "channels": Output("channels.parquet", neurons.CHANNELS),
            "histograms": Output("histograms.parquet", neurons.HISTOGRAMS),
            "layers": Output("layers.parquet", neurons.LAYERS),
        },
        ("numpy", "polars", "pyarrow"),
        frozenset({"profiling", "store", "tables"}),
        work.merging,
        _TABLES,
    ),
    "classify": Stage(
        "classify",
        "Hot and cold",
        "{study}/classify/{model}/{corpus}/{classification}",
        {
            "classes": Output("classes.parquet", classes.CLASSES),
            "summary": Output("classification.json", classes.CLASSIFICATION),
        },
        ("numpy", "polars", "pyarrow", "torch", "transformers"),
        _ON_MODELS | {"classification"},
        work.classifying,
        _TABLES,
        _reads("model", "classification"),
    ),
    "power_law": Stage(
        "classify",
        "Hot and cold",
        "{study}/power_law/{model}",
        {
            "power_law": Output("power_law.parquet", power_law.POWER_LAW),
            "ranked": Output("ranked.parquet", power_law.RANKED),
            "hot_overlaps": Output("hot_overlaps.parquet", power_law.HOT_OVERLAPS),
        },
        ("numpy", "polars", "pyarrow"),
        frozenset({"classification", "numerics", "store", "tables"}),
        work.spreading,
        _TABLES,
        each="model",
        inputs={"neurons": ("merge_profile", "neurons")},
    ),
    "prepare": Stage(
        "fit",
        _FITS,
        "{study}/prepare/{model}/{method}",
        {"prepared": Output("prepared.safetensors", plan.PREPARED), "training": _TRAINING},
        ("torch", "transformers", "numpy", "polars", "safetensors"),
        _ON_MODELS | {"evidence", "methods", "profiling"},
        work.fitting,
        _RUNS,
        _reads("model", "method"),
    ),
    "fit": Stage(
        "fit",
        _FITS,
        f"{{study}}/fit/{_CONDITION}",
        _PLAN,
        ("numpy", "polars", "safetensors"),
        _ON_MODELS | {"methods"},
        work.reading,
        _TABLES,
        _reads("method"),
    ),
    "fit_with_model": Stage(
        "fit",
        _FITS,
        f"{{study}}/fit/{_CONDITION}",
        {**_PLAN, "training": _TRAINING},
        ("torch", "transformers", "numpy", "polars", "safetensors"),
        _ON_MODELS | {"evidence", "methods", "profiling"},
        work.fitting,
        _RUNS,
        _reads("model", "method"),
    ),
    "evaluate_shard": Stage(
        "evaluate",
        _FITS,
        f"{{study}}/evaluate_shard/{_CONDITION}/{_SHARD}",
        {"samples": _SAMPLES, "counts": _COUNTS},
        _LM,
        _ON_MODELS | {"evaluation", "methods", "tasks"},
        work.evaluating,
        _RUNS,
        _reads("model", "tasks", "method"),
        serves="evaluate",
        parts=_EVALUATED_PARTS,
    ),
    "evaluate": Stage(
        "evaluate",
        _FITS,
        f"{{study}}/evaluate/{_CONDITION}",
        {"samples": _SAMPLES, "sparsity": _SPARSITY},
        _LM,
        _ON_MODELS | {"evaluation", "methods", "tasks"},
        work.evaluating,
        _RUNS,
        _reads("model", "tasks", "method"),
    ),
    "evaluate_dense_shard": Stage(
        "evaluate",
        _FITS,
        f"shared/evaluate_dense_shard/{{dense_key}}/{_SHARD}",
        {"samples": _SAMPLES, "counts": _COUNTS},
        _LM,
        _ON_MODELS | {"evaluation", "tasks"},
        work.evaluating,
        _RUNS,
        _reads("model", "tasks"),
        serves="evaluate_dense",
        parts=_EVALUATED_PARTS,
    ),
    "evaluate_dense": Stage(
        "evaluate",
        _FITS,
        "shared/evaluate_dense/{dense_key}",
        {"samples": _SAMPLES, "sparsity": _SPARSITY},
        _LM,
        _ON_MODELS | {"evaluation", "tasks"},
        work.evaluating,
        _RUNS,
        _reads("model", "tasks"),
    ),
    "analyse": Stage(
        "analyse",
        "Analysis",
        "{study}/analyse",
        {file: Output(file, partial(_written, file)) for file in ANALYSES},
        ("jinja2", "numpy", "polars", "pyarrow", "scipy"),
        _GROUND | {"analysis", "tasks"},
        work.analysing,
        Cost(1.0, token=6e-4, bytes_a_row=5000.0),
        _reads("tasks"),
    ),
    "build_report": Stage(
        "report",
        "Analysis",
        "{study}/report",
        {
            "page": Output("index.html"),
            "sentences": Output("finding.txt"),
            **{file: Output(file) for file in section_files()},
            "files": Output(REPORT_FILES, report.REPORT),
        },
        ("altair", "vl-convert-python", "jinja2", "numpy", "polars"),
        _GROUND | {"report"},
        work.analysing,
        Cost(1.3, row=0.03, bytes_a_row=17000.0),
        log="{study}/build_report",
        asked=True,
        told_by=REPORT_FILES,
    ),
}

#: Rule -> its number in a run.
ORDER = {rule: number for number, rule in enumerate(STAGES)}
