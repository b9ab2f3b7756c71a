"""Where a compensation works, and how it becomes a bias."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifiers.base import Evidence
from pipeline.models.forward import Forward
from pipeline.models.views import ModelView, linear_layers, matrix, view

if TYPE_CHECKING:
    import torch

#: The down projection of every layer, or all linear layers of the blocks.
Sites = Literal["down", "all"]


@dataclass
class Repair:
    """What a compensation is fitted on: the evidence, whose model is as the other parts left it,
    with the sparsifier's hooks; `teacher` loads the original model; `forward` knows the passes of
    the model that is fitted."""

    evidence: Evidence
    forward: Forward
    teacher: Callable[[], Any]

    @cached_property
    def original(self) -> Any:
        """The original model, loaded once."""
        return self.teacher()

    @cached_property
    def original_layout(self) -> ModelView:
        """The original model's view."""
        return view(self.original)


def modules(layout: ModelView, sites: Sites) -> "dict[str, torch.nn.Module]":
    """LAYER/LINEAR -> module of the sites."""
    return {
        f"{layer}/{name}": module
        for layer, (block, ffn) in enumerate(zip(layout.blocks, layout.ffns, strict=True))
        for name, module in linear_layers(block)
        if sites == "all" or module is ffn.down.module
    }


def fold(arrays: Mapping[str, np.ndarray], layout: ModelView) -> None:
    """Add a plan's biases, (outputs,) each, to those of the model's linear layers, in place; a
    layer without bias is given one."""
    import torch

    found = modules(layout, "all")
    with torch.no_grad():
        for place, values in arrays.items():
            module = found[place]
            added = torch.from_numpy(values).to(module.weight)
            if module.bias is None:
                # A copy of the array: removing neurons writes into biases.
                module.bias = torch.nn.Parameter(added.clone(), requires_grad=False)
            else:
                module.bias.add_(added)


def biases(vectors: "Mapping[str, torch.Tensor]", layout: ModelView) -> Arrays:
    """W alpha, (outputs,) float32, of vectors alpha in the layers' inputs."""
    found = modules(layout, "all")
    return {
        place: (matrix(found[place]).detach().double() @ alpha.detach().double())
        .float()
        .cpu()
        .numpy()
        for place, alpha in vectors.items()
    }
