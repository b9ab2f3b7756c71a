"""`mean_bias`: the mean of what a layer's output lost, in closed form: b = E[W x - y], with x what
reaches the layer in the model as it is, W the original weights and y what the layer makes of x.
For a sparsifier alone that is E[W (x - s(x))]. The control of SPON: the same sites, no training."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.config.base import Section
from pipeline.methods.compensation.sites import Repair, Sites, modules
from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifier import Curve
from pipeline.models.views import matrix

if TYPE_CHECKING:
    import torch


class Options(Section):
    """Where biases are added."""

    sites: Sites = Field(
        "down", description="`down`: the down projection of every layer; `all`: all linear layers"
    )


class MeanBias:
    """One pass over the calibration text, all sites at once."""

    Options = Options
    reads: dict[str, str] = {}  # noqa: RUF012 - never changed

    def check(self, parts: Any) -> None:
        """Makes sense with every part."""

    def fit(self, repair: Repair, options: Any) -> tuple[Arrays, Curve]:
        """The biases; float64 sums over all tokens that count."""
        import torch

        evidence, sites = repair.evidence, modules(repair.evidence.shape, options.sites)
        original = modules(repair.original_shape, options.sites)
        read: dict[str, torch.Tensor] = {}
        made: dict[str, torch.Tensor] = {}
        tokens = 0
        with ExitStack() as ends, torch.inference_mode():
            for place, module in sites.items():
                # Before the sparsifier's own hook.
                hook = module.register_forward_pre_hook(_adding(read, place, repair), prepend=True)
                ends.callback(hook.remove)
                hook = module.register_forward_hook(_adding(made, place, repair))
                ends.callback(hook.remove)
            ends.enter_context(repair.forward.watching(evidence.model))
            for batch in evidence.in_batches(evidence.sequences):
                tokens += int(batch.counted.sum())
                repair.counted = batch.counted
                evidence.model(
                    input_ids=batch.tokens, attention_mask=batch.attention, use_cache=False
                )
        found = {}
        for place, module in original.items():
            whole = matrix(module).detach().double() @ (read[place] / max(1, tokens))
            if module.bias is not None:
                whole = whole + module.bias.detach().double()
            found[place] = (whole - made[place] / max(1, tokens)).float().cpu().numpy()
        return found, []


def _adding(sums: "dict[str, torch.Tensor]", place: str, repair: Repair) -> Any:
    def add(_module: object, given: tuple, *output: Any) -> None:
        values = output[0] if output else given[0]
        mask = repair.counted
        if mask is None:
            raise ValueError("no batch is at hand")
        kept = values.reshape(*mask.shape, values.shape[-1])[mask].double().sum(0)
        sums[place] = sums[place] + kept if place in sums else kept

    return add
