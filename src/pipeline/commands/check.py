"""Check what planning does not know: whether the models load and can take the study's texts and
tasks."""

from pipeline.config.models import Model
from pipeline.errors import Unreached, at
from pipeline.evaluation.lengths import refuse_long
from pipeline.models import conversion
from pipeline.models.folder import check_settings
from pipeline.models.lengths import positions, refuse_windows
from pipeline.models.resolve import open_model
from pipeline.models.source import hub_settings, settings
from pipeline.planning.study import Study


def check(study: Study) -> list[str]:
    """Open every built-in model and local folder as its jobs will, and check that corpora and tasks
    fit its positions; of the other models, as much as `look` finds. UserError, with the key, for
    the first that does not fit; returns notes on what only a run can check."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    config, notes = study.config, []
    for name, model in config.models.items():
        if model.converted or model.kind == "hub":
            notes.append(look(name, model))
            continue
        opened = open_model(name, model)
        limit = positions(opened.model.config)
        with at(f"models.{name}"):
            for corpus in (corpus for each, corpus in study.extracted if each == name):
                section = config.calibration[corpus]
                refuse_windows(section.source, section.sequence_length, limit)
            refuse_long(config.evaluation, opened.tokenizer, limit)
    return notes


def look(name: str, model: Model) -> str:
    """Check a Hub model by its settings, which are downloaded, or a GGUF file by its header, for
    which a package is fetched. UserError where a run would refuse it; returns a note on what is
    left to check."""
    left = "its tokenizer, and whether texts and tasks fit it, are checked when it is resolved"
    try:
        if model.kind == "hub":
            check_settings(name, model, settings(hub_settings(model)))
        else:
            conversion.fetch(model)
            conversion.check(name, model)
    except Unreached as error:
        return f"model {name} is not checked before it is resolved: {error}"
    return f"model {name}: {left}"
