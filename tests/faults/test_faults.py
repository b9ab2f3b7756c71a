"""A full, a read-only and a damaged disk, and two studies at once: what is told, and that following
it ends with the bytes of an undisturbed run."""

import contextlib
import json
import os
import random
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from pipeline.errors import UserError
from pipeline.store import artifacts
from tests.conftest import Copy

pytestmark = pytest.mark.workflow

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def own(finished, tmp_path):
    """The finished tiny study in a work folder that the test may spoil."""
    work = shutil.copytree(finished.work, tmp_path / "work", copy_function=shutil.copy2)
    return Copy(finished.folder, work)


@pytest.fixture
def mount():
    """A function that mounts; all is unmounted at the end. Skips where mounting is not allowed."""
    with contextlib.ExitStack() as ends:

        def run(*arguments, folder):
            done = subprocess.run(
                ["mount", *arguments, str(folder)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.skip(f"mount {' '.join(arguments)}: {done.stderr.strip()}")
            if "remount" not in arguments[1]:
                ends.callback(subprocess.run, ["umount", str(folder)], check=True)

        if os.geteuid():
            pytest.skip("only root may mount a file system")
        yield run


def attempt(copy, *arguments, **options):
    """Run the launcher to whatever end; the finished process, all it said in `stdout`."""
    return subprocess.run(
        copy.command(*arguments, **options), env=copy.environment, cwd=copy.work, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


def found(copy, pattern):
    """The one result that a pattern names."""
    (path,) = copy.work.glob(f"results/{pattern}")
    return path


def half_written(copy):
    return list(copy.work.glob("results/**/.*.partial"))


def test_a_full_disk_is_told_and_with_room_the_same_command_goes_on(finished, own, mount):
    results = own.work / "results"
    shutil.rmtree(results)
    results.mkdir()
    mount("-t", "tmpfs", "-o", "size=32m", "tmpfs", folder=results)
    shutil.copytree(
        finished.work / "results", results, copy_function=shutil.copy2, dirs_exist_ok=True
    )
    for path in ("evaluate/ref-reglu/keep_cold", "analyse", "report"):
        shutil.rmtree(results / "tiny" / path)
    state = os.statvfs(results)
    used = (state.f_blocks - state.f_bfree) * state.f_frsize
    # Enough for the lock and the log, not for the samples.
    mount("-o", f"remount,size={used + 2 * PAGE}", folder=results)
    full = attempt(own)
    assert full.returncode == 1, full.stdout
    assert re.search(
        r"^error: evaluate: \S*samples\.parquet: the disk is full\. Make room there, and run the "
        r"same command again; it goes on where it stopped$",
        full.stdout, re.M,
    ), full.stdout  # fmt: skip
    assert "Traceback" not in full.stdout
    assert not half_written(own)
    assert own.artifacts().keys() < finished.artifacts().keys()

    mount("-o", f"remount,size={used}", folder=results)
    with contextlib.suppress(OSError), open(results / "filler", "wb") as stream:
        while True:
            stream.write(bytes(PAGE))
            stream.flush()
    refused = attempt(own)
    assert refused.returncode == 2
    (line,) = refused.stdout.splitlines()
    assert re.match(r"error: \S*/results: the disk is full\. Make room there", line)

    (results / "filler").unlink()
    mount("-o", "remount,size=32m", folder=results)
    own.run()
    assert own.artifacts() == finished.artifacts()
    assert own.planned() == {}


def test_read_only_results_are_refused_before_any_job(finished, own, request):
    results = own.work / "results"
    found(own, "tiny/report/index.html").unlink()
    if os.geteuid():
        results.chmod(0o500)
        told = "permission is denied"
    else:
        mount = request.getfixturevalue("mount")
        mount("--bind", str(results), folder=results)
        mount("-o", "remount,bind,ro", folder=results)
        told = "it is read-only"
    refused = attempt(own)
    assert refused.returncode == 2
    (line,) = refused.stdout.splitlines()
    assert line.startswith(f"error: {results}: {told}")
    assert "run the same command again" in line
    if os.geteuid():
        results.chmod(0o700)
    else:
        mount("-o", "remount,bind,rw", folder=results)
    own.run()
    assert own.artifacts() == finished.artifacts()


def truncated(content, draw):
    return content[: draw.randrange(1, len(content))]


def flipped(content, draw, bits=1):
    damaged = bytearray(content)
    for place in draw.sample(range(len(content)), bits):
        damaged[place] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def manifest_of(path):
    """What a whole artifact says of itself."""
    if path.suffix == ".json":
        return json.loads(path.read_text())["manifest"]
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return json.loads(pq.read_schema(path).metadata[b"manifest"])
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as stream:
        return json.loads(stream.metadata()["manifest"])


def read(path, facts):
    """The artifact's values, in a form that can be compared: text of either width is one."""
    reader = getattr(artifacts, f"read_{path.suffix[1:]}")
    value = reader(path, facts["schema"], facts["schema_version"])
    if path.suffix == ".safetensors":
        return {name: array.tobytes() for name, array in value.items()}
    return value if path.suffix == ".json" else repr(value.to_pydict())


def test_every_artifact_damaged_anywhere_is_refused_by_name(finished, tmp_path):
    """A flip that changes no value, in a column's statistics for instance, may pass."""
    kinds = (".parquet", ".json", ".safetensors")
    seen = set()
    for name, whole in finished.artifacts().items():
        path = tmp_path / name.replace("/", "-")
        if path.suffix not in kinds or name.endswith(".vl.json"):
            continue
        path.write_bytes(whole)
        facts = manifest_of(path)
        expected = read(path, facts)
        draw = random.Random(name)
        damages = [truncated(whole.rstrip(b"\n"), draw) for _ in range(6)]
        for damage in damages + [flipped(whole, draw) for _ in range(24)]:
            path.write_bytes(damage)
            try:
                assert read(path, facts) == expected, name
            except UserError as error:
                assert re.fullmatch(rf"{path}: .*: rm {path}", str(error)), name
        seen.add((facts["rule"], path.suffix))
    assert {rule for rule, _ in seen} >= DAMAGED.keys()
    assert {suffix for _, suffix in seen} == set(kinds)


#: Rule -> (one of its artifacts, a result whose job reads that).
DAMAGED = {
    "resolve_model": (
        "shared/resolve_model/*/model.json",
        "shared/extract_calibration/*/corpus.json",
    ),
    "extract_calibration": (
        "shared/extract_calibration/*/sequences.parquet",
        "shared/profile_sample/*/thresholds.parquet",
    ),
    "profile_sample": (
        "shared/profile_sample/*/thresholds.parquet",
        "shared/profile_shard/*/0-of-2/neurons.parquet",
    ),
    "profile_shard": (
        "shared/profile_shard/*/0-of-2/channels.parquet",
        "shared/merge_profile/*/neurons.parquet",
    ),
    "merge_profile": (
        "shared/merge_profile/*/neurons.parquet",
        "tiny/fit/*/drop_cold/0.25/0/plan.json",
    ),
    "classify": ("tiny/classify/*/*/*/classes.parquet", "tiny/fit/*/drop_random/*/0/plan.json"),
    "fit": (
        "tiny/fit/*/keep_cold/hot/0/plan.safetensors",
        "tiny/evaluate/*/keep_cold/hot/0/samples.parquet",
    ),
    "evaluate_dense": ("shared/evaluate_dense/*/samples.parquet", "tiny/analyse/finding.json"),
    "evaluate": (
        "tiny/evaluate/*/keep_cold/hot/0/sparsity.parquet",
        "tiny/analyse/finding.json",
    ),
    "analyse": ("tiny/analyse/finding.json", "tiny/report/index.html"),
}


CUT, FLIPPED = list(DAMAGED)[::2], list(DAMAGED)[1::2]


def damage(own, rule, change):
    """Have one of a rule's artifacts changed, its time kept, and a result that reads it gone; their
    paths."""
    path, result = (found(own, pattern) for pattern in DAMAGED[rule])
    whole, stat = path.read_bytes(), path.stat()
    path.write_bytes(change(whole, random.Random(rule)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    result.unlink()
    return path, str(result.relative_to(own.work))


def test_artifacts_that_were_cut_show_before_any_job_and_are_made_again(finished, own):
    """The command asks for the results that read them."""
    targets = [
        damage(own, rule, lambda w, draw: truncated(w.rstrip(b"\n"), draw))[1] for rule in CUT
    ]
    done = attempt(own, *targets)
    assert not done.returncode, done.stdout
    assert f"{len(CUT)} files are damaged" in done.stdout, done.stdout
    assert own.artifacts() == finished.artifacts()
    assert not half_written(own)


@pytest.mark.parametrize("rule", FLIPPED)
def test_the_advice_that_a_damaged_artifact_gets_mends_it(finished, own, rule):
    """The command asks for the one result that reads it. Of what a flip does to values, its reader
    tells, where the flip does not show before."""
    path, target = damage(own, rule, lambda whole, draw: flipped(whole, draw, 9))
    failed = attempt(own, target)
    if not failed.returncode:
        assert f"{path.relative_to(own.work)} is damaged" in failed.stdout
        assert own.artifacts() == finished.artifacts()
        return
    assert failed.returncode == 1, failed.stdout
    told = re.search(
        r"^error: \w+: (\S+): .* run the same command .*: (rm \S+)$", failed.stdout, re.M
    )
    assert told and own.work / told[1] == path, failed.stdout
    assert not (own.work / target).exists()
    subprocess.run(shlex.split(told[2]), cwd=own.work, check=True)
    own.run(target)
    assert own.artifacts() == finished.artifacts()
    assert not half_written(own)


def test_two_studies_started_at_once_in_one_folder_end_as_each_alone(finished, own, tmp_path):
    """Alone, one ran in an empty folder, and the other where the first had ended."""
    values = yaml.safe_load((finished.folder / "configs/tiny.yaml").read_text())
    methods = {name: values["methods"][name] for name in ("drop_random", "keep_cold")}
    config = tmp_path / "other.yaml"
    config.write_text(yaml.safe_dump(values | {"study": "other", "methods": methods}))
    own.run(config=str(config))
    both = Copy(finished.folder, tmp_path / "both")
    both.work.mkdir()
    with open(both.work / "launchers.log", "w") as log:
        started = [
            subprocess.Popen(
                both.command(config=str(given)), env=both.environment, cwd=both.work,
                stdout=log, stderr=log,
            )
            for given in (config, "configs/tiny.yaml")
        ]  # fmt: skip
        ends = [process.wait() for process in started]
    said = (both.work / "launchers.log").read_text()
    assert ends == [0, 0], said
    assert "waiting for study" in said
    assert both.artifacts() == own.artifacts()
    assert both.planned() == {} and both.planned(str(config)) == {}
