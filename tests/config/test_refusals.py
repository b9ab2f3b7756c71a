"""Every fault of a configuration is told with its path, its value and what is allowed."""

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from pipeline.config.level import COLD, Level
from pipeline.config.study import parse_study
from pipeline.errors import UserError


def change(values, path, value):
    """`values` with `value` at the dotted path; Ellipsis removes the key."""
    *parts, last = path.split(".")
    for part in parts:
        values = values[part]
    if value is ...:
        del values[last]
    else:
        values[last] = value


def refusal(values):
    with pytest.raises(UserError) as refused:
        parse_study(values)
    message = str(refused.value)
    assert message.startswith("the configuration is refused:")
    return message


def test_the_small_study_is_accepted(study_values):
    assert parse_study(study_values).methods["drop_cold"].levels == (Level(0.25), COLD)


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("modles", "models"),
        ("models.backbone.sorce", "source"),
        ("calibration.reasoning.token", "tokens"),
        ("profile.shard", "shards"),
        ("classification.coverage80.polcy", "policy"),
        ("methods.drop_cold.level", "levels"),
        ("evaluation.task", "tasks"),
        ("analysis.confidense", "confidence"),
    ],
)
def test_a_misspelt_key_at_any_depth_gets_its_path_and_the_nearest(study_values, path, near):
    change(study_values, path, 1)
    message = refusal(study_values)
    assert f"{path}: unknown key. Did you mean {near!r}? Allowed: " in message


@pytest.mark.parametrize("section", ["models", "calibration", "classification", "methods"])
def test_an_entry_may_be_named_like_a_key_and_still_be_explained(study_values, section):
    entries = study_values[section]
    (first, *_) = entries.values()
    for name in first:
        entries[name] = {**first, "xyzzy": 1}
        message = refusal(study_values)
        assert f"{section}.{name}.xyzzy: unknown key. Allowed: " in message
        assert all(key in message for key in first)
        del entries[name]


@pytest.mark.parametrize(
    "path",
    [
        "study",
        "models",
        "calibration",
        "classification",
        "methods",
        "evaluation",
        "models.backbone.source",
        "calibration.reasoning.source",
        "classification.coverage80.policy",
        "methods.drop_cold.corpus",
        "methods.drop_cold.levels",
        "evaluation.tasks",
    ],
)
def test_a_missing_key_is_told_by_its_path(study_values, path):
    change(study_values, path, ...)
    assert f"  {path}: this key is missing" in refusal(study_values)


@pytest.mark.parametrize(
    ("path", "value", "near"),
    [
        ("methods.drop_cold.sparsifier", "drop_cld", "drop_cold"),
        ("methods.drop_cold.weights", "wnda", "wanda"),
        ("methods.drop_cold.quantization", "int44", "int4"),
        ("methods.drop_cold.compensation", "spoon", "spon"),
        ("classification.coverage80.policy", "coverge", "coverage"),
        ("calibration.reasoning.source", "bultin:reasoning", "builtin"),
        ("methods.drop_cold.corpus", "reasonin", "reasoning"),
        ("methods.drop_cold.classification", "coverage8", "coverage80"),
    ],
)
def test_an_unknown_name_gets_its_path_and_the_nearest(study_values, path, value, near):
    change(study_values, path, value)
    message = refusal(study_values)
    assert f"  {path}: " in message and repr(value).strip("'").split(":")[0] in message
    assert f"Did you mean {near!r}? Known: " in message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("study", "a/b"),
        ("study", ""),
        ("study", ".hidden"),
        ("study", "x" * 65),
        ("seed", -1),
        ("seed", "many"),
        ("models", {}),
        ("models", 3),
        ("models.backbone.dtype", "int8"),
        ("models.backbone.device", "tpu"),
        ("models.backbone.source", ""),
        ("models.backbone.trust_remote_code", "perhaps"),
        ("calibration.reasoning.tokens", 0),
        ("calibration.reasoning.sequence_length", 1),
        ("calibration.reasoning.overlap_ngram", 4),
        ("profile.blocks", 0),
        ("profile.batch_size", 0),
        ("profile.shards", 0),
        ("profile.cett", 0),
        ("profile.cett", 1),
        ("profile.cett", float("nan")),
        ("profile.cett_tokens", 4097),
        ("classification.coverage80.share", 0),
        ("classification.coverage80.share", 1),
        ("classification.coverage80.scope", "block"),
        ("methods.drop_cold.levels", []),
        ("methods.drop_cold.seeds", []),
        ("methods.drop_cold.seeds", [0, 0]),
        ("methods.drop_cold.levels", [0.5, 0.5]),
        ("methods.drop_cold.levels", ["cold", "cold"]),
        ("methods.drop_cold.scope", "block"),
        ("evaluation.tasks", []),
        ("evaluation.limit", 1),
        ("evaluation.batch_size", 0),
        ("methods.drop_cold.measure", "sparsity"),
        ("analysis.bootstrap", 99),
        ("analysis.confidence", 1.0),
        ("analysis.reference_level", 1),
    ],
)
def test_a_value_out_of_range_is_told_with_path_and_value(study_values, path, value):
    change(study_values, path, value)
    message = refusal(study_values)
    assert f"  {path}: {value!r} is refused: " in message


@pytest.mark.parametrize(
    "value", [-1, 1.0, 1.5, -0.1, True, float("nan"), float("inf"), "warm", None]
)
def test_a_level_is_a_share_a_set_or_the_number_of_a_part(study_values, value):
    change(study_values, "methods.drop_cold.levels", [0.1, value])
    message = refusal(study_values)
    assert f"methods.drop_cold.levels.1: {value!r} is refused: " in message
    assert "between 0 and 1" in message or "less than 1" in message or "'cold'" in message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("methods.drop_cold.levels", [-1]),
        ("methods.drop_cold.seeds", [-1]),
        ("evaluation.tasks", [3]),
    ],
)
def test_a_list_of_one_refused_value_is_not_called_empty(study_values, path, value):
    change(study_values, path, value)
    (line,) = refusal(study_values).splitlines()[1:]
    assert line.startswith(f"  {path}.0: {value[0]!r} is refused: ")


def test_a_seed_out_of_range_is_told_with_its_place(study_values):
    change(study_values, "methods.drop_cold.seeds", [0, -1])
    assert "methods.drop_cold.seeds.1: -1 is refused: " in refusal(study_values)


@pytest.mark.parametrize("source", ["builtin", "builtin:", "task:"])
def test_a_corpus_needs_a_place_after_its_kind(study_values, source):
    change(study_values, "calibration.reasoning.source", source)
    message = refusal(study_values)
    assert "calibration.reasoning.source: " in message and "KIND:WHERE" in message


@pytest.mark.parametrize("name", ["logs", "reference", "shared", "timing"])
def test_names_of_the_pipelines_own_folders_are_refused_for_studies(study_values, name):
    study_values["study"] = name
    assert f"results/{name} is a folder of the pipeline's own" in refusal(study_values)


def test_the_name_dense_is_refused_for_methods(study_values):
    study_values["methods"]["dense"] = study_values["methods"]["drop_cold"]
    assert "methods.dense: the name stands for the unpruned model" in refusal(study_values)


@pytest.mark.parametrize("level", ["cold", "hot"])
def test_an_exact_boundary_needs_one_scope_for_method_and_classification(study_values, level):
    change(study_values, "methods.drop_cold.levels", [level])
    change(study_values, "methods.drop_cold.classification", "of_model")
    assert "methods.drop_cold.scope: 'layer' with the level" in refusal(study_values)
    change(study_values, "methods.drop_cold.scope", "model")
    assert parse_study(study_values).methods["drop_cold"].levels == (Level(level),)


def test_shares_need_not_be_of_the_classifications_scope(study_values):
    change(study_values, "methods.drop_cold.levels", [0.25])
    change(study_values, "methods.drop_cold.scope", "model")
    assert parse_study(study_values).methods["drop_cold"].scope == "model"


def test_the_level_to_compare_at_is_one_that_a_method_has(study_values):
    change(study_values, "analysis.reference_level", 0.33)
    message = refusal(study_values)
    assert "analysis.reference_level: 0.33 is not a level of any method; there are 0.25" in message
    change(study_values, "methods.drop_cold.levels", ["cold"])
    assert parse_study(study_values).analysis.reference_level == 0.33


def test_all_faults_are_told_at_once(study_values):
    study_values["seed"] = -1
    change(study_values, "profile.cett", 2)
    change(study_values, "evaluation.limt", 5)
    message = refusal(study_values)
    assert all(path in message for path in ("seed: ", "profile.cett: ", "evaluation.limt: "))


def test_keys_that_are_no_text_are_refused(study_values):
    study_values[True] = 1
    assert "True" in refusal(study_values)


def test_relative_places_start_at_the_configuration_files_folder(study_values, tmp_path):
    for place, found in [("./m", tmp_path / "m"), ("../m", tmp_path.parent / "m"), ("/m", "/m")]:
        change(study_values, "models.backbone.source", place)
        assert parse_study(study_values, tmp_path).models["backbone"].source == str(found)
    for source, found in [
        ("path:text.txt", f"path:{tmp_path}/text.txt"),
        ("path:/text.txt", "path:/text.txt"),
        ("path:~/text.txt", "path:~/text.txt"),
        ("task:own.yaml", f"task:{tmp_path}/own.yaml"),
        ("task:chain", "task:chain"),
        ("hub:owner/name", "hub:owner/name"),
        ("builtin:reasoning", "builtin:reasoning"),
    ]:
        change(study_values, "calibration.reasoning.source", source)
        assert parse_study(study_values, tmp_path).calibration["reasoning"].source == found
    change(study_values, "evaluation.tasks", ["chain", "own.yaml"])
    tasks = parse_study(study_values, tmp_path).evaluation.tasks
    assert tasks == ("chain", f"{tmp_path}/own.yaml")
    assert study_values["evaluation"]["tasks"] == ["chain", "own.yaml"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models", 3),
        ("models.backbone", None),
        ("models.backbone.source", ["x"]),
        ("calibration", []),
        ("calibration.reasoning.source", 7),
        ("evaluation", "all"),
        ("evaluation.tasks", {"a": 1}),
        ("evaluation.tasks", [1]),
    ],
)
def test_places_out_of_form_are_left_to_the_check(study_values, tmp_path, path, value):
    change(study_values, path, value)
    with pytest.raises(UserError, match=path.partition(".")[0]):
        parse_study(study_values, tmp_path)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("builtin:x", "builtin"),
        ("/a/b", "path"),
        ("./a", "path"),
        ("../a", "path"),
        ("~/a", "path"),
        ("owner/name", "hub"),
        ("name", "hub"),
    ],
)
def test_the_kind_of_a_models_source(study_values, source, kind):
    change(study_values, "models.backbone.source", source)
    assert parse_study(study_values).models["backbone"].kind == kind


@pytest.mark.parametrize(
    ("path", "value", "form"),
    [
        ("methods.drop_cold.levels", 0.25, "give a list"),
        ("evaluation.tasks", "chain", "give a list"),
        ("models", ["x"], "give a mapping"),
        ("models.backbone", "./m", "give keys and values"),
        ("profile", None, "give keys and values"),
    ],
)
def test_a_wrong_form_is_told_in_the_words_of_yaml(study_values, path, value, form):
    change(study_values, path, value)
    assert f"{path}: {value!r} is refused: {form}" in refusal(study_values)


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("sparsifier", 3, "give a name, or a mapping with `name` and options beside it"),
        ("sparsifier", {"allocation": "greedy"}, "give a name, or a mapping with `name`"),
        (
            "sparsifier",
            {"name": "teal", "alocation": "greedy"},
            "teal has no option 'alocation'. Did you mean 'allocation'? It takes: allocation",
        ),
        (
            "sparsifier",
            {"name": "teal", "allocation": "greddy"},
            "teal, allocation: 'greddy' is refused: Input should be 'uniform' or 'greedy'",
        ),
        (
            "weights",
            {"name": "wanda", "pattern": 124},
            "wanda, pattern: 124 is refused: Input should be 'unstructured', '2:4', '4:8' or "
            "'channels'; put it in quotes, or YAML reads a number",
        ),
        ("sparsifier", {"name": "selective"}, "selective needs the option 'distractor'"),
        (
            "quantization",
            {"name": "bf16", "group": 4},
            "bf16 has no option 'group'. It takes: none",
        ),
        ("weights", {"name": "wanda", "share": 1.5}, "wanda, share: 1.5 is refused: "),
    ],
)
def test_options_of_a_part_are_refused_with_their_name(study_values, part, value, said):
    change(study_values, f"methods.drop_cold.{part}", value)
    message = refusal(study_values)
    assert f"  methods.drop_cold.{part}: {value!r} is refused: {said}" in message


@pytest.mark.parametrize("value", ["middle", -1, 1.5])
def test_sparse_from_is_a_word_or_a_number_of_tokens(study_values, value):
    change(study_values, "methods.drop_cold.sparse_from", value)
    assert "  methods.drop_cold.sparse_from" in refusal(study_values)


def test_a_part_is_a_name_or_a_mapping_and_holds_all_its_options(study_values):
    named = [parsed(study_values, part) for part in ("teal", {"name": "teal"})]
    greedy = parsed(study_values, {"name": "teal", "allocation": "greedy"})
    assert named[0] == named[1] == {"sparsifier": {"name": "teal", "options": UNIFORM}}
    assert greedy["sparsifier"]["options"] == {"allocation": "greedy"}
    # What a part is written out as is read as the same.
    assert parsed(study_values, greedy["sparsifier"]) == greedy


UNIFORM = {"allocation": "uniform"}


def parsed(values, part):
    change(values, "methods.drop_cold.sparsifier", part)
    return parse_study(values).methods["drop_cold"].parts


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 2**32),
        ("calibration.reasoning.tokens", 10**12),
        ("calibration.reasoning.sequence_length", 10**9),
        ("calibration.reasoning.overlap_ngram", 10**20),
        ("calibration.reasoning.shards", 1_000_000),
        ("profile.blocks", 10**9),
        ("profile.batch_size", 10**30),
        ("profile.shards", 1_000_000),
        ("classification.coverage80.rise", float("inf")),
        ("evaluation.limit", 10**20),
        ("evaluation.batch_size", 10**30),
        ("evaluation.block_items", 10**12),
        ("evaluation.shards", 1_000_000),
        ("analysis.bootstrap", 10**12),
    ],
)
def test_a_value_beyond_sense_is_told_with_path_and_value(study_values, path, value):
    change(study_values, path, value)
    assert f"  {path}: {value!r} is refused: Input should be less" in refusal(study_values)


@pytest.mark.parametrize(("key", "value"), [("levels", 10**6), ("seeds", 2**40)])
def test_a_member_of_a_list_beyond_sense_is_refused(study_values, key, value):
    change(study_values, f"methods.drop_cold.{key}", [value])
    assert f"  methods.drop_cold.{key}.0: {value} is refused: " in refusal(study_values)


def test_no_place_in_a_text_is_beyond_sense(study_values):
    change(study_values, "methods.drop_cold.sparse_from", 10**9)
    assert "  methods.drop_cold.sparse_from" in refusal(study_values)


def test_bounds_that_multiply_are_refused_together(study_values):
    change(study_values, "methods.drop_cold.levels", [n / 1000 for n in range(1, 1000)])
    assert parse_study(study_values)
    change(study_values, "evaluation.shards", 1000)
    message = refusal(study_values)
    # 999 levels x 1000 shards, one shard of extraction and two of profiling.
    assert "come to 999,003 jobs, and at most 100,000 can be planned; give fewer shards" in message


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("study", "my study", "a name is letters, digits and . _ + -, without spaces"),
        ("study", "größe", "a name is letters, digits"),
        ("models", {"my model": {"source": "builtin:ref-reglu"}}, "a name is letters, digits"),
        ("methods.drop_cold.corpus", "my text", "a name is letters, digits"),
        ("models.backbone.device", "gpu", "give cpu, cuda, or cuda:1 for the second GPU"),
        ("models.backbone.max_memory", {"gpu": "1GB"}, "give cpu, or the number of a GPU"),
        ("models.backbone.max_memory", {"cpu": "much"}, "give a number and KB, MB, GB"),
    ],
)
def test_a_form_of_text_is_told_in_words(study_values, path, value, said):
    change(study_values, path, value)
    message = refusal(study_values)
    assert f"is refused: {said}" in message
    assert "^" not in message and "pattern" not in message and "[key]" not in message


@pytest.mark.parametrize(
    "value", [10**5000, "x" * 10**6, [1] * 10**5], ids=["number", "text", "list"]
)
def test_a_long_value_is_not_shown_whole(study_values, value):
    change(study_values, "profile.cett", value)
    assert len(refusal(study_values)) < 500


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models.backbone.source", "~nosuchuser/model"),
        ("calibration.reasoning.source", "path:~nosuchuser/text.txt"),
    ],
)
def test_a_home_of_nobody_is_refused(study_values, tmp_path, path, value):
    change(study_values, path, value)
    with pytest.raises(UserError, match=f"  {path}: .*~ stands for no home here; write the path"):
        parse_study(study_values, tmp_path)


@pytest.mark.parametrize(
    "source",
    ["some/model/folder", "a b", "models/..", "path:models/mine", "models/", "a--b/c", "a/b.git",
     "x" * 97, "modèle"],
)  # fmt: skip
def test_a_source_that_is_no_hub_id_is_refused(study_values, tmp_path, source):
    """The Hub's own library refuses the same."""
    change(study_values, "models.backbone.source", source)
    with pytest.raises(UserError, match=r"  models\.backbone\.source: .*is not a Hub id, which is"):
        parse_study(study_values, tmp_path)
    if source != "modèle":
        with pytest.raises(HFValidationError):
            validate_repo_id(source)


@pytest.mark.parametrize("source", ["gpt2", "HuggingFaceTB/SmolLM2-135M", "a_b/c.d-e_f", "_/x1"])
def test_a_source_that_is_a_hub_id_is_taken(study_values, tmp_path, source):
    change(study_values, "models.backbone.source", source)
    assert parse_study(study_values, tmp_path).models["backbone"].kind == "hub"
    validate_repo_id(source)


def test_a_model_folder_without_its_dot_is_told_apart_from_a_hub_id(study_values, tmp_path):
    change(study_values, "models.backbone.source", "own/model")
    (tmp_path / "own/model").mkdir(parents=True)
    assert parse_study(study_values, tmp_path).models["backbone"].kind == "hub"
    (tmp_path / "own/model/config.json").touch()
    with pytest.raises(UserError, match=r"^models\.backbone\.source: .*write \./own/model for the"):
        parse_study(study_values, tmp_path)
