"""The contracts of every architecture, and the list of what they proved."""

import json
from dataclasses import replace

import pytest
import torch

from pipeline.models import gated
from pipeline.models.views import ModelView
from pipeline.registry import ARCHITECTURES
from tests.conftest import PROJECT
from tests.contracts import contracts, listed
from tests.contracts.contracts import CONTRACTS, Case, cases, passed, within
from tests.contracts.drawings import (
    DRAWINGS,
    IN_TURN,
    LAYER,
    RMS,
    SIDE_BY_SIDE,
    Computation,
)

LIST = PROJECT / "docs" / "architectures.json"


@pytest.fixture
def afresh():
    """Outcomes are found anew in the test, and after it."""
    listed.outcome.cache_clear()
    yield
    listed.outcome.cache_clear()


@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_contract_holds(architecture, name):
    bound, reason = listed.outcome(architecture, name)
    if reason and reason.startswith("not tried"):
        pytest.skip(reason)
    assert reason is None and bound in ("exact", "within 1e-5", "within 1e-4")


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_the_list_has_what_was_proved(architecture):
    told = json.loads(LIST.read_text(encoding="utf-8"))["architectures"]
    assert told[architecture] == listed.entry(architecture), "run `make docs`"


def test_the_list_has_every_architecture_and_says_what_was_tried():
    told = json.loads(LIST.read_text(encoding="utf-8"))
    assert list(told.pop("architectures")) == sorted(ARCHITECTURES)
    assert told.pop("transformers") in pinned(), "run `make docs`"
    assert told == {key: value for key, value in listed.head().items() if key in told}
    assert set(listed.head()) == {*told, "transformers"}


def pinned():
    """The versions of transformers that the project is installed with."""
    lines = [line for path in (PROJECT / "constraints").glob("*.txt") for line in path.open()]
    return {line.split("==")[1].strip() for line in lines if line.startswith("transformers==")}


def altered(drawing):
    """The drawing with one thing otherwise."""
    first, second, third, fourth = drawing.norms
    yield replace(drawing, norm=RMS if drawing.norm == LAYER else LAYER)
    yield replace(drawing, rotary=not drawing.rotary)
    if third:
        yield replace(drawing, norms=(first, second, None, fourth))
        other = {IN_TURN: SIDE_BY_SIDE, SIDE_BY_SIDE: IN_TURN}[drawing.residual]
        yield replace(drawing, residual=other)
    if fourth:
        yield replace(drawing, norms=(first, second, third, None))
        yield replace(drawing, of_the_sum=not drawing.of_the_sum)
    for part in ("qk_norm", "attention_cap", "final_cap", "scaled", "divided", "products"):
        if getattr(drawing, part):
            yield replace(drawing, **{part: None})
    if second and second != "self_attn_layer_norm":
        yield replace(drawing, norms=(first, None, third, fourth))


def differences(case):
    """How far block and logits are from their computation by hand."""
    blocks, logits = passed(case.model)
    owner = Computation(case.drawing, case.model.config, case.model)
    pairs = [(seen.made, case.computed(n, seen).made) for n, seen in enumerate(blocks)]
    pairs.append((logits, owner.logits(blocks[-1].made.double())))
    return [float((one - other).abs().max() / other.abs().max()) for one, other in pairs]


@pytest.mark.parametrize("architecture", sorted(DRAWINGS))
def test_a_drawing_with_one_thing_otherwise_does_not_fit(architecture):
    for case in list(cases(architecture))[::3]:
        assert max(differences(case)) < 1e-5
        for drawing in altered(case.drawing):
            if drawing.rotary and not hasattr(case.model.config, "rope_parameters"):
                continue
            other = Case(drawing, case.activation, case.model)
            assert max(differences(other)) > 1e-3, drawing


def watching(monkeypatch, change):
    """Views are what `change` makes of the model's own."""
    own = contracts.view

    def view(model):
        layout = own(model)
        return ModelView([change(ffn, model) for ffn in layout.ffns], layout.blocks)

    monkeypatch.setattr(contracts, "view", view)


def failing(architecture):
    """The contracts that do not hold."""
    return {name for name in CONTRACTS if listed.outcome(architecture, name)[1]}


@pytest.mark.parametrize("architecture", ["Gemma2ForCausalLM", "Gemma3ForCausalLM"])
def test_a_view_at_the_wrong_norm_does_not_hold(monkeypatch, afresh, architecture):
    """Where Llama's view would look, there is the norm behind the attention."""

    def wrong(model):
        return gated._views(model, "post_attention_layernorm", model.config.hidden_activation)

    monkeypatch.setattr(contracts, "view", wrong)
    assert failing(architecture) == {"residual_stream"}
    entry = listed.entry(architecture)
    assert entry["not_proved"] == {"residual_stream": "does not hold: not within 1e-5"}
    assert "residual_stream" not in entry["proved"] and entry["forms"] == []


def test_a_view_of_the_wrong_matrices_does_not_hold(monkeypatch, afresh):
    """Gate and up the other way round compute another h; the model itself is what it was."""
    watching(monkeypatch, lambda ffn, _: replace(ffn, inner=ffn.inner[::-1]))
    assert failing("LlamaForCausalLM") >= {"matrices", "view_computes_the_ffn"}


def test_a_view_of_the_wrong_block_does_not_hold(monkeypatch, afresh):
    """The last block's FFN first."""
    own = contracts.view
    monkeypatch.setattr(
        contracts, "view", lambda model: ModelView(own(model).ffns[::-1], own(model).blocks)
    )
    assert failing("Olmo2ForCausalLM") >= {"matrices", "h", "ffn_input", "residual_stream"}


def test_an_architecture_without_a_drawing_is_not_proved(monkeypatch, afresh):
    monkeypatch.delitem(DRAWINGS, "Qwen2ForCausalLM")
    entry = listed.entry("Qwen2ForCausalLM")
    needed = {"h", "ffn_input", "residual_stream", "block_output", "logits", "matrices"}
    assert needed < set(entry["not_proved"]) and entry["forms"] == [] and entry["ffn"] is None
    assert all(
        reason.startswith("not tried: no drawing") for reason in entry["not_proved"].values()
    )
    assert entry["proved"]["zeroing_equals_masking"] == "within 1e-5"


def test_a_bound_is_a_share_of_the_largest_number():
    wanted = torch.tensor([0.0, -2.0])
    assert within(torch.tensor([1.9e-5, -2.0]), wanted) == "within 1e-5"
    with pytest.raises(AssertionError):
        within(torch.tensor([2.1e-5, -2.0]), wanted)
    with pytest.raises(AssertionError):
        within(torch.tensor([0.0, float("nan")]), wanted)
