"""Methods of several parts, run for real: what they make, what reruns, what can be written."""

import json

import polars as pl
import pytest

pytestmark = pytest.mark.workflow

CONFIG = "configs/methods.yaml"
METHODS = """\
methods:
  greedy:
    sparsifier: {name: teal, allocation: greedy}
    corpus: reasoning
    levels: [0.4]
    measure: model_weight_sparsity
  cats:
    sparsifier: cats
    corpus: reasoning
    levels: [0.5, 0.9]
    measure: ffn_weight_sparsity
  everything:
    weights: {name: wanda, share: 0.25}
    quantization: int8
    sparsifier: wina
    compensation: {name: spon, steps: 4, every: 2, batch: 4}
    corpus: reasoning
    levels: [0.3]
  wanda:
    weights: wanda
    corpus: reasoning
    levels: [0.25]
  int4:
    quantization: int4
    corpus: reasoning
    levels: [whole]
  cold:
    sparsifier: drop_cold
    corpus: reasoning
    classification: coverage80
    levels: [0.25]
    scope: layer
"""
FOLDERS = {
    "greedy/0.4", "cats/0.5", "cats/0.9", "everything/0.3", "wanda/0.25", "int4/whole", "cold/0.25"
}  # fmt: skip


@pytest.fixture(scope="module")
def methods(fresh_module):
    """A finished study of them on one model."""
    text = (fresh_module.folder / "configs/tiny.yaml").read_text()
    head, tail = text[: text.index("method_defaults:")], text[text.index("evaluation:") :]
    text = (head + METHODS + "\n" + tail).replace("ref-reglu", "ref-swiglu")
    text = text.replace("study: tiny", "study: methods").replace("limit: 12", "limit: 6")
    (fresh_module.folder / CONFIG).write_text(text)
    fresh_module.run(config=CONFIG)
    return fresh_module


def plans(methods):
    found = {}
    for path in (methods.work / "results/methods/fit/ref-swiglu").glob("*/*/0/plan.json"):
        found["/".join(path.parts[-4:-2])] = json.loads(path.read_text())["body"]
    return found


def test_every_method_has_a_plan_and_the_impossible_one_its_reason(methods):
    found = plans(methods)
    assert set(found) == FOLDERS
    refused = {name: body["refused"] for name, body in found.items() if body["refused"]}
    assert list(refused) == ["cats/0.9"] and "0.000 to 0.667" in refused["cats/0.9"]
    page = (methods.work / "results/methods/report/index.html").read_text()
    assert "ffn_weight_sparsity 0.9 is outside what this method can reach on this model" in page


def test_targets_are_met_on_the_evaluated_text_and_weights_are_counted(methods):
    found = plans(methods)
    assert found["greedy/0.4"]["achieved"]["total"]["model_weight_sparsity"] == pytest.approx(
        0.4, abs=0.003
    )
    for name, measure, level in (
        ("greedy/0.4", "model_weight_sparsity", 0.4),
        ("cats/0.5", "ffn_weight_sparsity", 0.5),
        ("wanda/0.25", "model_weight_sparsity", 0.25),
        ("int4/whole", "model_weight_sparsity", 0.0),
    ):
        path = methods.work / f"results/methods/evaluate/ref-swiglu/{name}/0/sparsity.parquet"
        rows = pl.read_parquet(path).filter(
            (pl.col("basis") == "total") & (pl.col("task") == "chain")
        )
        assert rows[measure][0] == pytest.approx(level, abs=0.03), name


def test_training_leaves_its_curve_and_no_checkpoint(methods):
    folder = methods.work / "results/methods/fit/ref-swiglu/everything/0.3/0"
    assert sorted(p.name for p in folder.iterdir()) == [
        "plan.json", "plan.safetensors", "training.parquet"
    ]  # fmt: skip
    curve = pl.read_parquet(folder / "training.parquet")
    assert curve["step"].to_list() == [0, 2, 4] and curve["best"].sum() == 1
    prepared = methods.work / "results/methods/prepare/ref-swiglu"
    assert sorted(p.name for p in prepared.iterdir()) == ["everything", "greedy"]


def test_the_page_sets_methods_side_by_side(methods):
    page = (methods.work / "results/methods/report/index.html").read_text()
    assert "40% of the weights of the blocks&#39; linear layers not read" in page
    assert "50% of the FFN weights not read" in page


def test_nothing_is_left_to_do(methods):
    assert methods.planned(config=CONFIG) == {}


CATS, INTEGERS = {"cats/0.5", "cats/0.9"}, {"everything/0.3", "int4/whole"}


@pytest.mark.parametrize(
    ("module", "old", "new", "conditions"),
    [
        ("methods/weights/wanda.py", '"row")', '"matrix")', {"everything/0.3", "wanda/0.25"}),
        ("methods/sparsifiers/wina.py", "share * x.shape", "2 * x.shape", {"everything/0.3"}),
        ("methods/sparsifiers/cats.py", "for layer in layers", "for _ in layers", CATS),
        ("methods/quantizers/integers.py", "bits = 4", "bits = 3", INTEGERS),
        ("methods/compensation/spon.py", "new_zeros", "new_ones", {"everything/0.3"}),
    ],
)
def test_a_part_edited_plans_the_conditions_that_name_it(methods, module, old, new, conditions):
    path = methods.folder / "src/pipeline" / module
    before = path.read_text()
    try:
        methods.edit(f"src/pipeline/{module}", old, new)
        jobs = methods.planned(config=CONFIG)
    finally:
        path.write_text(before)
    assert {"/".join(p.split("/")[4:6]) for p in jobs["fit_with_model"]} == conditions
    assert {"/".join(p.split("/")[4:6]) for p in jobs["evaluate"]} == conditions
    assert set(jobs) <= {"prepare", "fit_with_model", "evaluate", "analyse", "build_report"}


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("cold/0.25", "are cut out: intermediate_size is "),
        ("wanda/0.25", "weights: wanda"),
        ("int4/whole", "quantization: int4"),
    ],
)
def test_a_plan_becomes_a_model(methods, tmp_path, capsys, condition, said):
    from pipeline.__main__ import main

    plan = methods.work / f"results/methods/fit/ref-swiglu/{condition}/0"
    assert main(["apply", str(plan), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "weights in float16, as in the checkpoint; the study computed in float32\n" in printed
    assert said in printed and printed.endswith(f"written: {(tmp_path / 'out').resolve()}\n")
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert (tmp_path / "out" / "tokenizer.json").exists()


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("greedy/0.4", "teal decides at every token"),
        ("everything/0.3", "wina decides at every token .* wanda and int8 and spon alone"),
        (
            "cats/0.9",
            "this plan was refused, .* nothing to apply: ffn_weight_sparsity 0.9 is outside",
        ),
        ("none/0.5", "no plan is there; give a folder of results/STUDY/fit"),
    ],
)
def test_what_cannot_become_a_model_is_told(methods, tmp_path, capsys, condition, said):
    import re

    from pipeline.__main__ import main

    plan = methods.work / f"results/methods/fit/ref-swiglu/{condition}/0"
    assert main(["apply", str(plan), "--out", str(tmp_path / "out")]) == 2
    assert re.search(said, capsys.readouterr().err, re.DOTALL)
    assert not (tmp_path / "out").exists()


def test_a_plan_of_other_weights_is_refused(methods, tmp_path, capsys):
    from pipeline.__main__ import main

    plan = methods.work / "results/methods/fit/ref-swiglu/int4/whole/0/plan.json"
    arguments = ["apply", str(plan), "--out", str(tmp_path / "out"), "--model"]
    assert main([*arguments, "builtin:ref-geglu"]) == 2
    assert (
        "its weights are not those that this plan was fitted on; give that model"
        in capsys.readouterr().err
    )
