"""The shape of a stage: what one rule of a study makes, where, from what, and at what cost."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pipeline.planning.folder import Folder
from pipeline.planning.work import Estimate
from pipeline.tables.base import Arrays, Document, Table

#: What a job's result can rest on besides its inputs and params: the view of a model, the items of
#: the tasks, and the registry entries of a kind of corpus, of a method's parts, of a policy.
Read = Literal["model", "tasks", "corpus", "method", "classification"]


#: What a stage has one job for each of: the whole study, a model, a corpus in a model's tokens, a
#: profile, a classification.
Each = Literal["study", "model", "text", "profile", "classification"]

Kind = Table | Document | Arrays


@dataclass(frozen=True)
class Output:
    """A file of a job by its name, and its `kind`: its table, or a function that returns it; None
    for a text or an image."""

    file: str
    kind: Kind | Callable[[], Kind] | None = None

    @property
    def table(self) -> Kind | None:
        """The table, document or arrays that the file holds."""
        return self.kind() if callable(self.kind) else self.kind


@dataclass(frozen=True)
class Cost:
    """What a stage costs besides the model's arithmetic: seconds to start, seconds per token and
    per row, and bytes on disk per row. Used where resources/cost.json has no measured constants."""

    start: float
    token: float = 0.0
    row: float = 0.0
    bytes_a_row: float = 100.0

    def as_dict(self) -> dict[str, float]:
        """The constants by the names that resources/cost.json gives them."""
        return dict(vars(self))


def _nothing(study: Any, folder: Folder) -> object:
    return None


@dataclass(frozen=True)
class Stage:
    """One rule of a study.

    `rules_file` is its file in `rules/`; `title` the kind of result in the reference of formats;
    `folder` where one of its jobs writes, below `results`, with the rule's wildcards; `outputs` its
    files by their names in the rule. `libraries` are those whose version can change its result, and
    `reads` what else can. `packages` are those of the project that its script may import from: an
    edit there may run the stage again, so a test compares the two.

    A stage that `serves` another makes the shards of it: `parts` maps the other's inputs to outputs
    of this one, and `least_shards` is the smallest number of shards for which this stage has jobs.
    `log` is the path of its log where that does not follow from its folder. A stage is `asked` for
    if people want its files, whether or not another stage reads them: the rule `all` makes them.
    Where its files are of other programs' formats, which have no room for a manifest, `told_by` is
    the one that has one, and holds the digests of the others as `files`.

    Where `each` is given, the stage has one job for each thing that it names, and its jobs need no
    further description. `inputs` then maps names in the rule to an output of another stage, as
    (rule, output): that of all its jobs that are about the same model, corpus, classification and
    method, as far as both jobs are about one. `settings` returns what decides the result besides
    inputs and code, such as keys of the configuration. The jobs of all other stages stand in
    `planning.folders`.
    """

    rules_file: str
    title: str
    folder: str
    outputs: Mapping[str, Output]
    libraries: tuple[str, ...]
    packages: frozenset[str]
    work: Estimate
    cost: Cost
    reads: frozenset[Read] = frozenset()
    serves: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    least_shards: int = 2
    log: str = ""
    asked: bool = False
    told_by: str = ""
    each: Each | None = None
    inputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    settings: Callable[[Any, Folder], object] = _nothing

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The names of the files that a job makes."""
        return tuple(output.file for output in self.outputs.values())

    @property
    def heavy(self) -> bool:
        """True where a job's process imports torch or a tokenizer."""
        return bool({"torch", "transformers", "tokenizers"} & set(self.libraries))

    @property
    def own(self) -> bool:
        """True where the results belong to one study and are not shared."""
        return self.folder.startswith("{study}/")

    def place(self, **values: object) -> str:
        """The folder of the job with these wildcards."""
        return f"results/{self.folder.format(**values)}"

    def log_place(self, folder: str) -> str:
        """Where the log of the job that writes `folder` stands, below results/logs and without its
        ending."""
        place = folder.removeprefix("results/")
        return self.log.format(study=place.partition("/")[0]) if self.log else place

    @property
    def wildcards(self) -> list[str]:
        """The wildcards of its jobs, in the order of the folder."""
        return [name for name in re.findall(r"{(\w+)}", self.folder) if name != "study"]
