"""What a user tells Snakemake, in a profile's file and in arguments of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import UserError

#: The option for resources of the whole run, and the shortest word that Snakemake takes for it.
_RESOURCES, _RES = "--resources", "--res"


def executor(profile: Path, extra: Sequence[str]) -> str:
    """What runs the jobs; `local`, which is this machine, unless an option or the profile says."""
    given = option(extra, "--executor") or option(extra, "-e")
    return str(given or of_profile(profile).get("executor") or "local")


def resources(profile: Path, extra: Sequence[str]) -> tuple[list[str], list[str]]:
    """(resources of the whole run, each as NAME=VALUE; the arguments without those that give them).

    Arguments come before the profile, and the last of several options before the others, as
    Snakemake has it.
    """
    values, left, taking = _listed(of_profile(profile).get("resources")), [], False
    for word in extra:
        name, equals, value = word.partition("=")
        if name.startswith(_RES) and _RESOURCES.startswith(name):
            values, taking = [value] if equals else [], not equals
        elif taking and not word.startswith("-"):
            values.append(word)
        else:
            taking = False
            left.append(word)
    return values, left


def option(extra: Sequence[str], name: str) -> str | None:
    """Value of an option among further arguments, as `--name value` or `--name=value`."""
    for position, given in enumerate(extra):
        if given == name:
            return "".join(extra[position + 1 : position + 2])
        if given.startswith(f"{name}="):
            return given.partition("=")[2]
    return None


def of_profile(profile: Path) -> Mapping[str, object]:
    """What a profile's file says; Snakemake itself refuses a folder without one. UserError for a
    file that is not YAML."""
    import yaml

    for pattern in ("profile*.yaml", "config*.yaml"):
        for file in sorted(profile.glob(pattern)):
            try:
                loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise UserError(f"profile {file} is not YAML: {error}") from error
            return loaded if isinstance(loaded, dict) else {}
    return {}


def _listed(given: object) -> list[str]:
    """A profile's resources, which may be a mapping, a list or a text, as NAME=VALUE."""
    if isinstance(given, Mapping):
        return [f"{name}={value}" for name, value in given.items()]
    return [str(one) for one in given] if isinstance(given, list) else str(given or "").split()
