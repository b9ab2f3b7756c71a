"""Which jobs of the default study run again after which edit.

    python benchmarks/reruns.py

Every edit is made in a copy of the project, where the study is planned anew: a job whose identity
or digest of sources is another one runs again, and so does what reads its files, as Snakemake lists
them. Writes the table of CONTRIBUTING.md.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.report.readme import between

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "CONTRIBUTING.md"
#: What the table's marks in the page are called.
NAME = "reruns"
CONFIG = "config.yaml"
_COPIED = ("Snakefile", CONFIG, "configs", "profiles", "resources", "rules", "src", "workflow")
_UNUSED = shutil.ignore_patterns("__pycache__", "*.so")


@dataclass(frozen=True)
class Edit:
    """A text that stands once in a file of the project, and what it becomes."""

    words: str
    file: str
    old: str
    new: str


_SOURCE = "src/pipeline"
#: Edits that change no result.
WITHOUT_EFFECT = (
    Edit(
        "how long a benchmark of the kernels repeats",
        f"{_SOURCE}/decoding/timing.py", "_SECONDS = 0.004", "_SECONDS = 0.04",
    ),
    Edit(
        "the text of an error where kernels are put into a model",
        f"{_SOURCE}/decoding/patching.py", "remove that patch first", "undo that patch first",
    ),
    Edit(
        "the text of an error in what computes a profile",
        f"{_SOURCE}/profiling/merge.py", "do not hold every block once", "lack blocks",
    ),
    Edit(
        "the wording of an error of the disk",
        f"{_SOURCE}/errors.py", "the disk is full", "the disk has no room",
    ),
    Edit(
        "what is said when a job is killed",
        f"{_SOURCE}/running/entry.py", "perhaps for lack of memory", "perhaps by the system",
    ),
    Edit(
        "how many jobs may wait for the fork server",
        f"{_SOURCE}/running/forkserver.py", "listen(64)", "listen(128)",
    ),
    Edit(
        "the description of a table's column",
        f"{_SOURCE}/tables/neurons.py", "block of the model, from 0", "block, from 0",
    ),
    Edit(
        "the description of a configuration key",
        f"{_SOURCE}/config/profile.py", "jobs that the calibration set is divided among", "jobs",
    ),
    Edit("the release", f"{_SOURCE}/__init__.py", '__version__ = "', '__version__ = "1.'),
)  # fmt: skip
#: Edits that change the page alone.
OF_THE_PAGE = (
    Edit(
        "how a probability below 0.001 is printed",
        f"{_SOURCE}/report/numbers.py", '"< 0.001"', '"below 0.001"',
    ),
    Edit("a colour of the figures", f"{_SOURCE}/report/style.py", '"#222222"', '"#000000"'),
)  # fmt: skip
#: Edits that change results.
OF_RESULTS = (
    Edit(
        "an interval of the analysis",
        f"{_SOURCE}/analysis/intervals.py", "(1 + 2 * self.centre**2)", "(1 + self.centre**2)",
    ),
    Edit(
        "how answers are scored",
        f"{_SOURCE}/evaluation/harness.py", "correct and written.finite", "correct",
    ),
    Edit(
        "the sparsifier `drop_random`",
        f"{_SOURCE}/methods/sparsifiers/drop_random.py", "seed + 1", "seed + 2",
    ),
    Edit(
        "the policy `coverage`",
        f"{_SOURCE}/classification/coverage.py", ".to_numpy(), 1)", ".to_numpy(), 2)",
    ),
    Edit(
        "which tokens a profile samples",
        f"{_SOURCE}/profiling/sample.py", "_SAMPLE_SEED = 0", "_SAMPLE_SEED = 1",
    ),
    Edit("one evaluation task fewer", CONFIG, "multihop, sorting,", "multihop,"),
    Edit(
        "how arguments of scripts are cast",
        f"{_SOURCE}/store/arguments.py", "if origin is list:", "if origin in (list, tuple):",
    ),
)  # fmt: skip
EDITS = (*WITHOUT_EFFECT, *OF_THE_PAGE, *OF_RESULTS)

#: Prints, as JSON, the jobs before any edit and after each of those that it reads: folder ->
#: [rule, identity, digest of sources]. Each is planned by a fork, whose caches hold nothing but
#: modules that are not edited.
_PLANS = """
import json, os, sys
from pathlib import Path
from pipeline.config.study import parse_study
from pipeline.planning.study import Study, read_config
from pipeline.store.closures import closure_modules

def print_jobs(config):
    study = Study(parse_study(read_config(config), config.parent))
    jobs = {
        folder: [job.rule, job.identity, study.source_behind(job)]
        for folder, job in study.folders.items()
    }
    print(json.dumps(jobs), flush=True)

for file in [*Path("src").rglob("*.py"), *Path("workflow/scripts").glob("*.py")]:
    name = ".".join(file.with_suffix("").parts[1:]).removesuffix(".__init__")
    closure_modules(name if file.parts[0] == "src" else str(file.resolve()))
config, edits = Path(sys.argv[1]), json.load(sys.stdin)
for number, (file, old, new) in enumerate([(str(config), "", ""), *edits], start=1):
    text, times = Path(file).read_text(), os.stat(file)
    if number > 1:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        Path(file).write_text(text.replace(old, new))
        os.utime(file, (number, number))
    child = os.fork()
    if not child:
        print_jobs(config)
        os._exit(0)
    assert not os.waitpid(child, 0)[1], file
    Path(file).write_text(text)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
"""

Jobs = dict[str, list[str]]


@dataclass(frozen=True)
class Reruns:
    """Jobs that an edit changes, and all that run again, each as folder -> rule."""

    changed: dict[str, str]
    again: dict[str, str]


def copied(folder: Path, project: Path = PROJECT) -> Path:
    """A copy of what a study is planned with."""
    copy = folder / "project"
    copy.mkdir()
    for name in _COPIED:
        if (project / name).is_dir():
            shutil.copytree(project / name, copy / name, ignore=_UNUSED)
        else:
            shutil.copy(project / name, copy / name)
    return copy


def planned(project: Path, edits: Iterable[Edit], config: str = CONFIG) -> list[Jobs]:
    """The jobs of the copied project's study, before any edit and then after each."""
    told = json.dumps([(edit.file, edit.old, edit.new) for edit in edits])
    lines = _python(project, "-c", _PLANS, config, told=told).splitlines()
    return [json.loads(line) for line in lines]


def read_by(project: Path, config: str = CONFIG) -> dict[str, set[str]]:
    """Folder of results -> the folders that its job reads, of a study with no results."""
    with tempfile.TemporaryDirectory() as empty:
        line = ("run", "--config", config, "--directory", empty, "--dry-run", "--quiet", "host")
        text = _python(project, "-m", "pipeline", *line)
    reads: dict[str, set[str]] = {}
    for body in re.findall(r"^(?:local)?rule \w+:\n((?:    .*\n?)*)", text, re.M):
        for folder in _folders(body, "output"):
            reads.setdefault(folder, set()).update(_folders(body, "input"))
    return reads


def _folders(job: str, kind: str) -> set[str]:
    files = re.search(rf"^    {kind}: (.*)$", job, re.M)
    return {str(Path(file).parent) for file in files[1].split(", ")} if files else set()


def reruns(before: Jobs, after: Jobs, reads: Mapping[str, set[str]]) -> Reruns:
    """The jobs that an edit changes, and with them all that follow; `reads` is of the study after
    the edit."""
    changed = {folder for folder, job in after.items() if before.get(folder) != job}
    again, new = set(changed), set(changed)
    while new:
        new = {folder for folder in after if reads[folder] & new} - again
        again |= new
    rules = {folder: rule for folder, (rule, *_) in after.items()}
    return Reruns(*({f: r for f, r in rules.items() if f in some} for some in (changed, again)))


def of_all(
    project: Path, edits: Iterable[Edit] = EDITS, config: str = CONFIG
) -> tuple[Jobs, dict[Edit, Reruns]]:
    """(jobs of the copied project's study as it is, what each edit reruns)."""
    edits = list(edits)
    before, *plans = planned(project, edits, config)
    reads = read_by(project, config)
    found = {}
    for edit, after in zip(edits, plans, strict=True):
        # An edit of the source moves no folder.
        same = set(after) == set(before)
        found[edit] = reruns(before, after, reads if same else _reads_after(project, edit, config))
    return before, found


def _reads_after(project: Path, edit: Edit, config: str) -> dict[str, set[str]]:
    path = project / edit.file
    text = path.read_text()
    path.write_text(text.replace(edit.old, edit.new))
    try:
        return read_by(project, config)
    finally:
        path.write_text(text)


def table(project: Path = PROJECT) -> str:
    """The table of CONTRIBUTING.md."""
    with tempfile.TemporaryDirectory() as folder:
        jobs, found = of_all(copied(Path(folder), project))
    rows = [
        f"The default study has {len(jobs)} jobs.",
        "",
        "| edit | jobs that it concerns | jobs that run again, with what follows |",
        "|---|---|---|",
    ]
    for edit, what in found.items():
        concerned = "all" if len(what.changed) == len(jobs) else _listed(what.changed.values())
        rows.append(f"| {edit.words} | {concerned or 'none'} | {len(what.again)} |")
    return "\n".join(rows)


def _listed(rules: Iterable[str]) -> str:
    return ", ".join(f"{number} `{rule}`" for rule, number in Counter(rules).items())


def _python(project: Path, *arguments: str, told: str = "") -> str:
    """What a Python that imports the copied project prints. Its errors go to the terminal."""
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project, env=environment, input=told, text=True, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return done.stdout


if __name__ == "__main__":
    PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), NAME, table()), encoding="utf-8")
