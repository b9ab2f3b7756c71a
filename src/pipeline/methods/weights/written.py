"""Set a model's matrices to the weights that a plan holds."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.methods.plan import Arrays
from pipeline.models.views import ModelView, linear_layers, matrix

if TYPE_CHECKING:
    import torch


def apply(arrays: Arrays, layout: ModelView) -> None:
    """Set a model's matrices to a plan's weights, in place; neurons that it drops are dropped
    elsewhere, together with those of the other parts."""
    import torch

    with torch.no_grad():
        for layer, block in enumerate(layout.blocks):
            for name, module in linear_layers(block):
                own, place = matrix(module), f"{layer}/{name}"
                if f"{place}/values" in arrays:
                    own.copy_(torch.from_numpy(arrays[f"{place}/values"]))
                elif f"{place}/mask" in arrays:
                    bits = np.unpackbits(arrays[f"{place}/mask"], axis=1, count=own.shape[1])
                    own.mul_(torch.from_numpy(bits).to(own))


def pruned(arrays: Arrays, layout: ModelView) -> "dict[torch.nn.Module, torch.Tensor]":
    """Which weights are left, (outputs, inputs) bool, of the matrices that the arrays prune, by the
    modules of the model as it is."""
    places = {name.rpartition("/")[0] for name in arrays}
    return {
        module: matrix(module).detach().bool()
        for layer, block in enumerate(layout.blocks)
        for name, module in linear_layers(block)
        if f"{layer}/{name}" in places
    }
