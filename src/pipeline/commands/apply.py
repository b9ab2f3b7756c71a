"""Apply a study's plan to its model, outside the study."""

from pathlib import Path

from pydantic import ValidationError

from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.methods.export import check, export
from pipeline.methods.plan import Plan
from pipeline.models.loading import load, own_tokenizer
from pipeline.models.resolve import resolve
from pipeline.tables.plan import PLAN


def apply(path: Path, out: Path, source: str | None = None) -> list[str]:
    """Write a plan's model, as changed by the plan, to a new folder; returns what was done, in
    sentences.

    `path` is a plan.json or the folder it lies in; `source` names the model where the plan cannot,
    because it is a local folder. UserError unless the model is the one that the plan was fitted on.
    """
    document = path / "plan.json" if path.is_dir() else path
    if not document.is_file():
        raise UserError(
            f"{path}: no plan is there; give a folder of results/STUDY/fit, or its plan.json"
        )
    body = PLAN.read(document)
    plan = Plan.read(document, document.with_suffix(".safetensors"))
    check(plan, out)
    named = source or body["source"]
    if not named:
        raise UserError(
            f"the plan was fitted on the local model {body['model']!r}; give its folder as "
            "--model FOLDER"
        )
    from transformers.utils import logging as transformers_logging

    model = _section(named, body["dtype"])
    record = resolve(body["model"], model)
    if record["weights_digest"] != body["weights_digest"]:
        raise UserError(
            f"{named}: its weights are not those that this plan was fitted on; give that model"
        )
    transformers_logging.disable_progress_bar()
    loaded, _ = load(model, record)
    return export(plan, loaded, own_tokenizer(model, record), out)


def _section(source: str, dtype: str) -> Model:
    name, _, commit = source.partition("@")
    if Path(name).is_dir():
        name = str(Path(name).resolve())
    try:
        return Model(source=name, revision=commit or None, dtype=dtype)
    except ValidationError as error:
        raise UserError(f"--model {source}: {error.errors()[0]['msg']}") from None
