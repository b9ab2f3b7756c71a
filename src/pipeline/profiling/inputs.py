"""Which tensors a block's linear layers read, and where they can be watched."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.models.views import FFNView, linear_layers

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Input:
    """A tensor that linear layers of a block read: their names, joined by commas, the first module
    and the number of channels. `neurons` is true for the FFN's h."""

    linears: str
    module: "torch.nn.Module"
    channels: int
    neurons: bool


def inputs_of(
    blocks: "Sequence[torch.nn.Module]", ffns: Sequence[FFNView], run: Callable[[], Any]
) -> list[list[Input]]:
    """The inputs of every block, in the order in which they are read; `run` is a forward pass.

    Layers share an input when the very same tensor reaches them; all are held until the pass ends,
    since a later tensor in freed memory could be mistaken for an earlier one.
    """
    seen: list[list[tuple[str, torch.nn.Module, torch.Tensor]]] = [[] for _ in blocks]

    def noting(place: int, name: str) -> Callable:
        return lambda module, inputs: seen[place].append((name, module, inputs[0]))

    with ExitStack() as ends:
        for place, block in enumerate(blocks):
            for name, module in linear_layers(block):
                ends.callback(module.register_forward_pre_hook(noting(place, name)).remove)
        run()
    return [_grouped(found, ffn) for found, ffn in zip(seen, ffns, strict=True)]


def _grouped(
    found: "Sequence[tuple[str, torch.nn.Module, torch.Tensor]]", ffn: FFNView
) -> list[Input]:
    groups: list[list[tuple[str, torch.nn.Module, torch.Tensor]]] = []
    for entry in found:
        for group in groups:
            if _same(group[0][2], entry[2]):
                group.append(entry)
                break
        else:
            groups.append([entry])
    return [
        Input(
            ",".join(name for name, _, _ in group),
            group[0][1],
            group[0][2].shape[-1],
            any(module is ffn.down.module for _, module, _ in group),
        )
        for group in groups
    ]


def _same(one: "torch.Tensor", other: "torch.Tensor") -> bool:
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape
