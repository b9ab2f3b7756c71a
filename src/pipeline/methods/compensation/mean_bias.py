"""`mean_bias`: the mean of what a layer's output lost, in closed form: b = E[W x - y], with x what
reaches the layer in the model as it is, W the original weights and y what the layer makes of x.
For a sparsifier alone that is E[W (x - s(x))]. The control of SPON: the same sites, no training."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.roles import CONTROL
from pipeline.errors import UserError
from pipeline.methods.compensation.sites import Repair, Sites, modules
from pipeline.methods.part import FittingCost, Part
from pipeline.methods.plan import Arrays, Refused
from pipeline.methods.sparsifiers.base import Curve
from pipeline.models.batches import marked
from pipeline.models.views import matrix

if TYPE_CHECKING:
    import torch


class Options(Section):
    """Where biases are added."""

    sites: Sites = Field(
        "down", description="`down`: the down projection of every layer; `all`: all linear layers"
    )


class MeanBias(Part):
    """Adds the mean of what was left out, by one pass over the calibration text for all sites at
    once.

    Sample:

        sparsifier: teal
        compensation: {name: mean_bias, sites: all}
        corpus: reasoning
        levels: [0.5]
    """

    label = "mean bias"
    role = CONTROL
    Options = Options

    @classmethod
    def cost(cls, options: Any) -> FittingCost:
        """One pass over the calibration text, with the original's matrices in memory beside the
        model, and sums of twice their precision."""
        return FittingCost(passes=1, copies=3)

    def check(self, parts: Any) -> None:
        """Raise Refused where nothing was left out."""
        if list(parts) == ["compensation"]:
            raise Refused("nothing is left out, so there is no mean to make up for")

    def fit(self, repair: Repair, options: Any) -> tuple[Arrays, Curve]:
        """The biases; float64 sums over all tokens that count."""
        import torch

        evidence, sites = repair.evidence, modules(repair.evidence.layout, options.sites)
        base, read, made = evidence.model.base_model, _Means(), _Means()
        with ExitStack() as ends, torch.inference_mode():
            for place, module in sites.items():
                # To run before the sparsifier's own hook.
                hook = module.register_forward_pre_hook(
                    lambda _module, given, place=place: read.add(place, given[0]), prepend=True
                )
                ends.callback(hook.remove)
                hook = module.register_forward_hook(
                    lambda _module, _given, output, place=place: made.add(place, output)
                )
                ends.callback(hook.remove)
            ends.enter_context(repair.forward.watching(base))
            for batch in evidence.in_batches(evidence.sequences):
                read.mask = made.mask = batch.counted
                base(input_ids=batch.tokens, attention_mask=batch.attention, use_cache=False)
        found = {}
        for place, module in modules(repair.original_layout, options.sites).items():
            whole = matrix(module).detach().double() @ read.of(place)
            if module.bias is not None:
                whole = whole + module.bias.detach().double()
            found[place] = (whole - made.of(place)).float().cpu().numpy()
        return found, []


class _Means:
    """Means over the tokens that count of what passes through every site."""

    def __init__(self) -> None:
        #: Tokens of the current batch that count, (sequences, length) bool.
        self.mask: torch.Tensor | None = None
        self._sums: dict[str, torch.Tensor] = {}
        self._tokens: dict[str, int] = {}

    def add(self, place: str, values: "torch.Tensor") -> None:
        """Add a batch's values, (sequences, length, channels) or (sequences * length, channels)."""
        if self.mask is None:
            raise ValueError("no batch is at hand")
        kept = marked(values, self.mask).double()
        self._sums[place] = self._sums.get(place, 0.0) + kept.sum(0)
        self._tokens[place] = self._tokens.get(place, 0) + len(kept)

    def of(self, place: str) -> "torch.Tensor":
        """The mean at a site, (channels,) float64; UserError where no token counts."""
        if not self._tokens[place]:
            raise UserError("mean_bias: no token of the calibration text counts; give more text")
        return self._sums[place] / self._tokens[place]
