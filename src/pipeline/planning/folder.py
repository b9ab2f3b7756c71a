"""One job's folder of results: which stage makes it, what it is, and what the job is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline.store import digest


@dataclass(frozen=True)
class Folder:
    """The folder of one job's artifacts: its rule, the identity of the artifacts as far as that is
    known before any job, and what the job is about. `shards` is the number of shards that a shard
    is one of; a job that `merges` only puts shards together. `reads` are its inputs, files by the
    rule's names for them; it is empty for jobs that read whatever a study has made."""

    rule: str
    identity: str
    model: str = ""
    corpus: str = ""
    method: str = ""
    classification: str = ""
    shards: int = 1
    merges: bool = False
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def divided(folder: Folder, rule: str, places: list[str]) -> dict[str, Folder]:
    """The folders of a job's shards, which stand at `places` and are made by `rule`."""
    return {
        place: replace(
            folder,
            rule=rule,
            identity=digest.of_value([folder.identity, shard, len(places)]),
            shards=len(places),
        )
        for shard, place in enumerate(places)
    }
