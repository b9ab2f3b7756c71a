"""What all sparsifiers that go token by token promise, on models of every shape."""

import pytest
import torch

from pipeline.methods.plan import Refused
from pipeline.methods.sparsifiers.by_input import largest
from pipeline.methods.sparsifiers.cett import within
from pipeline.methods.sparsifiers.thresholds import above
from pipeline.methods.sparsifiers.wina import kept
from pipeline.registry import SPARSIFIERS

NAMES = [name for name in SPARSIFIERS if not SPARSIFIERS.load(name).static]
KINDS = ["gated-silu", "gated-relu", "opt", "neox", "gpt2"]
#: Linear layers whose inputs a method may skip: all of them, or the down projection alone.
EVERY = {"teal", "wina", "rsparse"}
DOWN = {"down_proj", "fc2", "dense_4h_to_h", "c_proj"}


@pytest.fixture(scope="module")
def known(sparsifier):
    """A function: as `sparsifier`, made once; the test is skipped where the model is refused."""
    made = {}

    def of(name, kind):
        if (name, kind) not in made:
            try:
                made[name, kind] = sparsifier(name, kind)
            except Refused as reason:
                made[name, kind] = str(reason)
        return made[name, kind]

    return of


def inputs(found, name):
    """The inputs, of what was read, that the method decides on."""
    return {
        place: x
        for place, x in found.items()
        if name in EVERY or (place[1].rpartition(".")[2] in DOWN and "attn" not in place[1])
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_share_of_0_is_the_dense_model_bit_for_bit(known, logits, name, kind):
    made = known(name, kind)
    if isinstance(made, str):
        assert name == "cats" and "no gate" in made
        return
    model = made.evidence.model
    dense = logits(model)
    with made.attached(0.0):
        assert torch.equal(logits(model), dense)
    assert torch.equal(logits(model), dense)
    # More than half of h is zero by itself with ReLU.
    with made.attached(0.8):
        assert not torch.equal(logits(model), dense)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_told_to_be_skipped_at_a_share_of_0(known, logits, name, kind):
    made = known(name, kind)
    if isinstance(made, str):
        return
    with made.attached(0.0) as forward:
        logits(made.evidence.model)
        for told in forward.skipped.values():
            assert not any(m.any() for m in (told.before, told.gate, told.hidden) if m is not None)
        assert all(bool(mask.all()) for mask in forward.kept.values())
        # A predictor is read, whatever it says.
        assert not forward.extra or name == "predicted"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_higher_share_skips_no_fewer_pairs_and_at_1_all(known, logits, reads, name, kind):
    """Counted are the zeros among what layers read, natural ones included: later layers make more
    of those by themselves when earlier ones skip."""
    made = known(name, kind)
    if isinstance(made, str):
        return
    model, shares, zeros = made.evidence.model, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), []
    for share in shares:
        with made.attached(share):
            found = inputs(reads(made.evidence.layout, lambda: logits(model)), name)
        zeros.append(sum(int((x == 0).sum()) for x in found.values()))
    assert zeros == sorted(zeros) and zeros[1] < zeros[-2]
    assert zeros[-1] == sum(x.numel() for x in found.values())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_told_is_what_is_zero(known, logits, reads, name):
    """Nothing that is told to be skipped is read, and what is skipped is told or zero anyway."""
    made = known(name, "gated-silu")
    model, layout = made.evidence.model, made.evidence.layout
    dense = reads(layout, lambda: logits(model))
    with made.attached(0.5) as forward:
        found = reads(layout, lambda: logits(model))
        skipped = {
            layer: torch.stack([m for m in (t.before, t.gate, t.hidden) if m is not None]).any(0)
            for layer, t in forward.skipped.items()
        }
    for layer, ffn in enumerate(layout.ffns):
        mask = skipped[layer].reshape(-1, ffn.d_ff)
        assert mask.any() and not mask.all()
        assert torch.equal(found[layer, "mlp.down_proj"] == 0, mask)
    for module, mask in forward.kept.items():
        ((layer, place),) = [
            (layer, name)
            for layer, block in enumerate(layout.blocks)
            for name, found_module in block.named_modules()
            if found_module is module
        ]
        assert torch.equal(found[layer, place] != 0, mask.reshape(-1, mask.shape[-1]))
    # Up to the first thing that is skipped the model is dense.
    first = (0, "self_attn.q_proj") if name in EVERY else (0, "mlp.gate_proj")
    changed = found[first] != 0
    assert torch.equal(found[first][changed], dense[first][changed])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["gated-silu", "opt"])
def test_fitting_again_gives_the_same_arrays(sparsifier, name, kind):
    try:
        first, second = (sparsifier(name, kind).at(0.4) for _ in range(2))
    except Refused:
        return
    assert first.keys() == second.keys()
    assert all((first[key] == second[key]).all() for key in first)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_collected_of_one_model_is_not_used_for_another(sparsifier, evidence_of, name):
    made = sparsifier(name, "gated-relu")
    made.at(0.5)
    other = evidence_of("gated-silu")
    prepared, _ = made.entry.prepare(other, made.options)
    stale = made.entry.at(other, prepared, made.options, 0.5)
    fresh = SPARSIFIERS.load(name)().at(other, prepared, made.options, 0.5)
    assert stale.keys() == fresh.keys()
    assert all((stale[key] == fresh[key]).all() for key in fresh)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_models_of_half_precision_are_dense_at_0_and_finite_above(
    make_model, make_evidence, sparsifier, logits, name, dtype
):
    model = make_model(hidden_act="silu", num_key_value_heads=1).to(dtype)
    made = sparsifier(name, make_evidence(model))
    dense = logits(model)
    with made.attached(0.0):
        assert torch.equal(logits(model), dense)
    with made.attached(0.5):
        sparse = logits(model)
    assert sparse.dtype == dtype and bool(sparse.isfinite().all())
    assert not torch.equal(sparse, dense)


X = torch.randn(5, 12, generator=torch.Generator().manual_seed(4))
NORMS = torch.rand(12, generator=torch.Generator().manual_seed(3)) + 0.5


def quantile(values, share):
    """As fitted on the whole of X; 0 at a share of 0."""
    return float(torch.quantile(values.abs().flatten(), share)) if share else 0.0


#: Rules (tokens, channels), share, norms -> bool, true where a value is kept; the thresholds of
#: cats and percentile are compared by the rule of teal.
CORES = {
    "teal": lambda x, share, norms: above(x, quantile(X, share)),
    "wina": lambda x, share, norms: kept(x, norms, share),
    "topk": lambda x, share, norms: largest(x.abs() * norms, 12 - round(share * 12)),
    "cett": lambda x, share, norms: ~within(x, norms, quantile(X * NORMS, share)),
}


@pytest.mark.parametrize("name", CORES)
def test_kept_sets_of_one_input_are_nested(name):
    masks = [CORES[name](X, share / 10, NORMS) for share in range(11)]
    assert masks[0].all() and not masks[-1].any()
    assert all((low >= high).all() for low, high in zip(masks, masks[1:], strict=False))
    assert all(not torch.equal(low, high) for low, high in zip(masks, masks[1:], strict=False))


@pytest.mark.parametrize("name", CORES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_masking_twice_is_masking_once(name, share):
    core = CORES[name]
    once = X.masked_fill(~core(X, share, NORMS), 0)
    assert torch.equal(once.masked_fill(~core(once, share, NORMS), 0), once)


@pytest.mark.parametrize("name", CORES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_permuted_channels_have_the_permuted_mask(name, share):
    order = torch.randperm(12, generator=torch.Generator().manual_seed(5))
    mask = CORES[name](X, share, NORMS)
    assert torch.equal(CORES[name](X[:, order], share, NORMS[order]), mask[:, order])
    assert mask.any() and not mask.all()


@pytest.mark.parametrize("name", ["wina", "topk"])
@pytest.mark.parametrize("share", [0.0, 0.1, 1 / 3, 0.5, 0.96, 1.0])
def test_as_many_are_kept_at_every_token(name, share):
    assert CORES[name](X, share, NORMS).sum(1).tolist() == [12 - round(share * 12)] * 5
