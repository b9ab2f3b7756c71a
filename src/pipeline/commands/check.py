"""Check what only the libraries know: whether the models load and can take the study's texts and
tasks."""

from pipeline.errors import at
from pipeline.evaluation.lengths import refuse_long
from pipeline.models.lengths import positions, refuse_windows
from pipeline.models.resolve import open_model
from pipeline.planning.study import Study


def check(study: Study) -> None:
    """Open every built-in model and local folder as its jobs will, and check that corpora and tasks
    fit its positions; UserError, with the key, for the first that does not.

    Nothing is downloaded: a Hub model is checked when it is resolved.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    config = study.config
    for name, model in config.models.items():
        if model.kind == "hub":
            continue
        opened = open_model(name, model)
        limit = positions(opened.model.config)
        with at(f"models.{name}"):
            for corpus in (corpus for each, corpus in study.extracted if each == name):
                section = config.calibration[corpus]
                refuse_windows(section.source, section.sequence_length, limit)
            refuse_long(config.evaluation, opened.tokenizer, limit)
