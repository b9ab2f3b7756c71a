"""Stages whose jobs follow from their entries in the table alone."""

import pytest

from pipeline.planning import work
from pipeline.planning.stage import Cost, Output, Stage
from pipeline.planning.stages import ORDER, STAGES
from pipeline.tables.power_law import RANKED

NEURONS = ("merge_profile", "neurons")


@pytest.fixture
def declare(monkeypatch):
    """A function: folder, each, inputs and settings -> the table has the stage `heat` with them."""

    def added(folder, each, settings=None, **inputs):
        more = {} if settings is None else {"settings": settings}
        stage = Stage(
            "classify", "Hot and cold", folder, {"ranked": Output("ranked.parquet", RANKED)}, (),
            frozenset(), work.reading, Cost(1.0), each=each, inputs=inputs, **more,
        )  # fmt: skip
        monkeypatch.setitem(STAGES, "heat", stage)
        monkeypatch.setitem(ORDER, "heat", ORDER["power_law"])

    return added


def heats(study):
    return {place: folder for place, folder in study.folders.items() if folder.rule == "heat"}


def two_corpora(small):
    prose = {"source": "builtin:prose", "tokens": 100, "sequence_length": 64}
    methods = {
        "prose": {
            "sparsifier": "drop_cold", "corpus": "prose", "classification": "coverage80",
            "levels": [0.25],
        }
    }  # fmt: skip
    return small(calibration={"prose": prose}, methods=methods)


def test_one_job_a_profile_reads_what_is_of_its_own_profile(small, declare):
    declare(
        "shared/heat/{profile_key}", "profile",
        neurons=NEURONS, record=("resolve_model", "model"),
        texts=("extract_calibration", "texts"), classes=("classify", "classes"),
    )  # fmt: skip
    study = two_corpora(small)
    made = heats(study)
    assert [folder.corpus for folder in made.values()] == ["reasoning", "prose"]
    for place, folder in made.items():
        key = study.profile_key("backbone", folder.corpus)
        corpus = study.corpus_key("backbone", folder.corpus)
        assert place == f"results/shared/heat/{key}"
        classes = [
            f"results/small/classify/backbone/{folder.corpus}/{name}/classes.parquet"
            for name in study.config.classification
        ]
        assert folder.reads == {
            "neurons": (f"results/shared/merge_profile/{key}/neurons.parquet",),
            "record": (f"results/shared/resolve_model/{study.model_key('backbone')}/model.json",),
            "texts": (f"results/shared/extract_calibration/{corpus}/texts.parquet",),
            "classes": tuple(classes),
        }


@pytest.mark.parametrize(
    ("folder", "each", "jobs", "read"),
    [
        ("{study}/heat", "study", 1, 2),
        ("{study}/heat/{model}", "model", 1, 2),
        ("{study}/heat/{corpus_key}", "text", 2, 1),
        ("{study}/heat/{model}/{corpus}/{classification}", "classification", 4, 1),
    ],
)
def test_a_job_reads_all_that_is_about_the_same(small, declare, folder, each, jobs, read):
    declare(folder, each, neurons=NEURONS)
    study = two_corpora(small)
    made = heats(study)
    assert len(made) == jobs
    assert all(len(job.reads["neurons"]) == read for job in made.values())
    assert len({job.identity for job in made.values()}) == jobs


def test_a_result_is_another_one_where_an_input_or_a_setting_is(small, declare):
    declare("{study}/heat/{model}", "model", neurons=NEURONS)

    def identity(study):
        (job,) = heats(study).values()
        return job.identity

    before = identity(small())
    assert identity(small(profile={"cett": 0.1})) != before
    assert identity(small(analysis={"confidence": 0.9})) == identity(small())
    settings = [identity(small())]
    for value in (1, 2):
        declare("{study}/heat/{model}", "model", lambda s, f, v=value: v, neurons=NEURONS)
        settings.append(identity(small()))
    assert len(set(settings)) == 3


def test_an_entry_that_would_plan_nothing_is_an_error(small, declare):
    declare("{study}/heat", "study", curves=("analyse", "curves.parquet"))
    with pytest.raises(ValueError, match="stage heat reads analyse, which stands after it"):
        _ = small().folders
    declare("{study}/heat/{model}", "layer", neurons=NEURONS)
    with pytest.raises(ValueError, match="stage heat: each 'layer' is not one of"):
        _ = small().folders
