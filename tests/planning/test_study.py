"""A planned study: its conditions, its keys, and what it refuses before any job."""

import json

import pytest
import yaml

from pipeline.config.study import parse_study
from pipeline.errors import UserError
from pipeline.planning import orders, validation
from pipeline.planning.conditions import Condition
from pipeline.planning.sources import RULES, rule_source
from pipeline.planning.stages import STAGES
from pipeline.planning.study import PROJECT, Study, read_config
from pipeline.registry import ARCHITECTURES
from pipeline.store import closures
from pipeline.tasks import task as tasks


@pytest.fixture
def plan(study_values):
    """A function that plans the small study with changes at dotted paths."""

    def planned(**changes):
        for path, value in changes.items():
            *parts, last = path.split("__")
            section = study_values
            for part in parts:
                section = section[part]
            section[last] = value
        return Study(parse_study(study_values))

    return planned


def test_what_is_trained_is_known_by_the_folder_of_its_loss_curves(plan):
    """Predictors are shared by all levels; compensations are of a level and a seed."""
    both = {"sparsifier": "predicted", "compensation": "spon", "corpus": "reasoning"}
    dense = {"compensation": "spon_dense", "corpus": "reasoning", "levels": ["whole"]}
    closed = {"sparsifier": "teal", "compensation": "mean_bias", "corpus": "reasoning"}
    study = plan(
        methods__both=both | {"levels": [0.5, 0.75]},
        methods__control=dense | {"seeds": [3, 4]},
        methods__closed=closed | {"levels": [0.5]},
    )
    entropy, divergence, text = (
        "cross-entropy of which neurons are active, nats a neuron",
        "KL divergence from the original model's next token, nats a token",
        "cross-entropy of the next token, nats a token",
    )
    (model,) = study.config.models
    told = {tuple(facts.values()): place for place, facts in study.trained.items()}
    assert list(told) == [
        (model, "both", None, None, entropy),
        (model, "both", "0.5", 0, divergence),
        (model, "both", "0.75", 0, divergence),
        (model, "control", "whole", 3, text),
        (model, "control", "whole", 4, text),
    ]
    for facts, place in told.items():
        folder = study.folders[place]
        assert folder.method == facts[1] and "training" in STAGES[folder.rule].outputs


def test_conditions_are_models_by_methods_by_levels_by_seeds_in_order(plan):
    random = {
        "sparsifier": "drop_random",
        "corpus": "reasoning",
        "classification": "coverage80",
        "levels": [0.5],
        "seeds": [0, 7],
    }
    assert plan(methods__random=random).conditions == [
        Condition("backbone", "drop_cold", "0.25", 0),
        Condition("backbone", "drop_cold", "cold", 0),
        Condition("backbone", "random", "0.5", 0),
        Condition("backbone", "random", "0.5", 7),
    ]


def test_a_level_in_a_path_leads_back_to_the_configured_one(plan):
    study = plan()
    assert study.fitting("drop_cold", "0.25")["level"] == 0.25
    assert study.fitting("drop_cold", "cold")["level"] == "cold"


def test_levels_that_differ_have_different_folders(plan):
    levels = [0.12345678, 0.12345679, 0.1, 0.1 + 2**-56, 1e-7, 1e-8]
    study = plan(methods__drop_cold__levels=levels, analysis__reference_level=0.1)
    folders = [condition.level for condition in study.conditions]
    assert len(set(folders)) == len(levels)
    assert [study.fitting("drop_cold", folder)["level"] for folder in folders] == levels


def test_every_classification_is_made_on_every_corpus_in_use(plan):
    study = plan()
    assert study.profiled == [("backbone", "reasoning")]
    assert study.classified == [
        ("backbone", "reasoning", "coverage80"),
        ("backbone", "reasoning", "of_model"),
    ]
    assert (study.main_corpus, study.main_classification) == ("reasoning", "coverage80")


@pytest.mark.parametrize(
    ("sparsifier", "changes", "said"),
    [
        ("drop_decile", {"levels": [0.5]}, r"levels: .*one decile .*from 1 to 10; given \[0\.5\]"),
        ("drop_decile", {"levels": [0, 5, 11]}, r"from 1 to 10; given \[0, 11\]"),
        ("drop_decile", {"levels": ["cold"]}, r"given \['cold'\]"),
        ("drop_cold_layer", {"levels": [0.25]}, r"one layer at a time.*from 0; given \[0\.25\]"),
        (
            "drop_cold_layer",
            {"levels": [1], "scope": "model"},
            "scope: .*one layer at a time; give layer",
        ),
        ("drop_cold", {"levels": [1]}, r"levels: drop_cold removes a share .*given \[1\]"),
    ],
)
def test_levels_of_the_other_kind_are_refused(plan, sparsifier, changes, said):
    changed = {f"methods__drop_cold__{key}": value for key, value in changes.items()}
    changed |= {"analysis__reference_level": 0.1, "methods__second": SECOND}
    with pytest.raises(UserError, match=rf"methods\.drop_cold: .*{said}"):
        plan(methods__drop_cold__sparsifier=sparsifier, **changed)


def matched(**changes):
    """A method that draws as many as `drop_cold` of each layer."""
    return {
        "sparsifier": {"name": "drop_random", "match": "drop_cold"}, "corpus": "reasoning",
        "classification": "coverage80", "levels": [0.25], "seeds": [0, 1], **changes,
    }  # fmt: skip


def test_steps_are_shown_of_the_coldest_and_its_control_at_the_reference_level(plan):
    drawn = matched(sparsifier="drop_random")
    study = plan(methods__drawn=drawn)
    assert study.by_steps == ["drop_cold", "drawn"] and study.notes() == []
    for changes in (
        {"levels": [0.5]}, {"sparse_from": 3}, {"scope": "model"},
        {"sparsifier": {"name": "drop_random", "among": "cold"}},
    ):  # fmt: skip
        study = plan(methods__drawn={**drawn, **changes})
        assert study.by_steps == ["drop_cold"], changes
        (note,) = study.notes()
        assert "the coldest neurons of every layer has level 0.25 beside one that draws" in note
    # Another's number.
    other = {**drawn, "sparsifier": "drop_cold", "seeds": [0]}
    late = matched(sparsifier={"name": "drop_random", "match": "other"})
    assert plan(methods__other=other, methods__drawn=late).by_steps == ["drop_cold"]


def test_without_the_coldest_there_is_nothing_to_note(plan):
    drawn = matched(sparsifier="drop_random")
    small = plan(methods__drop_cold__sparsifier="drop_small", methods__drawn=drawn)
    assert small.by_steps == [] and small.notes() == []


def test_a_matched_method_rests_on_the_plan_that_it_is_matched_to(plan):
    study = plan(methods__drawn=matched())
    assert study.matched_to("drawn") == "drop_cold" and study.matched_to("drop_cold") is None
    other = study.matched_plan("backbone", "drawn", "0.25")
    assert (other.method, other.level, other.seed) == ("drop_cold", "0.25", 0)
    assert study.orders[1] == {
        "method": "drawn", "order": "random", "scope": "layer", "corpus": "reasoning",
        "match": "drop_cold", "among": "all", "classification": "coverage80",
        "sparse_from": "start",
    }  # fmt: skip
    folder = "results/small/fit/backbone/drawn/0.25/0"
    before = study.folders[folder].identity
    # Whatever decides the one plan is a part of the other's identity.
    changed = plan(methods__drawn=matched(), methods__drop_cold__sparsifier="drop_small")
    assert changed.folders[folder].identity != before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"sparsifier": {"name": "drop_random", "match": "drop_clod"}},
            "unknown method 'drop_clod'. Did you mean 'drop_cold'",
        ),
        (
            {"sparsifier": {"name": "drop_random", "match": "drawn"}},
            "drawn is itself matched to another method",
        ),
        ({"levels": [0.25, 0.5]}, "drop_cold has no level 0.5"),
        ({"scope": "model"}, "drop_cold has scope layer, this method model"),
        ({"sparse_from": 3}, "drop_cold removes from start on, this method from 3 on"),
        ({"measure": "neuron_sparsity"}, "a sparsifier alone and no measure"),
        (
            {"sparsifier": {"name": "drop_random", "among": "warm"}},
            "'warm' is refused",
        ),
    ],
)
def test_what_cannot_be_matched_is_refused(plan, changes, said):
    with pytest.raises(UserError, match=said):
        plan(methods__drawn=matched(**changes))


def test_parts_and_what_goes_token_by_token_cannot_be_matched(plan):
    deciles = {"sparsifier": "drop_decile", "corpus": "reasoning", "classification": "coverage80"}
    teal = {"sparsifier": "teal", "corpus": "reasoning", "levels": [0.25]}
    for other in ({**deciles, "levels": [1]}, teal):
        drawn = matched(sparsifier={"name": "drop_random", "match": "other"})
        with pytest.raises(UserError, match="does not remove neurons one by one in an order"):
            plan(methods__other=other, methods__drawn=drawn)


def test_the_activity_corpus_is_profiled_and_is_the_first_unless_named(plan, study_values):
    assert plan().activity_corpus == "reasoning"
    study_values["calibration"]["more"] = study_values["calibration"]["reasoning"] | {
        "source": "builtin:prose"
    }
    study = plan(analysis__activity_corpus="more")
    assert ("backbone", "more") in study.profiled
    with pytest.raises(UserError, match=r"analysis\.activity_corpus: unknown corpus 'moor'"):
        plan(analysis__activity_corpus="moor")


SECOND = {
    "sparsifier": "drop_small", "corpus": "reasoning", "classification": "coverage80",
    "levels": [0.1],
}  # fmt: skip


WANDA = {"name": "wanda"}
HALF = {"name": "wanda", "pattern": "2:4"}
PLAIN = {"classification": None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"sparsifier": None},
            "a method needs at least one part; give one of weights, quantization",
        ),
        ({"classification": None}, "classification: drop_cold needs one"),
        (
            {"sparsifier": {"name": "predicted", "neurons": "hot_only"}, "classification": None},
            "classification: predicted needs one",
        ),
        (
            {"sparsifier": None, "weights": HALF, "levels": [0.6]},
            r"levels: the pattern 2:4 removes 0\.5 of the weights; given \[0\.6\]",
        ),
        (
            {"weights": {**HALF, "share": 0.6}},
            r"weights\.share: the pattern 2:4 removes 0\.5 of the weights; given \[0\.6\]",
        ),
        ({"measure": "neuron_sparsity"}, r"a level of drop_cold is a number .*given \['cold'\]"),
        (
            {**PLAIN, "sparsifier": "teal", "scope": "model", "levels": [0.5]},
            "scope: teal goes token by token.*give layer",
        ),
        ({**PLAIN, "sparsifier": "teal"}, r"a level of teal is a number .*given \['cold'\]"),
        (
            {**PLAIN, "sparsifier": "griffin"},
            "sparse_from: griffin .*prompt ends; give continuation",
        ),
        ({"weights": WANDA}, r"weights\.share: with a sparsifier the levels are the sparsifier's"),
        (
            {
                **PLAIN,
                "sparsifier": None,
                "weights": {"name": "wanda", "share": 0.5},
                "levels": [0.5],
            },
            r"weights\.share: without a sparsifier the levels are the shares of weights removed",
        ),
        (
            {**PLAIN, "sparsifier": None, "weights": WANDA, "levels": ["whole"]},
            r"levels: wanda removes a share of the weights, .*given \['whole'\]",
        ),
        (
            {**PLAIN, "sparsifier": None, "quantization": "int4", "levels": [0.5]},
            r"levels: this method has none, so give \[whole\]; given \[0\.5\]",
        ),
        (
            {"sparsifier": None, "quantization": "int4", "levels": ["whole"]},
            "classification: without a sparsifier it has no use; give null",
        ),
        (
            {"sparsifier": None, "quantization": "int4", "measure": "neuron_sparsity"},
            "measure: without a sparsifier it has no use; give null",
        ),
        (
            {"compensation": "mean_bias", "sparse_from": 8},
            "sparse_from: mean_bias becomes a bias, which is added at every token; give start",
        ),
        (
            {"sparsifier": {"name": "selective", "distractor": "poems"}},
            r"sparsifier\.distractor: unknown corpus 'poems'",
        ),
        (
            {"compensation": {"name": "spon", "corpus": "poems"}},
            r"compensation\.corpus: unknown corpus 'poems'",
        ),
        (
            {"sparsifier": "drop_decile", "measure": "neuron_sparsity", "levels": [1]},
            "measure: drop_decile removes parts by number; give null",
        ),
        ({"sparsifier": "teal"}, "classification: teal has no use for one; give null"),
        (
            {"sparsifier": {"name": "selective", "distractor": "reasoning"}},
            r"sparsifier\.distractor: reasoning is the method's own corpus",
        ),
        (
            {**PLAIN, "sparsifier": None, "compensation": "mean_bias", "levels": ["whole"]},
            "compensation: nothing is left out, so there is no mean",
        ),
        (
            {"compensation": "spon_dense"},
            "compensation: the control is of the dense model; there is also sparsifier",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(plan, changes, said):
    changed = {f"methods__drop_cold__{key}": value for key, value in changes.items()}
    changed |= {"analysis__reference_level": 0.1, "methods__second": SECOND}
    with pytest.raises(UserError, match=rf"methods\.drop_cold: .*{said}"):
        plan(**changed)


def test_what_methods_are_fitted_on_and_compared_at(plan):
    methods = {
        "teal": TEAL,
        "own": {**TEAL, "measure": None},
        "greedy": {**TEAL, "sparsifier": {"name": "teal", "allocation": "greedy"}},
        "wanda": {"weights": WANDA, "corpus": "reasoning", "levels": [0.5]},
        "neurons": {
            "weights": {"name": "wanda", "pattern": "channels"}, "corpus": "reasoning",
            "levels": [0.5],
        },
        "both": {**TEAL, "weights": {"name": "wanda", "share": 0.5}},
        "int4": {"quantization": "int4", "corpus": "reasoning", "levels": ["whole"]},
        "cold_on_int4": {**SECOND, "quantization": "int4"},
    }  # fmt: skip
    study = plan(**{f"methods__{name}": method for name, method in methods.items()})
    assert [name for name in study.config.methods if study.by_tables(name)] == ["drop_cold"]
    assert [name for name in methods if study.prepares(name)] == ["greedy", "both"]
    assert {name: study.measure(name) for name in study.config.methods} == {
        "drop_cold": "neurons_removed",
        **dict.fromkeys(("teal", "greedy", "wanda", "both"), "model_weight_sparsity"),
        **dict.fromkeys(("own", "neurons", "int4", "cold_on_int4")),
    }
    assert [study.arm(name) for name in study.config.methods] == ["drop_cold", *[""] * 8]
    rules = {f.method: f.rule for f in study.folders.values() if f.rule.startswith("fit")}
    assert rules == {"drop_cold": "fit", **dict.fromkeys(methods, "fit_with_model")}
    prepared = [f.method for f in study.folders.values() if f.rule == "prepare"]
    assert prepared == ["greedy", "both"]


def test_a_study_without_a_ranking_is_told_of_its_first_classification(plan, study_values):
    del study_values["methods"]["drop_cold"], study_values["analysis"]["reference_level"]
    study = plan(methods__teal=TEAL)
    assert study.main_classification == "coverage80"
    assert study.folders["results/small/analyse"].identity
    with pytest.raises(UserError, match=r"reference_level: 0\.3 is not a level of any method"):
        plan(analysis__reference_level=0.3)


def test_methods_that_do_not_start_at_once_are_not_compared_at_a_measure(plan):
    study = plan(methods__teal={**TEAL, "sparse_from": "continuation"})
    assert study.measure("teal") is None


def test_corpora_that_options_name_are_profiled_or_extracted(plan, study_values):
    prose = {**study_values["calibration"]["reasoning"], "source": "builtin:prose"}
    study_values["calibration"] |= {"prose": prose, "more": prose, "unused": prose}
    study = plan(
        methods__selective={
            **SECOND, "sparsifier": {"name": "selective", "distractor": "prose"},
        },
        methods__spon={**TEAL, "compensation": {"name": "spon", "corpus": "more"}},
        analysis__reference_level=0.25,
    )  # fmt: skip
    assert study.corpora == ["reasoning", "prose"]
    assert [corpus for _, corpus in study.extracted] == ["reasoning", "prose", "more"]
    before = study.folders["results/small/fit/backbone/spon/0.5/0"].identity
    study_values["calibration"]["more"] = {**prose, "tokens": 999}
    assert plan().folders["results/small/fit/backbone/spon/0.5/0"].identity != before


def test_a_built_in_model_without_its_prefix_is_told_apart_from_a_hub_id(plan):
    said = r"models\.backbone\.source: 'ref-opt' is not a Hub id; did you mean builtin:ref-opt\?"
    with pytest.raises(UserError, match=said):
        plan(models__backbone__source="ref-opt")


def test_parted_methods_are_known_with_their_parts(plan):
    one = {**SECOND, "sparsifier": "drop_decile", "levels": [1, 10]}
    assert plan(methods__one=one).parted == [("backbone", "one", "decile")]
    assert [c.level for c in plan(methods__one=one).conditions if c.method == "one"] == ["1", "10"]


def test_seeds_of_an_unseeded_sparsifier_are_refused(plan):
    with pytest.raises(UserError, match=r"drop_cold: seeds: drop_cold draws nothing.*0, 1"):
        plan(methods__drop_cold__seeds=[0, 1])


@pytest.mark.parametrize(
    ("path", "value", "key", "near"),
    [
        ("evaluation__tasks", ["chian"], "evaluation.tasks", "chain"),
        ("models__backbone__source", "builtin:ref-reglo", "models.backbone.source", "ref-reglu"),
        (
            "calibration__reasoning__source",
            "builtin:reasonin",
            "calibration.reasoning.source",
            "reasoning",
        ),
    ],
)
def test_unknown_built_in_things_are_refused_before_any_job(plan, path, value, key, near):
    with pytest.raises(UserError) as refused:
        plan(**{path: value})
    message = str(refused.value)
    assert f"Did you mean {near!r}" in message
    assert key in message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models__backbone__source", "/nowhere/at/all"),
        ("calibration__reasoning__source", "path:/nowhere/text.jsonl"),
        ("evaluation__tasks", ["/nowhere/task.yaml"]),
    ],
)
def test_files_that_are_not_there_are_refused_before_any_job(plan, path, value):
    with pytest.raises(UserError, match="nowhere"):
        plan(**{path: value})


@pytest.mark.parametrize(
    ("name", "content", "field", "said"),
    [
        (
            "a.jsonl",
            '{"text": "a"}\n',
            "content",
            "a.jsonl, line 1: no field 'content'; it has text",
        ),
        ("a.jsonl", "", "text", "a.jsonl' holds no text"),
        ("a.jsonl", '{"text": ""}\n{"text": " "}\n', "text", "a.jsonl' holds no text"),
        ("a.txt", "\n \n", "text", "a.txt' holds no text"),
        ("a.jsonl.gz", "", "text", "a.jsonl.gz: give .jsonl, .parquet or .txt, unpacked"),
        ("a.json", "[]", "text", "write a .json list as .jsonl, one object a line"),
        ("a.parquet", "PAR1", "text", "a.parquet is not a readable Parquet file"),
    ],
)
def test_corpora_that_no_job_can_read_are_refused_before_any_job(
    plan, tmp_path, name, content, field, said
):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as refused:
        plan(
            calibration__reasoning__source=f"path:{tmp_path / name}",
            calibration__reasoning__field=field,
        )
    message = str(refused.value)
    assert message.startswith("calibration.reasoning: ") and said in message
    assert "\n" not in message


@pytest.mark.parametrize("named", ["chain", "reasoning"])
def test_task_names_must_differ_and_leave_reasoning_free(plan, tmp_path, named):
    with pytest.raises(UserError, match=r"evaluation\.tasks: .*names must differ"):
        plan(evaluation__tasks=["chain", own_task(tmp_path, task=named)])


def own_task(folder, **changes):
    """Path of a task file with one item."""
    body = yaml.safe_load((tasks.BUILTIN_TASKS / "chain.yaml").read_text())
    body["dataset_kwargs"]["data_files"]["test"] = "items.jsonl"
    (folder / "own.yaml").write_text(yaml.safe_dump({**body, **changes}))
    (folder / "items.jsonl").write_text('{"prompt": "a", "target": "b", "steps": 1}\n')
    return str(folder / "own.yaml")


def test_a_task_that_cannot_be_evaluated_is_refused_before_any_job(plan, tmp_path):
    path = own_task(tmp_path, task="own")
    assert len(plan(evaluation__tasks=["chain", path]).conditions) == 2
    own_task(tmp_path, task="own", output_type="loglikelihood")
    with pytest.raises(UserError, match=r"evaluation\.tasks: task own: own\.yaml: output_type"):
        plan(evaluation__tasks=["chain", path])
    own_task(tmp_path, task="own")
    (tmp_path / "items.jsonl").write_text('{"prompt": "a", "target": "b"}\n{"prompt": "a"}\n')
    with pytest.raises(UserError, match=r"evaluation\.tasks: task own: items\.jsonl, line 2: "):
        plan(evaluation__tasks=["chain", path])


def keys(study):
    pair = ("backbone", "reasoning")
    return {
        "model": study.model_key("backbone"),
        "corpus": study.corpus_key(*pair),
        "profile": study.profile_key(*pair),
        "dense": study.dense_key("backbone"),
        "overlap": study.overlap_key("reasoning"),
        "tasks": study.tasks_key("backbone"),
    }


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("study", "other", set()),
        ("seed", 5, set()),
        ("profile__shards", 7, {"profile"}),
        ("calibration__reasoning__shards", 7, {"corpus", "profile"}),
        ("evaluation__shards", 7, {"dense"}),
        ("evaluation__block_items", 7, {"dense"}),
        ("methods__drop_cold__levels", [0.25], set()),
        ("classification__coverage80__share", 0.7, set()),
        ("analysis__bootstrap", 999, set()),
        ("profile__cett", 0.1, {"profile"}),
        ("calibration__reasoning__tokens", 50, {"corpus", "profile"}),
        ("calibration__reasoning__revision", "v1", {"corpus", "profile"}),
        ("evaluation__limit", 5, {"dense"}),
        ("evaluation__tasks", ["copying"], {"overlap", "tasks", "dense"}),
        ("calibration__reasoning__overlap_ngram", 20, {"overlap"}),
        ("models__backbone__dtype", "bfloat16", {"model", "corpus", "profile", "dense", "tasks"}),
        (
            "models__backbone__source",
            "builtin:ref-swiglu",
            {"model", "corpus", "profile", "dense", "tasks"},
        ),
    ],
)
def test_a_shared_artifacts_key_follows_what_it_depends_on_and_nothing_else(
    plan, path, value, changed
):
    before = keys(plan())
    after = keys(plan(**{path: value}))
    assert {name for name in before if before[name] != after[name]} == changed


#: Every key of the configuration, changed in turn -> stages whose artifacts become others. Stages
#: whose inputs stand in the table are left out, but where a key is a setting of theirs.
CALIBRATION = {
    "extract_calibration", "profile_sample", "merge_profile", "classify", "fit", "fit_with_model",
    "evaluate",
}  # fmt: skip
PROFILING = CALIBRATION - {"extract_calibration"}
EVALUATION = {"evaluate", "evaluate_dense"}
MODEL = {"resolve_model", "clear_tasks", *CALIBRATION, *EVALUATION}
METHOD = {"fit", "evaluate"}
PARTS = {
    "seed": (5, set()),
    "models__backbone__source": ("builtin:ref-opt", MODEL),
    "models__backbone__revision": ("v1", MODEL),
    "models__backbone__dtype": ("bfloat16", MODEL),
    "models__backbone__device": ("cuda", MODEL),
    "models__backbone__max_memory": (
        {"cpu": "1GiB"},
        MODEL,
    ),
    "models__backbone__trust_remote_code": (True, MODEL),
    "calibration__reasoning__source": ("builtin:prose", CALIBRATION),
    "calibration__reasoning__revision": ("v1", CALIBRATION),
    "calibration__reasoning__field": ("other", CALIBRATION),
    "calibration__reasoning__split": ("test", CALIBRATION),
    "calibration__reasoning__tokens": (999, CALIBRATION),
    "calibration__reasoning__sequence_length": (32, CALIBRATION),
    "calibration__reasoning__overlap_ngram": (20, {"check_overlap"}),
    "calibration__reasoning__shards": (7, set()),
    "calibration__reasoning__allow_overlap": (True, {"check_overlap"}),
    "profile__blocks": (9, PROFILING),
    "profile__batch_size": (9, PROFILING),
    "profile__batch_megabytes": (900, PROFILING),
    "profile__shards": (7, set()),
    "profile__cett": (0.1, PROFILING),
    "profile__cett_tokens": (99, PROFILING),
    "classification__coverage80__policy": ("budget", {"classify", *METHOD}),
    "classification__coverage80__share": (0.7, {"classify", *METHOD}),
    "classification__second__share": (0.5, {"classify"}),
    "methods__drop_cold__sparsifier": ("keep_cold", METHOD),
    "methods__drop_cold__classification": ("second", METHOD),
    "methods__drop_cold__sparse_from": ("continuation", METHOD),
    "methods__teal__sparsifier": ("wina", {"fit_with_model", "evaluate"}),
    "methods__teal__quantization": ("int8", {"fit_with_model", "evaluate"}),
    "methods__teal__measure": (None, {"fit_with_model", "evaluate"}),
    "evaluation__tasks": (["chain"], {"check_overlap", "clear_tasks", *EVALUATION}),
    "evaluation__limit": (3, EVALUATION),
    "evaluation__batch_size": (3, EVALUATION),
    "evaluation__batch_megabytes": (900, EVALUATION),
    "evaluation__block_items": (7, EVALUATION),
    "evaluation__shards": (7, set()),
    "analysis__bootstrap": (300, set()),
    "analysis__confidence": (0.9, set()),
}


TEAL = {
    "sparsifier": "teal", "corpus": "reasoning", "levels": [0.5],
    "measure": "model_weight_sparsity",
}  # fmt: skip


def whole_identities(study):
    """Stage -> identities of its artifacts, shards left out."""
    found = {}
    for folder in study.folders.values():
        if not folder.rule.endswith("_shard"):
            found.setdefault(folder.rule, set()).add(folder.identity)
    return found


@pytest.mark.parametrize("path", PARTS)
def test_each_part_of_an_identity_changes_what_depends_on_it_and_nothing_else(
    plan, study_values, path, monkeypatch
):
    # The built-in corpus has no other field.
    monkeypatch.setattr(validation, "check_corpus", lambda corpus: None)
    value, changed = PARTS[path]
    study_values["classification"] = {
        name: {"policy": "coverage", "share": share, "scope": "layer"}
        for name, share in {"coverage80": 0.8, "second": 0.6}.items()
    }
    study_values["methods"]["teal"] = TEAL
    studies = [plan(), plan(**{path: value})]
    before, after = map(whole_identities, studies)
    # Studies that share a folder ask for the same there, or each would make the other's anew.
    first, second = ({p: f for p, f in s.folders.items() if "/shared/" in p} for s in studies)
    assert all(second[p].identity == f.identity for p, f in first.items() if p in second)
    differing = {stage for stage in before if before[stage] != after[stage]}
    declared = {
        stage for stage in before if {read for read, _ in STAGES[stage].inputs.values()} & changed
    }
    analysed = {"analyse", "build_report"} if changed or path[:4] in ("seed", "anal") else set()
    if changed in ({"classify"}, {"check_overlap"}):
        analysed = {"build_report"}
    assert differing == changed | declared | analysed


def test_every_key_that_a_job_is_given_is_a_part_of_an_identity(study_values):
    """A new key of the configuration needs its line in PARTS."""
    sections = {
        "models": study_values["models"]["backbone"],
        "calibration": study_values["calibration"]["reasoning"],
        "profile": study_values["profile"],
        "evaluation": study_values["evaluation"],
    }
    named = {
        f"{section}{middle}__{key}"
        for section, values in sections.items()
        for middle in [{"models": "__backbone", "calibration": "__reasoning"}.get(section, "")]
        for key in values
    }
    assert named <= set(PARTS)


def test_conditions_are_told_apart_and_shards_numbered(plan):
    study = plan(profile__shards=3, evaluation__shards=2)
    assert len({f.identity for f in study.folders.values()}) == len(study.folders)
    shards = [folder for folder in study.folders if "/profile_shard/" in folder]
    assert [folder.rsplit("/", 1)[1] for folder in shards] == ["0-of-3", "1-of-3", "2-of-3"]
    assert sum("/evaluate_shard/" in folder for folder in study.folders) == 4
    assert not any("/extract_shard/" in folder for folder in study.folders)


def test_a_local_place_is_no_part_of_keys_and_params(plan, tmp_path, save_model):
    body = {"task": "own", "dataset_kwargs": {"data_files": {"test": "items.jsonl"}}}
    body |= {key: tasks.find("chain").definition[key] for key in FORM}
    found = []
    for place in ("here", "there"):
        folder = tmp_path / place
        save_model(folder)
        (folder / "own.yaml").write_text(yaml.safe_dump(body))
        item = {"prompt": "p", "target": "t", "steps": 1}
        (folder / "items.jsonl").write_text(json.dumps(item) + "\n")
        (folder / "text.txt").write_text("some text\n")
        study = plan(
            models__backbone__source=str(folder),
            calibration__reasoning__source=f"path:{folder / 'text.txt'}",
            evaluation__tasks=["chain", str(folder / "own.yaml")],
        )
        params = [study.section("models", "backbone"), study.section("calibration", "reasoning")]
        found.append((keys(study), params, study.evaluation()))
        assert str(folder) not in json.dumps([*params, study.evaluation()])
        assert study.places["local:models.backbone"] == str(folder)
        assert study.places["local:task.own"] == str(folder / "own.yaml")
    assert found[0] == found[1]


def test_two_entries_in_one_place_keep_their_own_names(plan, tmp_path, save_model):
    save_model(tmp_path / "m")
    study = plan(models__backbone__source=str(tmp_path / "m"))
    before, key = study.section("models", "backbone"), study.model_key("backbone")
    other = {"source": str(tmp_path / "m"), "dtype": "bfloat16"}
    both = plan(models__second=other)
    assert (both.section("models", "backbone"), both.model_key("backbone")) == (before, key)
    assert both.section("models", "second")["source"] == "local:models.second"


FORM = ("output_type", "doc_to_text", "doc_to_target", "generation_kwargs", "filter_list")
FORM = (*FORM, "metric_list", "test_split", "dataset_path")


def test_keys_start_with_the_names_people_know(plan):
    found = keys(plan())
    assert found["model"].startswith("backbone-")
    assert found["corpus"].startswith("backbone.reasoning-")


def test_a_corpus_from_a_training_split_is_keyed_by_that_split(plan, tmp_path):
    body = {
        "task": "own",
        "dataset_kwargs": {"data_files": {"test": "test.jsonl", "train": "train.jsonl"}},
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{a}}",
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(body))
    (tmp_path / "test.jsonl").write_text(json.dumps({"q": "1", "a": "2"}) + "\n")
    source = f"task:{tmp_path / 'own.yaml'}"

    def key(text):
        (tmp_path / "train.jsonl").write_text(json.dumps({"q": text, "a": "b"}) + "\n")
        return plan(calibration__reasoning__source=source).corpus_key("backbone", "reasoning")

    assert key("old") != key("new")


def test_a_corpus_from_a_file_is_keyed_by_its_content(plan, tmp_path):
    path = tmp_path / "text.txt"

    def key(text):
        path.write_text(text)
        study = plan(calibration__reasoning__source=f"path:{path}")
        return study.corpus_key("backbone", "reasoning")

    assert key("one") == key("one") != key("two")


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_has_a_source_digest_of_its_own(rule):
    source = rule_source(rule)
    others = {rule_source(other)["digest"] for other in RULES if other != rule}
    assert len(source["digest"]) == 32
    assert source["digest"] not in others
    assert set(source["libraries"]) == set(RULES[rule][1])


def test_another_object_of_the_same_module_is_another_source():
    entry = "pipeline.methods.sparsifiers.drop_cold:DropCold"
    other = entry.replace(":DropCold", ":DropHot")
    assert rule_source("fit", (entry,)) != rule_source("fit", (other,))


#: What a rule may take note of in the planning and configuration of studies: its own sections, or
#: none.
SECTIONS = {
    "convert_model": {"base", "models"},
    "resolve_model": {"base", "models"},
    "extract_shard": {"base", "calibration", "models"},
    "extract_calibration": {"base", "calibration", "models"},
    "check_overlap": {"base", "calibration"},
    "profile_sample": {"base", "models", "profile"},
    "profile_shard": {"base", "models", "profile"},
    "classify": {"base", "classification", "models"},
    "fit": {"base"},
    "prepare": {"base", "models", "profile"},
    "fit_with_model": {"base", "models", "profile"},
    "evaluate": {"base", "evaluation", "models"},
    "evaluate_shard": {"base", "evaluation", "models"},
    "evaluate_dense_shard": {"base", "evaluation", "models"},
    "evaluate_dense": {"base", "evaluation", "models"},
    "analyse": {"analysis", "base", "orders"},
    "build_report": {"orders"},
    "ship_reference": {
        "base",
        "calibration",
        "classification",
        "evaluation",
        "models",
        "profile",
    },
}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_rests_on_its_own_sections_and_on_no_planning(rule):
    script = PROJECT / "workflow" / "scripts" / f"{rule}.py"
    modules = closures.closure_modules(str(script))
    assert not [name for name in modules if name.startswith("pipeline.planning")]
    sections = {m.removeprefix("pipeline.config.") for m in modules if ".config." in m}
    # Words and values that several sections share are no sections.
    assert sections - {"level", "roles"} == SECTIONS.get(rule, set())


def test_a_condition_is_keyed_by_the_code_of_its_own_entries(plan):
    other = {
        "sparsifier": "drop_small",
        "corpus": "reasoning",
        "classification": "coverage80",
        "levels": [0.5],
    }
    study = plan(methods__small=other)
    assert study.source("fit", method="small") != study.source("fit", method="drop_cold")
    coverage, budget = (
        study.source("classify", model="backbone", classification=name)
        for name in ("coverage80", "of_model")
    )
    assert coverage != budget


def test_a_hub_model_depends_on_every_architecture_view(plan):
    """Which one it needs is known only after its download."""
    study = plan(models__backbone__source="someone/some-model")
    every = tuple(sorted(f"{name}={entry}" for name, entry in ARCHITECTURES.items()))
    rests_on = rule_source("evaluate_dense", every, tuple(study.task_identities))
    assert study.source("evaluate_dense", model="backbone") == rests_on


def test_a_configuration_that_is_not_there_or_no_mapping_is_refused(tmp_path):
    said = r"nowhere\.yaml: No such file.*; give --config FILE \(with make: CONFIG=FILE\)"
    with pytest.raises(UserError, match=said):
        read_config(tmp_path / "nowhere.yaml")
    for name, content in {"list": b"[1]", "broken": b"a: [1", "binary": b"\xff\xfe\x00"}.items():
        path = tmp_path / f"{name}.yaml"
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{name}.yaml"):
            read_config(path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"policy": "coverage"}, "share: coverage needs it"),
        ({"policy": "stability", "share": 0.8}, "other: stability needs it"),
        ({"policy": "perplexity", "other": "reasoning"}, "rise: perplexity needs it"),
        (
            {"policy": "budget", "share": 0.2, "rise": 0.1},
            "rise: budget has no use for it; it takes share",
        ),
        ({"policy": "stability", "share": 0.8, "other": "prsoe"}, "other: unknown corpus 'prsoe'"),
    ],
)
def test_a_policy_gets_the_options_that_it_takes_and_no_others(plan, study_values, options, told):
    study_values["classification"]["second"] = options
    with pytest.raises(UserError, match=f"^classification.second: {told}"):
        plan()


def test_what_a_policy_looks_at_besides_is_profiled_or_extracted(plan, study_values):
    prose = study_values["calibration"]["reasoning"] | {"source": "builtin:prose"}
    study_values["calibration"] |= {"prose": prose, "held": prose}
    study_values["classification"] |= {
        "stable": {"policy": "stability", "share": 0.8, "other": "prose"},
        "cheap": {"policy": "perplexity", "rise": 0.1, "other": "held", "scope": "model"},
    }
    study = plan()
    assert study.corpora == ["reasoning", "prose"]
    assert [corpus for _, corpus in study.profiled] == ["reasoning", "prose"]
    assert [corpus for _, corpus in study.extracted] == ["reasoning", "prose", "held"]
    assert {corpus for _, corpus, _ in study.classified} == {"reasoning"}
    before = {path: folder.identity for path, folder in study.folders.items()}
    study_values["calibration"]["held"] = prose | {"tokens": 7}
    after = {path: folder.identity for path, folder in plan().folders.items()}
    changed = {path.split("/")[-1] for path in before.keys() & after if before[path] != after[path]}
    assert "cheap" in changed and not {"stable", "coverage80"} & changed


@pytest.mark.parametrize("made", ["orders", "by_steps"])
def test_what_planning_works_out_is_a_part_of_the_last_identities(small, monkeypatch, made):
    """Other code that makes another param of the same configuration leaves no old page standing."""

    def identities(study):
        rules = ("analyse", "build_report")
        return {f.rule: f.identity for f in study.folders.values() if f.rule in rules}

    before = identities(small())
    work_out = getattr(orders, made)
    monkeypatch.setattr(orders, made, lambda study: work_out(study)[:-1])
    after = identities(small())
    assert before["build_report"] != after["build_report"]
    assert (before["analyse"] != after["analyse"]) == (made == "orders")
