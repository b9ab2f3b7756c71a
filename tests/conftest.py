"""Fixtures that several packages share: manifests, a small study, small models made on the spot,
copies of the project that tests may edit, and real runs of its studies."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: Variables under which torch and MKL compute as on other processors than the one at hand.
PROCESSORS = {
    "oldest": {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"},
    "avx2": {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
# `make test-processors` names one.
if "COLD_NEURONS_PROCESSOR" in os.environ:
    os.environ.update(PROCESSORS[os.environ["COLD_NEURONS_PROCESSOR"]])
# Read when the libraries are imported. One thread, since sums change with the number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Where it is set, output that was never flushed looks as if it had been.
os.environ.pop("PYTHONUNBUFFERED", None)
# Read when Triton is imported, by whatever imports it first: without a GPU its interpreter serves.
if not shutil.which("nvidia-smi"):
    os.environ.setdefault("TRITON_INTERPRET", "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from pipeline.registry import ARCHITECTURES  # noqa: E402
from pipeline.store.artifacts import Manifest  # noqa: E402
from pipeline.store.digest import SOURCE_ROOT  # noqa: E402
from tests import forks  # noqa: E402
from tests.small import ONE_A_VIEW, small_model  # noqa: E402

# Deadlines are timings, and imports inside functions make first calls slow.
settings.register_profile("tests", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("tests")


PROJECT = Path(__file__).resolve().parents[1]
_PARTS = (
    "Snakefile",
    "config.yaml",
    "configs",
    "profiles",
    "resources",
    "rules",
    "src",
    "workflow",
)


#: Files whose tests wait for a cluster, or run whole studies one after the other: begun first, they
#: do not keep one worker busy after all others have ended.
_LONG = ("tests/cluster/test_slurm.py", "tests/faults", "tests/workflow")


def architectures(item: pytest.Item) -> set[str]:
    """The texts among a test's parameters; those of a contract test name its architecture."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return {value for value in params.values() if isinstance(value, str)}


def others_cases(items: list[pytest.Item], processor: str) -> set[pytest.Item]:
    """The tests that are left out as another processor computes: those of more than one
    architecture of a view, which differ in what stands around the FFN, and the cases of a test
    that the other kinds of processor take, by turns. Every case is tried as some other processor
    computes, and every test as each does."""
    others = set(ARCHITECTURES) - set(ONE_A_VIEW)
    left = {item for item in items if others & architectures(item)}
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item not in left:
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    turn = list(PROCESSORS).index(processor)
    for of_one in cases.values():
        if len(of_one) >= len(PROCESSORS):
            mine = set(of_one[turn :: len(PROCESSORS)])
            left.update(item for item in of_one if item not in mine)
    return left


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests by file, the longest first; as another processor computes, leave some out."""
    if "COLD_NEURONS_PROCESSOR" in os.environ:
        left = others_cases(items, os.environ["COLD_NEURONS_PROCESSOR"])
        config.hook.pytest_deselected(items=list(left))
        items[:] = [item for item in items if item not in left]

    def rank(item: pytest.Item) -> int:
        place = str(item.path.relative_to(PROJECT))
        found = (number for number, start in enumerate(_LONG) if place.startswith(start))
        return next(found, len(_LONG))

    items.sort(key=rank)


def jobs_in(text: str) -> dict[str, list[str]]:
    """Rules that a dry run says would be executed, each with the first output of every job."""
    jobs: dict[str, list[str]] = {}
    for name, body in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n?)*)", text, re.M):
        output = re.search(r"^    output: ([^,\n]*)", body, re.M)
        jobs.setdefault(name, []).append(output.group(1) if output else "")
    jobs.pop("all", None)
    return jobs


@dataclass
class Copy:
    """The project in a folder of its own, and a folder that its results go to."""

    folder: Path
    work: Path
    #: Of its runs, besides the surrounding process'.
    variables: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str, config: str = "configs/tiny.yaml") -> list[str]:
        """The launcher's command line."""
        line = [sys.executable, "-m", "pipeline", "run", "--config", str(self.folder / config)]
        return [*line, "--directory", str(self.work), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """This process' environment with the copy's package in front of the installed one."""
        return {**os.environ, "PYTHONPATH": str(self.folder / "src"), **self.variables}

    def run(self, *arguments: str, config: str = "configs/tiny.yaml") -> str:
        """Run the launcher to its end; what it printed. Fails the test when it fails."""
        done = subprocess.run(
            self.command(*arguments, config=config),
            env=self.environment, cwd=self.work, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, config: str = "configs/tiny.yaml") -> dict[str, list[str]]:
        """Rules that a run would execute, each with the first output of every job."""
        line = self.command("--dry-run", "--quiet", "host", config=config)
        done = forks.run(line, self.environment, self.work)
        assert done.returncode == 0, done.stdout + done.stderr
        return jobs_in(done.stdout + done.stderr)

    def artifacts(self) -> dict[str, bytes]:
        """Relative path -> contents of all results; no timings, logs or locks."""
        results = self.work / "results"
        return {
            str(path.relative_to(results)): path.read_bytes()
            for path in sorted(results.rglob("*"))
            if path.is_file()
            and path.relative_to(results).parts[0] not in ("timing", "logs")
            and not path.name.startswith(".")
        }

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that stands exactly once in a file of the copy."""
        file = self.folder / path
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new))

    def configure(self, key: str, value: object, config: str = "configs/tiny.yaml") -> None:
        """Set a key of a configuration of the copy, by its dotted path."""
        import yaml

        file = self.folder / config
        values = place = yaml.safe_load(file.read_text())
        *sections, last = key.split(".")
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
        file.write_text(yaml.safe_dump(values, sort_keys=False))


#: Items of a task that a copy has. The studies of the tests ask fewer, and every start of the
#: launcher reads all.
_ITEMS = 60


def copied(folder: Path) -> Copy:
    """A fresh copy with an empty working folder beside it, and short tasks."""
    for part in _PARTS:
        source = PROJECT / part
        ignore = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, folder / "project" / part, ignore=ignore)
        else:
            (folder / "project").mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / "project" / part)
    for items in (folder / "project/resources/tasks").glob("*.jsonl"):
        lines = items.read_text(encoding="utf-8").splitlines(keepends=True)
        items.write_text("".join(lines[:_ITEMS]), encoding="utf-8")
    work = folder / "work"
    work.mkdir()
    return Copy(folder / "project", work)


@pytest.fixture
def manifest():
    return Manifest(rule="some_rule", source="0" * 32, config={"level": 0.5}, seed=3)


@pytest.fixture
def study_values():
    """A small study with every key in it, as a configuration file would give it."""
    method = {
        "weights": None,
        "quantization": None,
        "sparsifier": "drop_cold",
        "compensation": None,
        "corpus": "reasoning",
        "classification": "coverage80",
        "levels": [0.25, "cold"],
        "measure": None,
        "sparse_from": "start",
        "seeds": [0],
        "scope": "layer",
    }
    return {
        "study": "small",
        "seed": 0,
        "models": {
            "backbone": {
                "source": "builtin:ref-reglu",
                "revision": None,
                "dtype": "float32",
                "device": "cpu",
                "trust_remote_code": False,
            }
        },
        "calibration": {
            "reasoning": {
                "source": "builtin:reasoning",
                "revision": None,
                "field": "text",
                "split": "train",
                "tokens": 1000,
                "sequence_length": 64,
                "overlap_ngram": 24,
                "shards": 1,
                "allow_overlap": False,
            }
        },
        "profile": {
            "blocks": 2,
            "batch_size": 4,
            "batch_megabytes": 2000,
            "shards": 2,
            "cett": 0.2,
            "cett_tokens": 512,
        },
        "classification": {
            "coverage80": {"policy": "coverage", "share": 0.8, "scope": "layer"},
            "of_model": {"policy": "budget", "share": 0.2, "scope": "model"},
        },
        "methods": {"drop_cold": method},
        "evaluation": {
            "tasks": ["chain", "copying"],
            "limit": 4,
            "batch_size": 4,
            "batch_megabytes": 2000,
            "block_items": 3,
            "shards": 1,
        },
        "analysis": {
            "bootstrap": 200,
            "confidence": 0.95,
            "activity_corpus": None,
            "reference_level": 0.25,
        },
    }


@pytest.fixture(scope="session")
def make_model():
    """A function that builds a random model of any registered architecture, by its class name."""
    return small_model


@pytest.fixture(scope="session")
def save_model(make_model):
    """A function that writes a random model with its tokenizer into a folder."""

    def save(folder, **overrides):
        from pipeline.reference.vocabulary import save_tokenizer

        make_model(**overrides).save_pretrained(folder)
        save_tokenizer(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """The built-in language's tokenizer."""
    from transformers import AutoTokenizer

    from pipeline.reference.vocabulary import save_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A function that puts files into the wheel of a package that has been fetched."""
    import zipfile

    from pipeline.store import packages

    monkeypatch.setenv(packages.CACHE, str(tmp_path / "cache"))

    def put(name, version="1.0", **files):
        folder = tmp_path / "cache" / "wheels" / f"{name}-{version}"
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
            for path, data in files.items():
                archive.writestr(path, data)

    return put


@pytest.fixture
def hub_on_loopback(tmp_path):
    """A function: request handler, attributes of its server -> (server, environment in which this
    server is the Hub)."""
    from http.server import ThreadingHTTPServer

    with contextlib.ExitStack() as ends:

        def start(handler, **attributes):
            server = ends.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            vars(server).update(attributes)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            ends.callback(thread.join)
            ends.callback(server.shutdown)
            return server, {
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
                "HF_HOME": str(tmp_path / "cache"),
                "HF_HUB_OFFLINE": "0",
                "HF_DATASETS_OFFLINE": "0",
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                "HF_TOKEN": "",
                "NO_PROXY": "127.0.0.1",
            }

        yield start


@pytest.fixture
def python():
    """A function that runs code in a fresh interpreter and returns the finished process."""

    def run(code, *arguments, **environment):
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def fresh(tmp_path: Path) -> Copy:
    """A copy that has run nothing."""
    return copied(tmp_path)


@pytest.fixture(scope="module")
def fresh_module(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy that has run nothing, for all tests of a module."""
    return copied(tmp_path_factory.mktemp("module"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy whose tiny study has run; shared, so tests leave it as they found it.

    The study runs once, whatever the number of pytest's workers: each has a copy of its own.
    """
    own = tmp_path_factory.mktemp("finished")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        copy = copied(own)
        copy.run()
        return copy
    of_all = tmp_path_factory.getbasetemp().parent / "finished-of-all"
    with open(of_all.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not of_all.exists():
            beside = tmp_path_factory.mktemp("finished-first")
            copied(beside).run()
            beside.rename(of_all)
    for name in ("project", "work"):
        shutil.copytree(of_all / name, own / name, copy_function=shutil.copy2)
    return Copy(own / "project", own / "work")


@pytest.fixture
def edited(finished: Copy) -> Iterator[Copy]:
    """The finished copy; files that a test edits or deletes are put back afterwards."""
    kept = finished.folder.parent / "kept"
    shutil.copytree(finished.folder, kept / "project")
    shutil.copytree(finished.work, kept / "work", copy_function=shutil.copy2)
    yield finished
    for name, folder in (("project", finished.folder), ("work", finished.work)):
        shutil.rmtree(folder)
        shutil.move(kept / name, folder)
    kept.rmdir()
