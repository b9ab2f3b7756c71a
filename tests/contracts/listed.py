"""The list of supported architectures, docs/architectures.json: every contract is tried on every
registered architecture, and what held is written. `make docs` runs this."""

import json
from functools import cache
from importlib.metadata import version
from typing import Any

from pipeline.registry import ARCHITECTURES
from tests.contracts.contracts import CONTRACTS, NotDrawn, drawn
from tests.contracts.drawings import ACTIVATIONS

#: What the facts of a form rest on.
_SHOWN_BY = ("block_output", "logits", "residual_stream")


@cache
def outcome(architecture: str, name: str) -> tuple[str | None, str | None]:
    """(how closely a contract held, None), or (None, why it is not proved)."""
    try:
        return CONTRACTS[name].holds(architecture), None
    except NotDrawn as reason:
        return None, f"not tried: {reason}"
    except AssertionError as reason:
        return None, f"does not hold: {reason}"


def entry(architecture: str) -> dict[str, Any]:
    """One architecture's part of the list."""
    found = {name: outcome(architecture, name) for name in CONTRACTS}
    proved = {name: bound for name, (bound, _) in found.items() if bound}
    shown = drawn(architecture) if all(name in proved for name in _SHOWN_BY) else ()
    return {
        "view": ARCHITECTURES[architecture],
        "ffn": shown[0].form if shown else None,
        "activations": list(ACTIVATIONS),
        "forms": [drawing.facts() for drawing in shown],
        "proved": proved,
        "not_proved": {name: reason for name, (_, reason) in found.items() if reason},
    }


def head() -> dict[str, Any]:
    """What the list says of all architectures."""
    return {
        "version": 1,
        "transformers": version("transformers"),
        "tried_on": (
            "random float32 models of two blocks, 16 channels and 24 neurons, with random norms "
            "and biases; every form with every activation function"
        ),
        "bounds": "largest difference, as a share of the largest number; or exact",
        "properties": {name: each.says for name, each in CONTRACTS.items()},
    }


def listed() -> dict[str, Any]:
    """The whole list."""
    return {**head(), "architectures": {name: entry(name) for name in sorted(ARCHITECTURES)}}


def text() -> str:
    """The list as the file holds it."""
    return json.dumps(listed(), indent=2) + "\n"


if __name__ == "__main__":
    print(text(), end="")
