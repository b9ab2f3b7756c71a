"""Cold Neurons: how FFN sparsity along PowerInfer's hot/cold split relates to reasoning loss.

Importing this package, or any module below it, loads no torch, opens no file and starts no thread;
heavy libraries are imported by the functions that need them. Outside a study use `fit`, `apply`,
`Calibration`, `save_plan` and `load_plan` (`pipeline.library`).
"""

from typing import Any

__version__ = "0.1.0"

#: Name -> module that it is imported from when it is asked for.
_FACE = {
    "Applied": "library",
    "Calibration": "library",
    "Plan": "methods.plan",
    "Refused": "methods.plan",
    "UserError": "errors",
    "apply": "library",
    "fit": "library",
    "load_plan": "methods.saved",
    "save_plan": "methods.saved",
}
__all__ = [*_FACE]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """An object of the library's public interface, imported when it is first asked for."""
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_FACE[name]}"), name)
