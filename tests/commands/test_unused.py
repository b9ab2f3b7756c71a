"""What no study uses: found, listed, and removed without touching what is in use."""

import pytest

from pipeline.commands.unused import remove, unused
from pipeline.errors import UserError
from pipeline.models.size import Size
from pipeline.planning.jobs import jobs_of, write_jobs
from pipeline.tables.jobs import jobs_file

SIZE = {"backbone": Size(10, 2, 2, 5, 1, 2)}


@pytest.fixture
def place(tmp_path):
    """A function: study -> its folder of results, with every artifact, log and timing made up."""

    def made(study):
        jobs = jobs_of(study, SIZE)
        for job in jobs:
            for file in (*job.files, job.log, job.timing):
                path = tmp_path / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"12345")
        write_jobs(jobs_file(tmp_path, study.config.study), study.config.study, jobs)
        return tmp_path

    return made


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_what_is_in_use_is_never_listed(small, place):
    assert unused(place(small(evaluation={"shards": 3}))) == []
    assert unused(place(small(study="other"))) == []


def test_a_study_that_is_given_counts_as_it_is_configured(small, place):
    """Whatever it said when it was last started; the others count as they said."""
    folder = place(small())
    place(small(study="other"))
    fewer = small(study="small", methods=one_level(small))
    assert unused(folder) == []
    listed = {str(item.path) for item in unused(folder, fewer)}
    assert listed and all("small/" in path and "/drop_cold/cold/" in path for path in listed)
    jobs_file(folder, "small").write_text("{")
    assert {str(item.path) for item in unused(folder, fewer)} == listed


def test_an_empty_folder_holds_nothing(tmp_path):
    assert unused(tmp_path) == []


def test_a_level_taken_out_leaves_its_artifacts_logs_and_timings_unused(small, place):
    folder = place(small())
    before = files(folder)
    kept = jobs_of(small(methods=one_level(small)), SIZE)
    write_jobs(jobs_file(folder, "small"), "small", kept)
    items = unused(folder)
    assert {str(item.path) for item in items} == {
        f"results/{top}small/{rule}/backbone/drop_cold/cold/0{ending}"
        for rule in ("fit", "evaluate")
        for top, ending in (("", ""), ("logs/", ".log"), ("timing/", ".tsv"))
    }
    assert sum(item.bytes for item in items) == 2 * (10 + 5 + 5)
    remove(folder, items)
    assert unused(folder) == []
    gone = before - files(folder)
    assert len(gone) == 8 and all("/drop_cold/cold/0" in name for name in gone)
    assert not (folder / "results/small/fit/backbone/drop_cold/cold").exists()


def one_level(small):
    config = small().config
    return {"drop_cold": config.methods["drop_cold"].model_dump() | {"levels": [0.25]}}


def test_shared_artifacts_go_when_the_last_study_that_uses_them_does(small, place):
    place(small())
    folder = place(small(study="other", profile={"cett": 0.3}))
    assert unused(folder) == []
    write_jobs(jobs_file(folder, "other"), "other", jobs_of(small(profile={"cett": 0.2}), SIZE))
    paths = [str(item.path) for item in unused(folder)]
    assert any("shared/merge_profile/" in path for path in paths)
    assert sum("shared/profile_shard/" in path for path in paths) == 3 * 2
    assert not any("resolve_model" in path or "extract" in path for path in paths)


def test_half_written_files_of_jobs_in_use_are_listed_alone(small, place):
    folder = place(small())
    fit = next(job for job in jobs_of(small(), SIZE) if job.rule == "fit")
    partial = folder / fit.folder / ".plan.json.123.partial"
    partial.write_bytes(b"123")
    (item,) = unused(folder)
    assert (folder / item.path, item.bytes) == (partial, 3)
    remove(folder, [item])
    assert (folder / fit.files[0]).is_file() and not partial.exists()


def test_half_written_files_are_found_wherever_a_study_writes(small, place):
    folder = place(small())
    places = ["analyse/.finding.json.1.partial", "report/.index.html.2.partial",
              ".jobs.json.3.partial"]  # fmt: skip
    for name in places:
        path = folder / "results/small" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert {str(item.path) for item in unused(folder)} == {f"results/small/{p}" for p in places}


def test_logs_and_timings_of_a_study_that_is_gone_are_unused(small, place):
    import shutil

    place(small(study="other"))
    folder = place(small())
    shutil.rmtree(folder / "results/other")
    paths = {str(item.path) for item in unused(folder)}
    assert {"results/logs/other", "results/timing/other"} <= paths


def test_a_study_that_does_not_say_what_it_uses_stops_everything(small, place):
    folder = place(small())
    jobs_file(folder, "small").write_text("{}")
    with pytest.raises(UserError, match="results/small does not say what it uses.*Run that study"):
        unused(folder)
