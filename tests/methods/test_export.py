"""A plan written into a Hugging Face folder: reading it back gives the same logits."""

import json

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.methods.export import export
from pipeline.methods.plan import Plan
from pipeline.models.views import linear_layers, matrix, view
from pipeline.registry import ARCHITECTURES

TOKENS = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 2]])
DROP = {"sparsifier": {"name": "drop_cold", "options": {}}}


class Tokenizer:
    """Stands in for one: it only has to be saved beside the model."""

    def save_pretrained(self, folder):
        (__import__("pathlib").Path(folder) / "tokenizer.json").write_text("{}")


def logits(model):
    with torch.inference_mode():
        return model(TOKENS).logits


def written(plan, model, folder):
    """(what was said, logits of the model as it was changed, logits of the one read back)."""
    from transformers import AutoModelForCausalLM

    *said, size = export(plan, model, Tokenizer(), folder)
    assert size.endswith(" MB, weights in float32")
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return said, logits(model), logits(again)


def dropping(rows, **facts):
    return Plan(DROP, "0.5", 0, {"sparsifier/dropped": rows.astype(np.uint8)}, **facts)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equally_many_neurons_are_cut_out_and_the_configuration_says_so(
    make_model, tmp_path, architecture
):
    rows = np.zeros((2, 24), dtype=bool)
    rows[0, :8], rows[1, 16:] = True, True
    model = make_model(architecture)
    said, changed, again = written(dropping(rows), model, tmp_path / "out")
    assert torch.equal(changed, again)
    assert said[-1].startswith("16 of 48 FFN neurons are cut out: ") and said[-1].endswith(" is 16")
    facts = json.loads((tmp_path / "out" / "config.json").read_text())
    widths = {facts.get(name) for name in ("intermediate_size", "ffn_dim", "n_inner")} - {None}
    assert widths == {16}
    assert (tmp_path / "out" / "tokenizer.json").exists()


def test_cutting_out_changes_no_more_than_the_order_of_sums(make_model, tmp_path):
    from pipeline.methods.apply import remove

    rows = np.zeros((2, 24), dtype=bool)
    rows[:, ::3] = True
    zeroed = make_model()
    remove(rows, view(zeroed))
    _, cut, _ = written(dropping(rows), make_model(), tmp_path / "out")
    torch.testing.assert_close(cut, logits(zeroed), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lost", [(1, 2), (24, 24)])
def test_other_numbers_of_neurons_are_zero_in_place(make_model, tmp_path, lost):
    rows = np.zeros((2, 24), dtype=bool)
    for layer, number in enumerate(lost):
        rows[layer, :number] = True
    said, changed, again = written(dropping(rows), make_model(), tmp_path / "out")
    assert torch.equal(changed, again) and "zero in place" in said[-1]
    assert json.loads((tmp_path / "out" / "config.json").read_text())["intermediate_size"] == 24


def bias_plan(model, sites):
    arrays = {
        f"compensation/{layer}/{name}": np.full(matrix(module).shape[0], 0.25, dtype=np.float32)
        for layer, block in enumerate(view(model).blocks)
        for name, module in linear_layers(block)
        if name.endswith(sites)
    }
    part = {"name": "mean_bias", "options": {"sites": "all"}}
    weights = {"name": "wanda", "options": {"pattern": "unstructured", "share": None}}
    return Plan({"weights": weights, "compensation": part}, "0.5", 0, arrays)


@pytest.mark.parametrize("sites", [("down_proj",), ("proj",)])
def test_folded_biases_are_written_where_the_configuration_has_a_place_for_them(
    make_model, tmp_path, sites
):
    model = make_model()
    before = logits(model)
    said, changed, again = written(bias_plan(model, sites), model, tmp_path / "out")
    assert torch.equal(changed, again) and not torch.equal(changed, before)
    assert "mlp_bias is true" in said[-1]
    facts = json.loads((tmp_path / "out" / "config.json").read_text())
    assert facts["mlp_bias"] and facts["attention_bias"] is (sites == ("proj",))


def test_a_model_that_has_biases_takes_them_without_a_word(make_model, tmp_path):
    model = make_model("OPTForCausalLM")
    said, changed, again = written(bias_plan(model, ("fc2",)), model, tmp_path / "out")
    assert torch.equal(changed, again) and said == ["weights: wanda", "compensation: mean_bias"]


def test_biases_without_a_place_are_refused_and_nothing_is_left(make_model, tmp_path):
    model = make_model("MistralForCausalLM")
    with pytest.raises(
        UserError, match="MistralForCausalLM: the written model gives other logits when read back"
    ):
        export(bias_plan(model, ("down_proj",)), model, Tokenizer(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_pruned_and_quantized_weights_are_written(make_model, tmp_path):
    model = make_model()
    layout = view(model)
    generator = np.random.default_rng(0)
    masks = {
        f"weights/{layer}/{name}/mask": np.packbits(
            generator.random(tuple(matrix(module).shape)) < 0.5, axis=1
        )
        for layer, block in enumerate(layout.blocks)
        for name, module in linear_layers(block)
    }
    parts = {
        "weights": {"name": "wanda", "options": {"pattern": "unstructured", "share": None}},
        "quantization": {"name": "int4", "options": {"group": 8}},
    }
    said, changed, again = written(Plan(parts, "0.5", 0, masks), model, tmp_path / "out")
    assert torch.equal(changed, again) and said == ["weights: wanda", "quantization: int4"]
    zeros = sum(int((matrix(m) == 0).sum()) for b in layout.blocks for _, m in linear_layers(b))
    assert zeros >= 0.4 * layout.linear_weights


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(DROP, "0.5", 0, refused="it makes no sense"), "nothing to apply: it makes no sense"),
        (
            Plan({"sparsifier": {"name": "teal", "options": {"allocation": "uniform"}}}, "0.5", 0),
            "teal decides at every token",
        ),
        (dropping(np.zeros((2, 24)), sparse_from=8), "fit the method with sparse_from: start"),
    ],
)
def test_what_weights_cannot_hold_is_refused(make_model, tmp_path, plan, said):
    with pytest.raises(UserError, match=said):
        export(plan, make_model(), Tokenizer(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(make_model, tmp_path):
    with pytest.raises(UserError, match="exists already; give another folder as --out"):
        export(dropping(np.zeros((2, 24))), make_model(), Tokenizer(), tmp_path)
