"""Where a model's files are: built in, a local folder, or the Hub."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.digest import SOURCE_ROOT, identity_of_files, of_value
from pipeline.errors import UserError
from pipeline.registry import unknown_name

BUILTIN_MODELS = SOURCE_ROOT.parent / "resources" / "models"
_PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")
#: Fetched for a repository that has no safetensors, as most have both.
_PICKLES = ("pytorch_model*.bin",)


@dataclass(frozen=True)
class Files:
    """A local folder with a model in Hugging Face format; `commit` for a model from the Hub."""

    folder: Path
    commit: str | None = None


def identity(model: Model) -> str:
    """A digest of what the configuration asks for, known without network and before any job.

    Local files that loading reads count by content; a model card does not. A Hub model counts by id
    and revision: the commit behind them is pinned in model.json when the model is resolved, and
    everything downstream depends on that file.
    """
    if model.kind == "hub":
        if model.source in _builtin():
            raise UserError(f"{model.source!r} is no Hub id; did you mean builtin:{model.source}?")
        return of_value([model.model_dump()])
    folder = local_folder(model)
    read = {path for pattern in (*_PATTERNS, *_PICKLES) for path in folder.glob(pattern)}
    return of_value([model.model_dump(exclude={"source"}), identity_of_files(folder, read)])


def local_folder(model: Model) -> Path:
    """Folder of a built-in model or of a local one; UserError when it is not there."""
    if model.kind == "builtin":
        name = model.source.removeprefix("builtin:")
        folder = BUILTIN_MODELS / name
        if not (folder / "config.json").is_file():
            raise UserError(unknown_name("built-in model", name, _builtin()))
        return folder
    folder = Path(model.source).expanduser()
    if not (folder / "config.json").is_file():
        raise UserError(
            f"model folder {model.source} has no config.json; "
            "give the folder that save_pretrained wrote, or a Hub id"
        )
    return folder


def _builtin() -> set[str]:
    return {path.parent.name for path in BUILTIN_MODELS.glob("*/config.json")}


def settings(folder: Path) -> dict[str, Any]:
    """config.json as a mapping; UserError when it is none."""
    try:
        loaded = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"model folder {folder.name!r}: config.json is no JSON ({error})"
        ) from error
    if not isinstance(loaded, dict):
        raise UserError(f"model folder {folder.name!r}: config.json holds no keys")
    return loaded


def files(model: Model, commit: str | None = None) -> Files:
    """The model's files on this machine; a Hub model is downloaded at `commit` or its revision."""
    if model.kind != "hub":
        return Files(local_folder(model))
    return _from_hub(model, commit)


def _from_hub(model: Model, commit: str | None) -> Files:
    folder = _snapshot(model, commit, _PATTERNS)
    if not any(folder.glob("*.safetensors")):
        folder = _snapshot(model, folder.name, (*_PATTERNS, *_PICKLES))
    return Files(folder, folder.name)


def _snapshot(model: Model, commit: str | None, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download

    asked = f"model {model.source!r}" + (f" at {model.revision!r}" if model.revision else "")
    try:
        return Path(
            snapshot_download(
                model.source, revision=commit or model.revision, allow_patterns=list(patterns)
            )
        )
    except hub.GatedRepoError as error:
        raise UserError(
            f"{asked} is gated: accept its licence on the Hub and set HF_TOKEN"
        ) from error
    except hub.RevisionNotFoundError as error:
        raise UserError(f"{asked}: the Hub has the model but not this revision") from error
    except hub.RepositoryNotFoundError as error:
        raise UserError(
            f"{asked} does not exist on the Hub, or is private: check the id, or set HF_TOKEN; "
            "a local folder starts with ./ or /"
        ) from error
    except hub.HFValidationError as error:
        raise UserError(f"{asked} is no Hub id; a local folder starts with ./ or /") from error
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, hub.HfHubHTTPError) as error:
        raise UserError(
            f"{asked} could not be fetched and is not in the local cache: connect to the network, "
            "or download it elsewhere and give the folder, or copy the Hub cache and set HF_HOME"
        ) from error
