"""A study, planned: its conditions, the keys of what studies share, and what decides a rerun.

Knows nothing of Snakemake; the rules ask it for names, configuration slices and source digests.
"""

from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline.config.study import StudyConfig
from pipeline.errors import UserError
from pipeline.planning import orders, sources, validation
from pipeline.planning.folder import Folder
from pipeline.planning.folders import Folders
from pipeline.planning.sources import PROJECT
from pipeline.planning.stages import STAGES
from pipeline.store import plain_yaml

__all__ = ["PROJECT", "Study", "read_config"]


class Study(Folders):
    """A validated configuration with everything that the rules derive from it: its conditions and
    names, the folders of its jobs, and the digests that decide a rerun."""

    def __init__(self, config: StudyConfig) -> None:
        super().__init__(config)
        validation.check(self)

    @cached_property
    def orders(self) -> list[dict[str, Any]]:
        """How the methods that only remove neurons do so: the fields of config.orders.Order."""
        return orders.orders(self)

    @property
    def by_steps(self) -> list[str]:
        """Methods whose answers are shown by number of steps."""
        return orders.by_steps(self)

    def notes(self) -> list[str]:
        """Notes on what can be computed but was perhaps not intended."""
        return orders.notes(self)

    @cache  # noqa: B019
    def source(self, rule: str, **about: str) -> sources.Source:
        """Digest of what is behind one job, as `sources.source_of` says; `about` names the model,
        corpus, method and classification that its stage reads."""
        return sources.source_of(self, rule, **about)

    def source_behind(self, folder: Folder) -> str:
        """Digest of `source` for the job that makes a folder of `folders`, as it stands in the
        manifests of what the job makes."""
        about = {name: getattr(folder, name) for name in STAGES[folder.rule].reads - {"tasks"}}
        value: str = self.source(folder.rule, **about)["digest"]
        return value


def read_config(path: Path) -> dict[str, Any]:
    """A configuration file as a mapping; UserError when it is missing or no mapping, or holds what
    `plain_yaml` refuses."""
    try:
        loaded = plain_yaml.read(path)
    except OSError as error:
        raise UserError(
            f"configuration {path}: {error.strerror}; give --config FILE (with make: CONFIG=FILE)"
        ) from error
    except UserError as error:
        raise UserError(f"configuration {error}") from error
    if not isinstance(loaded, dict):
        raise UserError(f"configuration {path} holds no keys")
    return loaded
