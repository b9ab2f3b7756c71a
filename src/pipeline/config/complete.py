"""A configuration with everything in it: defaults filled in, grids written out."""

from typing import Any

from pipeline.config.methods import flat
from pipeline.config.study import StudyConfig
from pipeline.registry import PARTS

_OPENING = """\
# The study {study}, complete: defaults are filled in, grids are written out, and local places are
# absolute.
"""


def complete(config: StudyConfig) -> dict[str, Any]:
    """A study's values with every key, as plain values that `parse_study` reads as the same study.

    A method's part is a mapping with its name and all its options; paths are absolute.
    """
    values = config.model_dump(mode="json")
    for method in values["methods"].values():
        method |= {kind: flat(method[kind]) for kind in PARTS if method[kind] is not None}
    return values


def as_yaml(config: StudyConfig) -> str:
    """The complete study as the text of a configuration file, one key per line and lists in
    brackets."""
    # Importing yaml takes a while.
    import yaml

    class Dumper(yaml.SafeDumper):
        """PyYAML's safe dumper, with lists on one line and without references."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(
        list, lambda dumper, each: dumper.represent_sequence("tag:yaml.org,2002:seq", each, True)
    )
    text: str = yaml.dump(
        complete(config), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return _OPENING.format(study=config.study) + text
