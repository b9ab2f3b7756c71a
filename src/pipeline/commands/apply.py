"""Apply a study's plan to its model, outside the study."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.methods.export import check, export
from pipeline.methods.plan import Plan
from pipeline.models import conversion
from pipeline.models.folder import checkpoint_dtype
from pipeline.models.loading import load, own_tokenizer
from pipeline.models.resolve import resolve
from pipeline.models.source import files
from pipeline.store.digest import of_files
from pipeline.tables.plan import PLAN


def apply(path: Path, out: Path, source: str | None = None) -> list[str]:
    """Write a plan's model, as changed by the plan, to a new folder; returns what was done, in
    sentences.

    `path` is a plan.json or the folder it lies in; `source` names the model where the plan cannot,
    because it is a local folder. The weights are written as the checkpoint has them, whatever type
    the study computed in. UserError unless the model is the one that the plan was fitted on.
    """
    document = path / "plan.json" if path.is_dir() else path
    if not document.is_file():
        raise UserError(
            f"{path}: no plan is there; give a folder of results/STUDY/fit, or its plan.json"
        )
    body = PLAN.read(document)
    plan = Plan.read(document, document.with_suffix(".safetensors"))
    check(plan, out)
    named = source or _converted(document, body["weights_digest"]) or body["source"]
    if not named:
        raise UserError(
            f"the plan was fitted on the local model {body['model']!r}; give its folder or its "
            ".gguf file as --model"
        )
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    with _folder_of(body["model"], _section(named, body["dtype"])) as model:
        record = resolve(body["model"], model)
        if record["weights_digest"] != body["weights_digest"]:
            raise UserError(
                f"{named}: its weights are not those that this plan was fitted on; give that model"
            )
        loaded, _ = load(model, record)
        checkpoint = checkpoint_dtype(files(model, record["commit"]).folder)
        said = export(plan, loaded, own_tokenizer(model, record), out, checkpoint)
    if checkpoint != body["dtype"]:
        said[-1] += f", as in the checkpoint; the study computed in {body['dtype']}"
    return said


def _converted(document: Path, digest: str) -> str | None:
    """The folder, among the results that a plan lies in, of the model that was made of a GGUF file
    and has weights with this digest; None where there is none."""
    for results in document.resolve().parents:
        for folder in sorted((results / "shared" / "convert_model").glob("*")):
            weights = folder / conversion.FILES["weights"]
            if weights.is_file() and of_files(folder, [weights]) == digest:
                return str(folder)
    return None


@contextmanager
def _folder_of(name: str, model: Model) -> Iterator[Model]:
    """The model, or the folder that is made in the block of one in a GGUF file."""
    if not model.converted:
        yield model
        return
    with tempfile.TemporaryDirectory() as folder:
        conversion.convert(name, model, Path(folder))
        yield model.model_copy(update={"source": folder, "sha256": None})


def _section(source: str, dtype: str) -> Model:
    name, _, commit = source.partition("@")
    if Path(name).is_dir():
        name = str(Path(name).resolve())
    try:
        return Model(source=name, revision=commit or None, dtype=dtype)
    except ValidationError as error:
        raise UserError(f"--model {source}: {error.errors()[0]['msg']}") from None
