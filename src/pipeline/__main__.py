"""The command line: `python -m pipeline run`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import launcher, slurm
from pipeline.config.study import parse_study
from pipeline.errors import UserError
from pipeline.study import PROJECT, Study, read_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 for success, 2 for input that was refused."""
    parser = _parser()
    given, extra = parser.parse_known_args(arguments)
    try:
        given.action(given, extra)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _run(given: argparse.Namespace, extra: list[str]) -> None:
    config = parse_study(read_config(given.config), given.config.parent)
    Study(config)
    directory = given.directory.resolve()
    dry = bool({"-n", "--dry-run", "--dryrun"} & set(extra))
    profile = launcher.profile_folder(given.profile)
    cluster = not dry and slurm.used_by(profile, extra)
    if cluster:
        extra = [*slurm.options(config.study, directory, profile, extra), *extra]
    line = launcher.command(given.config, given.profile, given.cores, directory, extra)
    launcher.run(line, None if dry else launcher.lock(config, directory, cluster))


def _check(given: argparse.Namespace, extra: list[str]) -> None:
    config = parse_study(read_config(given.config), given.config.parent)
    study = Study(config)
    sys.stdout.write(
        f"{given.config}: study {config.study!r}, {len(config.models)} models, "
        f"{len(study.conditions)} pruned conditions, {len(config.evaluation.tasks)} tasks\n"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser(
        "run", help="run a study; goes on where an interrupted run stopped",
        description="Further arguments go to Snakemake, for instance --dry-run.",
    )  # fmt: skip
    run.set_defaults(action=_run)
    run.add_argument("--profile", default="local", help="folder in profiles/, or a path")
    run.add_argument("--cores", help="cores for the jobs; default: the profile's")
    run.add_argument(
        "--directory", type=Path, default=Path(), help="where results/ goes; default: here"
    )
    check = commands.add_parser("check", help="check a configuration without running it")
    check.set_defaults(action=_check)
    for command in (run, check):
        command.add_argument("--config", type=Path, default=PROJECT / "config.yaml")
    return parser


if __name__ == "__main__":
    sys.exit(main())
