"""The library's face: its plans are those of a study's stages, and what it applies is what the
evaluation applies; and it gives the model back as it was."""

import copy
import dataclasses
import importlib.util
from contextlib import ExitStack

import numpy as np
import pytest
import torch

import pipeline
from pipeline.calibration.extraction import extract
from pipeline.config.calibration import Corpus
from pipeline.config.classification import Classification
from pipeline.config.methods import Method
from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.errors import UserError
from pipeline.methods.apply import apply
from pipeline.methods.plan import Plan, Refused
from pipeline.models.loading import load
from pipeline.models.resolve import resolve
from pipeline.models.views import view
from pipeline.registry import PARTS, SPARSIFIERS
from pipeline.store.artifacts import Manifest
from pipeline.store.digest import SOURCE_ROOT
from pipeline.tables.model import MODEL
from pipeline.tables.plan import PLAN
from pipeline.tables.sequences import SEQUENCES

WORDS = [f"{letter} {digit} + {digit} =" for letter in "abcdefgh" for digit in range(10)]
TEXTS = [" ".join(WORDS[i % 80] for i in range(n, n + 4 + n % 5)) for n in range(60)]
OTHERS = [" ".join(WORDS[(7 * i) % 80] for i in range(n, n + 3 + n % 7)) for n in range(40)]
PROFILE = Profile(blocks=3, batch_size=8)

#: Options that keep tests short; the others are the defaults.
SHORT = {
    "predicted": {"rank": 4, "steps": 10, "tokens": 256},
    "rsparse": {"alphas": [0.9]},
    "selective": {"distractor": "other"},
    "spon": {"sites": "all", "steps": 4, "every": 2},
    "spon_dense": {"sites": "all", "steps": 4, "every": 2},
}
#: Levels of those that take no share.
LEVELS = {"drop_decile": 3, "drop_cold_layer": 1, "cett": 0.3}


def named(name):
    return {"name": name, **SHORT.get(name, {})}


#: A method, and its level.
METHODS = {
    **{name: ({"sparsifier": named(name)}, LEVELS.get(name, 0.5)) for name in SPARSIFIERS},
    **{name: ({"weights": named(name)}, 0.5) for name in PARTS["weights"]},
    **{name: ({"quantization": named(name)}, "whole") for name in PARTS["quantization"]},
    "mean_bias": ({"sparsifier": "teal", "compensation": "mean_bias"}, 0.5),
    "spon": ({"sparsifier": "teal", "compensation": named("spon")}, 0.5),
    "spon_dense": ({"compensation": named("spon_dense")}, "whole"),
    "spon of another text": (
        {"sparsifier": "cats", "compensation": {**named("spon"), "corpus": "other"}}, 0.5,
    ),
    "channels": ({"weights": {"name": "wanda", "pattern": "channels"}}, 0.25),
    "the cold set": ({"sparsifier": "drop_cold"}, "cold"),
    "the coldest of the model": ({"sparsifier": "drop_cold", "scope": "model"}, 0.25),
    "by measure": ({"sparsifier": "teal", "measure": "model_weight_sparsity"}, 0.4),
    "a set by measure": ({"sparsifier": "drop_cold", "measure": "neuron_sparsity"}, 0.5),
    "from the fourth token": ({"sparsifier": "topk", "sparse_from": 4}, 0.5),
    "four parts": (
        {
            "weights": {"name": "sparsegpt", "share": 0.3}, "quantization": "int8",
            "sparsifier": {"name": "teal", "allocation": "greedy"}, "compensation": named("spon"),
        },
        0.5,
    ),
}  # fmt: skip


def script(name):
    """A script of the workflow, imported."""
    place = SOURCE_ROOT.parent / "workflow" / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Stages:
    """A model in a folder, profiled and classified by the scripts of a study."""

    def __init__(self, folder, source, manifest):
        self.folder, self.manifest = folder, manifest
        self.section = Model(source=str(source))
        record = resolve("small", self.section)
        self.record = folder / "model.json"
        MODEL.write(self.record, record, manifest)
        self.model, self.tokenizer = load(self.section, record)
        for corpus, texts in {"texts": TEXTS, "other": OTHERS}.items():
            self._profile(corpus, texts)

    def file(self, corpus, name):
        return self.folder / corpus / name

    def _profile(self, corpus, texts):
        where = self.folder / corpus
        where.mkdir()
        (where / "text.txt").write_text("".join(f"{text}\n" for text in texts))
        section = Corpus(source=f"path:{where / 'text.txt'}", sequence_length=16)
        columns, *_ = extract(section, self.tokenizer)
        SEQUENCES.write(where / "sequences.parquet", columns, self.manifest)
        common = {
            "record": self.record, "sequences": where / "sequences.parquet",
            "model": self.section, "config": PROFILE, "manifest": self.manifest,
        }  # fmt: skip
        sampled = ("thresholds", "norms", "tokens", "cett_curve", "always_active")
        sampled = {name: where / f"{name}.parquet" for name in (*sampled, "prompt_overlaps")}
        script("profile_sample").main(**common, **sampled)
        tables = ("neurons", "channels", "histograms")
        used = {name: sampled[name] for name in ("thresholds", "norms")}
        for shard in range(2):
            made = {name: where / f"{name}.{shard}.parquet" for name in tables}
            script("profile_shard").main(**common, **used, shard=shard, shards=2, **made)
        shards = {
            f"{name[:-1]}_shards": [where / f"{name}.{shard}.parquet" for shard in range(2)]
            for name in tables
        }
        script("merge_profile").main(
            record=self.record, blocks=PROFILE.blocks, manifest=self.manifest, **used, **shards,
            **{name: where / f"{name}.parquet" for name in (*tables, "layers")},
        )  # fmt: skip

    def classes(self, scope):
        place = self.file("texts", f"classes.{scope}.parquet")
        script("classify").main(
            record=self.record, neurons=self.file("texts", "neurons.parquet"), other_neurons=[],
            other_sequences=[], model=None, classes=place, manifest=self.manifest,
            config=Classification(policy="coverage", share=0.8, scope=scope),
            summary=self.file("texts", "classification.json"),
        )  # fmt: skip
        return place

    def plan(self, method, level, folder, seed=0):
        """The plan that the scripts fit."""
        section = Method.model_validate({**method, "corpus": "texts", "levels": [level]})
        parts = section.parts
        name = parts.get("sparsifier", {}).get("name")
        entry = SPARSIFIERS.load(name) if name else None
        static = bool(entry and entry.static)
        config = {
            "parts": parts, "level": level, "measure": section.measure, "scope": section.scope,
            "sparse_from": entry.sparse_from or section.sparse_from if entry else "start",
        }  # fmt: skip
        neurons = self.file("texts", "neurons.parquet")
        common = {
            "record": self.record, "neurons": neurons, "activity": [neurons], "config": config,
            "seed": seed, "plan": folder / "plan.json", "arrays": folder / "plan.safetensors",
            "distractor": [self.file("other", "neurons.parquet")] * (name == "selective"),
            "manifest": self.manifest,
        }  # fmt: skip
        if static and list(parts) == ["sparsifier"] and section.measure is None:
            script("fit").main(**common, matched=[], classes=self.classes(section.scope))
        else:
            of_other = parts.get("compensation", {}).get("options", {}).get("corpus")
            evidence = ("sequences", "histograms", "thresholds", "norms")
            script("fit_with_model").main(
                **common, **{each: self.file("texts", f"{each}.parquet") for each in evidence},
                classes=[self.classes(section.scope)] if static else [],
                text=[self.file("other", "sequences.parquet")] if of_other else [],
                prepared=[], model=self.section, profile=PROFILE,
                training=folder / "training.parquet",
            )  # fmt: skip
        return Plan.read(folder / "plan.json", folder / "plan.safetensors")


@pytest.fixture(scope="module", params=["silu"])
def stages(request, tmp_path_factory, save_model):
    folder = tmp_path_factory.mktemp("stages")
    (folder / "made").mkdir()
    source = save_model(folder / "model", hidden_act=request.param)
    return Stages(folder / "made", source, Manifest("some_rule", "0" * 32))


@pytest.fixture(scope="module")
def calibration(stages):
    return calibrated(stages)


def calibrated(stages, **settings):
    return pipeline.Calibration(
        stages.model, stages.tokenizer, TEXTS, others={"other": OTHERS}, sequence_length=16,
        profile={"blocks": 3, "batch_size": 8}, **settings,
    )  # fmt: skip


def weights_of(model):
    return copy.deepcopy(model.state_dict())


def assert_untouched(model, weights):
    assert model.state_dict().keys() == weights.keys()
    for name, values in model.state_dict().items():
        assert torch.equal(values, weights[name]), name
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks


def logits(model):
    rows = torch.arange(5, 29).reshape(2, 12)
    with torch.inference_mode():
        return model(input_ids=rows).logits


#: With an activation that has exact zeros, what is active is counted otherwise.
PAIRS = [
    *(("silu", name) for name in METHODS),
    *(("relu", name) for name in ("drop_cold", "the cold set", "predicted", "teal", "topk")),
]


@pytest.mark.parametrize(("stages", "name"), PAIRS, indirect=["stages"])
def test_a_plan_is_the_one_of_a_studys_stages_and_does_what_the_evaluation_does(
    stages, calibration, tmp_path, name
):
    method, level = METHODS[name]
    weights = weights_of(stages.model)
    dense = logits(stages.model)
    wanted = stages.plan(method, level, tmp_path)
    if wanted.refused:
        with pytest.raises(Refused) as raised:
            calibration.fit(method, level)
        assert str(raised.value) == wanted.refused
        return
    plan = calibration.fit(method, level)
    assert_untouched(stages.model, weights)
    for field in dataclasses.fields(Plan):
        # A study's plan tells its model by files.
        if field.name not in ("arrays", "fingerprint"):
            assert getattr(plan, field.name) == getattr(wanted, field.name), field.name
    assert plan.arrays.keys() == wanted.arrays.keys()
    for key, values in plan.arrays.items():
        if key.startswith("compensation"):
            # Training adds up in another order where weights lie otherwise in memory.
            assert values == pytest.approx(wanted.arrays[key], rel=1e-3, abs=1e-5), key
        else:
            assert np.array_equal(values, wanted.arrays[key]), key

    evaluated = copy.deepcopy(stages.model)
    with ExitStack() as ends:
        forward = apply(plan, view(evaluated), ends)
        ends.enter_context(forward.watching(evaluated))
        expected = logits(evaluated)
    with pipeline.apply(stages.model, plan):
        assert torch.equal(logits(stages.model), expected)
    assert_untouched(stages.model, weights)
    assert torch.equal(logits(stages.model), dense)


def test_one_call_fits_as_a_calibration_does(stages, calibration):
    settings = {"sequence_length": 16, "profile": {"blocks": 3, "batch_size": 8}}
    plan = pipeline.fit(stages.model, stages.tokenizer, TEXTS, "cats", 0.5, **settings)
    same = calibration.fit("cats", 0.5)
    assert all(np.array_equal(values, same.arrays[key]) for key, values in plan.arrays.items())
    assert plan.achieved == same.achieved


def test_a_random_draw_takes_as_many_of_each_layer_as_another_plan(calibration):
    method = {"sparsifier": "drop_cold", "scope": "model"}
    coldest = calibration.fit(method, 0.3)
    drawn = calibration.fit({**method, "sparsifier": "drop_random"}, 0.3, seed=4, matched=coldest)
    assert drawn.seed == 4 and not np.array_equal(drawn.dropped, coldest.dropped)
    assert np.array_equal(drawn.dropped.sum(1), coldest.dropped.sum(1))


@pytest.mark.parametrize(
    "policy",
    [
        {"policy": "budget", "share": 0.3},
        {"policy": "stability", "share": 0.8, "other": "other"},
        {"policy": "perplexity", "rise": 0.05, "other": "other", "scope": "model"},
    ],
    ids=lambda policy: policy["policy"],
)
def test_any_policy_says_what_is_cold(calibration, policy):
    method = {"sparsifier": "drop_cold", "scope": policy.get("scope", "layer")}
    plan = calibration.fit(method, "cold", classification=policy)
    assert plan.dropped.sum() == plan.cold


def test_generated_answers_are_pruned_from_the_prompts_end_on(stages, calibration):
    model, prompt = stages.model, torch.arange(5, 17)[None]
    settings = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    dense = model.generate(prompt, **settings)
    plan = calibration.fit("griffin", 0.9)
    assert plan.sparse_from == "continuation"
    with pipeline.apply(model, plan) as applied:
        pruned = model.generate(prompt, **settings)
        assert applied.forward.skipped
        # Its first token is predicted by the prompt, which is dense.
        assert torch.equal(pruned[:, :13], dense[:, :13]) and not torch.equal(pruned, dense)
    assert torch.equal(model.generate(prompt, **settings), dense)


def test_a_plan_is_removed_once_and_may_then_be_applied_again(stages, calibration):
    weights, plan = weights_of(stages.model), calibration.fit("wanda", 0.5)
    applied = pipeline.apply(stages.model, plan)
    with pytest.raises(UserError, match="a plan is applied to this model already; remove it"):
        pipeline.apply(stages.model, plan)
    with pytest.raises(UserError, match="a plan is applied to this model; remove it before"):
        calibration.fit("teal", 0.5)
    applied.remove()
    applied.remove()
    assert_untouched(stages.model, weights)
    with pipeline.apply(stages.model, plan):
        pass


def test_a_model_is_fitted_as_it_is_when_not_in_training_and_left_in_training(stages, calibration):
    stages.model.train()
    plan = calibration.fit("teal", 0.3)
    assert stages.model.training
    stages.model.eval()
    assert plan.achieved == calibration.fit("teal", 0.3).achieved
    assert not stages.model.training


def test_a_saved_plan_is_loaded_as_it_was(stages, calibration, tmp_path):
    plan = calibration.fit(*METHODS["four parts"])
    pipeline.save_plan(plan, tmp_path / "plan", stages.model)
    again = pipeline.load_plan(tmp_path / "plan")
    for field in dataclasses.fields(Plan):
        if field.name != "arrays":
            assert getattr(again, field.name) == getattr(plan, field.name), field.name
    assert all(np.array_equal(values, again.arrays[key]) for key, values in plan.arrays.items())
    first = PLAN.read(tmp_path / "plan" / "plan.json")
    assert (first["model"], first["dtype"]) == (stages.section.source.split("/")[-1], "float32")
    with pipeline.apply(stages.model, plan):
        pipeline.save_plan(plan, tmp_path / "other", stages.model)
    # What it was fitted on is the model without it.
    assert PLAN.read(tmp_path / "other" / "plan.json")["weights_digest"] == first["weights_digest"]
    with pytest.raises(UserError, match="no plan is there; give a folder that holds a plan.json"):
        pipeline.load_plan(tmp_path)


def removing(level, shape):
    """A plan that removes all neurons of so many layers of such a width."""
    dropped = np.ones(shape, dtype=np.uint8)
    return Plan({}, str(level), 0, {"sparsifier/dropped": dropped})


REFUSED = {
    "an unknown name": (("tael", 0.5), {}, "unknown method 'tael'. Did you mean 'teal'?"),
    "an unknown part": (
        ({"sparsifer": "teal"}, 0.5), {},
        "method: sparsifer: unknown key. Did you mean 'sparsifier'?",
    ),
    "an unknown option": (
        ({"sparsifier": {"name": "teal", "alocation": "greedy"}}, 0.5), {},
        "method: sparsifier: {'name': 'teal', 'alocation': 'greedy'} is refused: teal has no "
        "option 'alocation'. Did you mean 'allocation'?",
    ),
    "a level of no kind": (
        ("teal", 1.5), {},
        "method: levels.0: 1.5 is refused: a level is a share above 0 and below 1, 'cold'",
    ),
    "a level of another kind": (
        ("teal", "cold"), {}, "method: levels: a level of teal is a number between 0 and 1",
    ),
    "no level": (("wanda",), {}, "method: levels: wanda removes a share of the weights"),
    "levels in the mapping": (
        ({"sparsifier": "teal", "levels": [0.5]}, 0.5), {},
        "method: levels is no key here; give the argument level",
    ),
    "a text that is not there": (
        ({"sparsifier": {"name": "selective", "distractor": "prose"}}, 0.5), {},
        "method: sparsifier.distractor: unknown corpus 'prose'. Known: other, texts.",
    ),
    "a classification that nothing goes by": (
        ("teal", 0.5), {"classification": {"policy": "budget", "share": 0.5}},
        "method: classification: teal has no use for one",
    ),
    "a classification of weights": (
        ("wanda", 0.5), {"classification": {"policy": "budget", "share": 0.5}},
        "classification: a method without a sparsifier goes by none; leave it out",
    ),
    "a policy without its share": (
        ("drop_cold", 0.5), {"classification": {"policy": "budget"}},
        "classification: share: budget needs it",
    ),
    "sets of another scope": (
        ("drop_cold", "cold"),
        {"classification": {"policy": "coverage", "share": 0.5, "scope": "model"}},
        "scope: the method's is 'layer' and the classification's 'model'",
    ),
    "a method of a study": (
        ({"sparsifier": {"name": "drop_random", "match": "drop_cold"}}, 0.5), {},
        "method: match names a method of a study; give that method's plan as matched",
    ),
    "a plan that nothing is matched to": (
        ("teal", 0.5), {"matched": Plan({}, "0.5", 0)},
        "matched: this method is matched to no other; leave it out",
    ),
    "a plan of another level": (
        ("drop_random", 0.5), {"matched": removing(0.25, (2, 24))},
        "matched: this plan is of level 0.25, sparse from start, and the method of level 0.5",
    ),
    "a plan of another model": (
        ("drop_random", 0.5), {"matched": removing(0.5, (3, 24))},
        "matched: this plan is of 3 layers of 24 neurons and the model has ",
    ),
    "a plan that removes nothing": (
        ("drop_random", 0.5), {"matched": Plan({}, "0.5", 0)},
        "matched: this plan removes no neurons for good; give one that does",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "settings", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_arguments_are_told(calibration, arguments, settings, message):
    with pytest.raises(UserError) as raised:
        calibration.fit(*arguments, **settings)
    assert str(raised.value).startswith(message)


def test_wrong_texts_models_and_profiles_are_told(stages, make_model):
    def calibrate(texts=TEXTS, model=stages.model, **settings):
        return pipeline.Calibration(model, stages.tokenizer, texts, **settings)

    for texts in ("one text", [], [3]):
        with pytest.raises(UserError, match="texts: give a list of texts, one string a document"):
            calibrate(texts)
    with pytest.raises(UserError, match="profile: bach_size: unknown key. Did you mean"):
        calibrate(profile={"bach_size": 1})
    with pytest.raises(UserError, match="sequence_length is 1000, and the model has 256 positions"):
        calibrate(sequence_length=1000)
    with pytest.raises(UserError, match="'LlamaModel' has no FFN view: .* Supported: "):
        calibrate(model=stages.model.model)
    with pytest.raises(UserError, match="the model lies on meta, and all of it is needed on one"):
        calibrate(model=copy.deepcopy(stages.model).to("meta"))
    quantized = make_model()
    quantized.config.quantization_config = {"bits": 4}
    with pytest.raises(UserError, match="quantized already, so they cannot be read as numbers"):
        calibrate(model=quantized)
    wider = make_model(intermediate_size=32)
    plan = calibrate(sequence_length=16).fit("topk", 0.5)
    with pytest.raises(UserError, match="is of a model with 48 FFN neurons and this one has 64"):
        pipeline.apply(wider, plan)
    with pytest.raises(UserError, match="was refused, so there is nothing to apply: for a reason"):
        pipeline.apply(stages.model, dataclasses.replace(plan, refused="for a reason"))


def test_a_tokenizer_is_left_as_it_was(stages):
    assert stages.tokenizer.pad_token is not None
    tokenizer = copy.deepcopy(stages.tokenizer)
    tokenizer.pad_token = None
    pipeline.Calibration(stages.model, tokenizer, TEXTS).fit("topk", 0.5)
    assert tokenizer.pad_token is None


def test_an_unknown_attribute_of_the_package_is_one():
    with pytest.raises(AttributeError, match="module 'pipeline' has no attribute 'fitt'"):
        pipeline.fitt  # noqa: B018
    for name in pipeline.__all__:
        assert getattr(pipeline, name).__doc__


def test_a_plan_of_other_layers_is_not_applied(stages):
    """Also where the model has as many neurons in all."""
    layers, width = 2, sum(ffn.d_ff for ffn in view(stages.model).ffns) // 2
    plan = dataclasses.replace(removing(0.5, (layers + 1, width)), neurons=layers * width)
    with pytest.raises(UserError, match=f"^the plan is of {layers + 1} layers of {width} neurons"):
        pipeline.apply(stages.model, plan)


def test_a_plan_of_other_weights_is_not_applied_and_not_matched(stages, calibration, tmp_path):
    """Of a model of the same shape; also of a plan that was saved."""
    plan = calibration.fit("drop_cold", 0.25)
    pipeline.save_plan(plan, tmp_path / "plan", stages.model)
    other = copy.deepcopy(stages.model)
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    for fitted in (plan, pipeline.load_plan(tmp_path / "plan")):
        with pytest.raises(UserError, match="the plan was fitted on other weights"):
            pipeline.apply(other, fitted)
        pipeline.apply(stages.model, fitted).remove()
    drawing = pipeline.Calibration(other, stages.tokenizer, TEXTS)
    with pytest.raises(UserError, match="matched: this plan was fitted on other weights"):
        drawing.fit("drop_random", 0.25, matched=plan)
    pipeline.apply(other, dataclasses.replace(plan, fingerprint=None)).remove()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sequence_length": 0}, "calibration: sequence_length: .*greater than or equal to 2"),
        ({"sequence_length": 2.5}, "calibration: sequence_length: .*integer"),
        ({"tokens": 0}, "calibration: tokens: .*greater than or equal to 1"),
        ({"others": {"texts": ["a b"]}}, "others: 'texts' is the name of the texts themselves"),
    ],
)
def test_wrong_sizes_and_names_of_texts_are_told(stages, settings, said):
    with pytest.raises(UserError, match=said):
        pipeline.Calibration(stages.model, stages.tokenizer, TEXTS, **settings)
    with pytest.raises(UserError, match="give a list of texts"):
        pipeline.Calibration(stages.model, stages.tokenizer, (text for text in TEXTS))
