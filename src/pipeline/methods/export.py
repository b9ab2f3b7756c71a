"""Write a model that a plan is applied to as a Hugging Face folder."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.methods.apply import apply, entry_of, remove
from pipeline.methods.plan import Plan
from pipeline.models.forward import START
from pipeline.models.views import ModelView, linear_layers, view

if TYPE_CHECKING:
    import torch

#: Where configurations keep the number of FFN neurons.
_WIDTHS = ("intermediate_size", "ffn_dim", "n_inner")
#: Configuration key -> linear layers that it gives biases to, by the end of their names.
_BIASES = {
    "mlp_bias": ("gate_proj", "up_proj", "down_proj"),
    "attention_bias": ("q_proj", "k_proj", "v_proj", "o_proj"),
}
_PROBE = 16


def export(
    plan: Plan, model: Any, tokenizer: Any, folder: Path, dtype: str | None = None
) -> list[str]:
    """Apply the plan to the model in place, write it, and say in sentences what was done. `dtype`
    is the type of the weights as they are written; None for the model's own.

    Neurons are cut out where all layers lose equally many, and zeroed otherwise. The folder appears
    complete or not at all: it is read back first, and has to give the same logits. UserError for a
    plan that weights cannot express, for a model whose configuration has no place for biases, and
    for a folder that is there already.
    """
    import torch

    check(plan, folder)
    before = {name for name, _ in model.named_parameters()}
    with ExitStack() as ends:
        apply(plan, view(model), ends)
    said = [f"{kind}: {part['name']}" for kind, part in plan.parts.items()]
    said += _cut(plan, model)
    made = {name for name, _ in model.named_parameters()} - before
    if made:
        said.append(_configured(model, made))
    if dtype is not None:
        _cast(model, getattr(torch, dtype))
    tokens = torch.arange(_PROBE, device=next(model.parameters()).device)[None]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if not _same(model, Path(partial), tokens):
            raise UserError(
                f"{type(model).__name__}: the written model gives other logits when read back; its "
                "configuration cannot say what was changed, so nothing was written"
            )
        shutil.copytree(partial, folder)
    # Made for its owner alone, as temporary folders are.
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    size = sum(path.stat().st_size for path in folder.iterdir())
    said.append(f"{size / 1e6:,.1f} MB, weights in {str(model.dtype).removeprefix('torch.')}")
    return said


def _cast(model: Any, dtype: "torch.dtype") -> None:
    """Give the weights another type in place. Buffers, such as the frequencies of rotary positions,
    stay as they are: transformers loads them in float32 whatever the weights are."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype


def check(plan: Plan, folder: Path) -> None:
    """Raise the UserErrors that need no model."""
    if folder.exists():
        raise UserError(
            f"{folder} exists already; give another folder as --out, or remove this one"
        )
    if plan.refused:
        raise UserError(f"this plan was refused, so there is nothing to apply: {plan.refused}")
    sparsifier = plan.parts.get("sparsifier")
    if sparsifier and not entry_of("sparsifier", sparsifier["name"]).static:
        others = [part["name"] for kind, part in plan.parts.items() if kind != "sparsifier"]
        raise UserError(
            f"{sparsifier['name']} decides at every token what is skipped, which weights alone "
            "cannot express; it runs in a study."
            + (
                f" A method of {' and '.join(others)} alone, fitted as such, can be written."
                if others
                else ""
            )
        )
    if sparsifier and plan.sparse_from != START:
        raise UserError(
            f"sparse_from {plan.sparse_from}: weights cannot be there for some tokens and not for "
            "others; fit the method with sparse_from: start"
        )


def _cut(plan: Plan, model: Any) -> list[str]:
    """Cut removed neurons out where the configuration can say so."""
    dropped = plan.dropped
    if dropped is None or not dropped.any():
        return []
    counts = dropped.sum(axis=1)
    total = f"{int(dropped.sum()):,} of {dropped.size:,} FFN neurons"
    if counts.min() != counts.max():
        return [f"{total} are zero in place: layers lose from {counts.min()} to {counts.max()}"]
    if counts[0] == dropped.shape[1]:
        return [f"{total} are zero in place: a layer needs at least one"]
    remove(dropped, view(model), "slice")
    width = int(dropped.shape[1] - counts[0])
    # GPT-2's is null where it is four times the width of the stream.
    names = [n for n in _WIDTHS if getattr(model.config, n, -1) in (dropped.shape[1], None)]
    for name in names:
        setattr(model.config, name, width)
    return [f"{total} are cut out: {' and '.join(names)} is {width}"]


def _configured(model: Any, made: set[str]) -> str:
    """Declare in the configuration biases that the model did not have, adding zeros where it
    demands more."""
    import torch

    layout: ModelView = view(model)
    keys = [
        key
        for key, ends in _BIASES.items()
        if hasattr(model.config, key) and any(n.removesuffix(".bias").endswith(ends) for n in made)
    ]
    for key in keys:
        setattr(model.config, key, True)
        for block in layout.blocks:
            for name, module in linear_layers(block):
                if name.endswith(_BIASES[key]) and module.bias is None:
                    zeros = module.weight.new_zeros(module.weight.shape[0])
                    module.bias = torch.nn.Parameter(zeros, requires_grad=False)
    return f"biases were made for {len(made)} linear layers" + (
        f": {', '.join(f'{key} is true' for key in keys)}" if keys else ""
    )


def _same(model: Any, folder: Path, tokens: Any) -> bool:
    """True when the folder's model gives bit for bit the logits of the one at hand."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        # The model's own code was already trusted when the model was loaded.
        again = AutoModelForCausalLM.from_pretrained(
            folder, dtype=model.dtype, trust_remote_code=hasattr(model.config, "auto_map")
        ).to(model.device)
    except (RuntimeError, ValueError):
        return False
    with torch.inference_mode():
        return bool(torch.equal(model(tokens).logits, again.eval()(tokens).logits))
