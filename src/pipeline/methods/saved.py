"""Plans in a folder, for use outside a study."""

from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.errors import UserError
from pipeline.methods.plan import Plan
from pipeline.models.views import fingerprint
from pipeline.store import closures, digest
from pipeline.store.artifacts import Manifest

_LIBRARIES = ("torch", "transformers", "numpy", "polars", "safetensors")


def save_plan(plan: Plan, folder: str | Path, model: Any) -> None:
    """Write plan.json and plan.safetensors; `model` is the one that the plan was fitted on, whose
    name, type and fingerprint are noted."""
    place = Path(folder)
    record = {
        "name": Path(model.config._name_or_path).name or type(model).__name__,
        "source": "",
        "commit": None,
        "dtype": str(model.dtype).removeprefix("torch."),
        "weights_digest": plan.fingerprint or fingerprint(model),
    }
    manifest = Manifest(
        "library", digest.of_value(__version__), seed=plan.seed, device=str(model.device),
        versions=closures.versions(*_LIBRARIES), dtype=record["dtype"],
    )  # fmt: skip
    plan.write(place / "plan.json", place / "plan.safetensors", manifest, record)


def load_plan(folder: str | Path) -> Plan:
    """The plan in a folder, as `save_plan` or a study's rules `fit` and `fit_with_model` wrote it.
    UserError where there is none, or a damaged one."""
    place = Path(folder)
    if not (place / "plan.json").is_file():
        raise UserError(f"{place}: no plan is there; give a folder that holds a plan.json")
    return Plan.read(place / "plan.json", place / "plan.safetensors")
