"""Every shipped configuration is accepted, plans a study, and is complete in itself."""

from pathlib import Path

import pytest

from pipeline import study as planning
from pipeline.config.study import parse_study
from pipeline.study import Study, read_config


@pytest.mark.parametrize(
    "path",
    sorted([planning.PROJECT / "config.yaml", *(planning.PROJECT / "configs").glob("*.yaml")]),
    ids=lambda path: Path(path).stem,
)
def test_every_shipped_configuration_states_every_key(path):
    given = read_config(path)
    study = Study(parse_study(given))
    assert study.conditions and keys_of_first(study)
    full = study.config.model_dump(mode="json")
    assert missing(full, given) == []


def keys_of_first(study):
    model, corpus = study.profiled[0]
    return study.profile_key(model, corpus) and study.dense_key(model)


def missing(full, given, where=""):
    """Paths of keys that the full configuration has and the given one leaves to defaults."""
    # A part of a method is its name, alone or with the options that are not as usual.
    if not isinstance(full, dict) or isinstance(given, str) or "options" in full:
        return []
    return [
        path
        for key, value in full.items()
        for path in (
            [f"{where}{key}"] if key not in given else missing(value, given[key], f"{where}{key}.")
        )
    ]
