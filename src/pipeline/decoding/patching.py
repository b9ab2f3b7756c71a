"""Make a Hugging Face model decode through the kernels."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.decoding.crossover import Times
from pipeline.decoding.modules import BlockPatch, Patched, Phase
from pipeline.kernels.activations import kernel_name
from pipeline.kernels.interface import AUTO, check_timed
from pipeline.models.skips import DENSE, PREFILLS, SPARSE, Chosen, LayerRules, Rules
from pipeline.models.views import ModelView, linear_layers, view

#: Attribute that marks a patched model.
_MARK = "decodes_through_kernels"
#: Attribute that marks a model whose neurons were cut out; it outlives the patch.
_CUT = "neurons_cut_out"


def patch(
    model: Any,
    plan: Rules,
    *,
    prefill: str | None = None,
    expected: Mapping[int, float] | float | None = None,
    fall_back: bool = True,
    backend: str = AUTO,
) -> Patched:
    """Make a model's decoding go through the kernels, in place, as a plan has it.

    Neurons that the plan drops are cut out of the matrices. What it decides token by token goes
    through `sparse_ffn` and `sparse_linear` in passes that go on with a sequence, one token each.
    In passes over several tokens of a sequence (`prefill`) a plan that starts where the prompt ends
    does nothing (`dense`), and one that starts at the first token masks the results of dense
    products (`sparse`). The argument overrides the plan, which makes it a different method. More
    than 16 sequences at once are also computed in this way.

    Where the share that is expected to be skipped (the plan's own figure, or one given for all
    layers, or by layer) lies below the crossover that is measured here for 1, 2, 4, 8 and 16
    sequences at once, or the kernel never wins, the layer stays dense and masked for that many
    sequences and more: it gives the method's result, and is slower than the model without the
    method. With `fall_back` off kernels are used in any case.

    Where kernels are used packed weights take the place of the model's own, which become views of
    them, so memory does not grow, except by padding rows to a multiple of 64 and by a matrix that
    holds gate and up together (Phi-3), which is kept twice. torch multiplies by such views more
    slowly: prefill may take half as long again. While the patch lasts, the kernels would not see
    weights that are written into the model, hooks on h or copies: `remove` the patch first. Copying
    the model raises TypeError, and so does watching h through a view.

    ValueError for a plan that has no rules, an unknown `prefill`, a backend that only runs in an
    interpreter here, a model that is patched already, and rules that do not fit the model or one
    another; the model then has its own forward passes back.
    """
    import torch

    if not hasattr(plan, "for_kernels"):
        raise ValueError(f"a {type(plan).__name__} is nothing that the kernels can use: pass "
                         "pipeline.decoding.of_plan.for_kernels(plan)")  # fmt: skip
    check_timed(backend)
    chosen = plan.prefill if prefill is None else prefill
    if chosen not in PREFILLS:
        raise ValueError(f"prefill is {chosen!r}, expected {DENSE} or {SPARSE}")
    if hasattr(model, _MARK):
        raise ValueError("this model is patched already; remove that patch first")
    layout = view(model)
    rules = plan.for_kernels(layout)
    _check(layout, rules)
    patched = Patched()
    phase = Phase(chosen == DENSE)
    times: dict[tuple, Times] = {}
    try:
        with torch.no_grad():
            setattr(model, _MARK, True)
            patched.at_end(delattr, model, _MARK)
            # Views of packed memory cannot be written to a file.
            model.save_pretrained = _not_saved
            patched.at_end(_saved_again, model)
            hook = model.base_model.register_forward_pre_hook(phase.before, with_kwargs=True)
            patched.at_end(hook.remove)
            for ffn, own in zip(layout.ffns, rules, strict=True):
                if own.dropped is not None and bool(own.dropped.any()):
                    ffn.slice(own.dropped)
                    setattr(model, _CUT, True)
            layout = view(model)
            for layer, own in enumerate(rules):
                given = expected.get(layer) if isinstance(expected, Mapping) else expected
                wanted = own.expected if given is None else given
                block = BlockPatch(patched, phase, layer, wanted, fall_back, backend, times)
                # Where a plan leaves no neuron there is nothing to skip.
                if own.neurons is not None and layout.ffns[layer].d_ff:
                    block.neurons(layout.ffns[layer], own.neurons)
                named = dict(linear_layers(layout.blocks[layer]))
                for name, threshold in own.channels.items():
                    block.channels(name, named[name], threshold)
    except BaseException:
        patched.remove()
        raise
    return patched


def _check(layout: ModelView, rules: Sequence[LayerRules]) -> None:
    """ValueError for rules that do not fit the model or one another."""
    if len(rules) != len(layout.ffns):
        raise ValueError(f"rules for {len(rules)} blocks; the model has {len(layout.ffns)}")
    for layer, (own, ffn) in enumerate(zip(rules, layout.ffns, strict=True)):
        named = dict(linear_layers(layout.blocks[layer]))
        if unknown := sorted(set(own.channels) - set(named)):
            raise ValueError(f"block {layer} has no linear layer {unknown[0]}: {', '.join(named)}")
        if own.neurons is None:
            continue
        kernel_name(ffn.activation)
        modules = {p.module for p in (*ffn.inner, ffn.down)}
        if both := [name for name in own.channels if named[name] in modules]:
            raise ValueError(f"block {layer}: rules for its neurons and for channels of {both[0]}")
        if isinstance(own.neurons, Chosen) and ffn.before is None:
            raise ValueError(
                f"block {layer}: what its FFN reads passes no norm, before which a choice could be "
                "made"
            )


def _not_saved(*_args: object, **_more: object) -> None:
    raise TypeError(
        "a patched model is not saved: remove the patch first, or, where it has cut neurons out "
        "and no configuration tells of what is left, have python -m pipeline apply write the model "
        "that the plan makes"
    )


def _saved_again(model: Any) -> None:
    """Let a model be saved again, unless its FFNs have sizes that no configuration can describe."""
    if not hasattr(model, _CUT):
        del model.save_pretrained
