"""Where a model's files are: built in, a local folder, or the Hub."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.errors import Unreached, UserError, unknown_name
from pipeline.models.gguf_header import shards
from pipeline.store.digest import SOURCE_ROOT, identity_of_files, of_value

BUILTIN_MODELS = SOURCE_ROOT.parent / "resources" / "models"
_PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")
#: Fetched only for a repository without safetensors, since most have both.
_PICKLES = ("pytorch_model*.bin",)
#: The beginning of a file that Git LFS has not fetched.
_POINTER = b"version https://git-lfs.github.com/spec/"
#: How many characters of a library's error are shown.
_LONGEST_REASON = 300
_ADAPTERS = (".json", ".safetensors", ".bin")


@dataclass(frozen=True)
class ModelFiles:
    """A local folder with a model in Hugging Face format; `commit` for a model from the Hub."""

    folder: Path
    commit: str | None = None


def identity(model: Model) -> str:
    """A digest of what the configuration asks for, known without network and before any job.

    Local files that loading reads count by content; a model card does not count. A Hub model counts
    by id and revision, and a file of a package by name and version: the commit or digest behind
    them is pinned in model.json when the model is resolved, and everything downstream depends on
    that file.
    """
    if model.kind == "package":
        return of_value([model.model_dump()])
    if model.kind == "gguf":
        found = shards(Path(model.source).expanduser())
        values = model.model_dump(exclude={"source"})
        return of_value([values, identity_of_files(found[0].parent, found)])
    if model.kind == "hub":
        if model.source in _builtin():
            raise UserError(
                f"{model.source!r} is not a Hub id; did you mean builtin:{model.source}?"
            )
        return of_value([model.model_dump()])
    folder = local_folder(model)
    read = {path for pattern in (*_PATTERNS, *_PICKLES) for path in folder.glob(pattern)}
    return of_value([model.model_dump(exclude={"source"}), identity_of_files(folder, read)])


def local_folder(model: Model) -> Path:
    """Folder of a built-in model or of a local one; UserError when it is not there, and for a
    model that has to be converted first."""
    if model.converted:
        raise UserError(f"model {model.source} has no folder before it is converted")
    if model.kind == "builtin":
        name = model.source.removeprefix("builtin:")
        folder = BUILTIN_MODELS / name
        if not (folder / "config.json").is_file():
            raise UserError(unknown_name("built-in model", name, _builtin()))
        return folder
    folder = Path(model.source).expanduser()
    if not folder.is_dir():
        raise UserError(f"model folder {model.source} is not there; give a folder, or a Hub id")
    _refuse_adapter(folder)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"model folder {model.source} has no config.json; "
            "give the folder that save_pretrained wrote, or a Hub id"
        )
    return folder


def _builtin() -> set[str]:
    return {path.parent.name for path in BUILTIN_MODELS.glob("*/config.json")}


def settings(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """config.json, or another JSON file of the folder, as a mapping; UserError when it is none."""
    refuse_pointer(folder / name)
    try:
        loaded = json.loads((folder / name).read_text(encoding="utf-8"))
    # Nesting without end is a RecursionError, a number of thousands of digits a ValueError.
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"model folder {folder.name!r}: {name} cannot be read as JSON ({error}); "
            "give the file that save_pretrained wrote"
        ) from error
    if not isinstance(loaded, dict):
        raise UserError(f"model folder {folder.name!r}: {name} holds no keys")
    return loaded


def refuse_pointer(path: Path) -> None:
    """UserError where a file is only the pointer that Git LFS leaves until it fetches the file."""
    if not path.is_file():
        return
    with open(path, "rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            raise UserError(
                f"model folder {path.parent.name!r}: a Git LFS pointer stands in the place of "
                f"{path.name}; fetch the file itself with `git lfs pull` in the model's repository"
            )


@contextmanager
def reading(folder: Path, what: str) -> Iterator[None]:
    """Turn a library's error in the block into a UserError: it cannot read a part of the folder.

    The libraries raise errors of every kind, tokenizers plain Exceptions.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
        raise UserError(
            f"model folder {folder.name!r}: {what} cannot be read ({reason}); "
            "give the folder that save_pretrained wrote"
        ) from error


def _refuse_adapter(folder: Path) -> None:
    found = sorted(path.name for path in folder.glob("adapter_*") if path.suffix in _ADAPTERS)
    if found:
        raise UserError(
            f"model folder {folder.name!r} holds an adapter ({', '.join(found)}), which is not "
            "a whole model; merge it into its model (peft: merge_and_unload), save that, and give "
            "its folder"
        )


def files(model: Model, commit: str | None = None) -> ModelFiles:
    """The model's files on this machine; a Hub model is downloaded at `commit` or its revision."""
    if model.kind != "hub":
        return ModelFiles(local_folder(model))
    return _from_hub(model, commit)


def _from_hub(model: Model, commit: str | None) -> ModelFiles:
    folder = _snapshot(model, commit, _PATTERNS)
    if not any(folder.glob("model.safetensors*")) and not any(folder.glob("model-*.safetensors")):
        folder = _snapshot(model, folder.name, (*_PATTERNS, *_PICKLES))
    _refuse_adapter(folder)
    return ModelFiles(folder, folder.name)


def hub_settings(model: Model) -> Path:
    """A folder with the settings of a Hub model and of its tokenizer, without weights and
    vocabulary, downloaded at its revision; UserErrors as for its files."""
    return _snapshot(model, None, ("config.json", "tokenizer_config.json", "*.jinja"))


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
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, hub.HfHubHTTPError) as error:
        raise Unreached(
            f"{asked} could not be fetched and is not in the local cache: connect to the network, "
            "or download it elsewhere and give the folder, or copy the Hub cache and set HF_HOME"
        ) from error
