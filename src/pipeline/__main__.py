"""The command line: look at the machine; run a study, plan it, see how far it is, clean up."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config.study import parse_study
from pipeline.errors import UserError
from pipeline.planning.study import PROJECT, Study, read_config
from pipeline.running import launcher, settings, slurm
from pipeline.running.lock import holder
from pipeline.running.memory import memory
from pipeline.tasks.task import find


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 for success, 2 for input that was refused, and 1 where `doctor`
    finds that no study can run."""
    parser = _parser()
    given, extra = parser.parse_known_args(arguments)
    if "config" in given:
        _take_configuration(parser, given, extra)
    if extra and given.action is not _run:
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    try:
        outcome: int | None = given.action(given, extra)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return outcome or 0


def _take_configuration(
    parser: argparse.ArgumentParser, given: argparse.Namespace, extra: list[str]
) -> None:
    """Take the configuration from its option or from a bare argument, else the command's default.

    The other arguments of `run` are options and targets for Snakemake, so there a bare argument is
    taken as the configuration if it ends in .yaml or .yml.
    """
    words = [word for word in extra if not word.startswith("-")]
    if given.action is _run:
        words = [word for word in words if word.endswith((".yaml", ".yml"))]
    elif len(words) == len(extra) and len(words) + (given.config is not None) > 1:
        named = [*map(str, filter(None, [given.config])), *words]
        parser.error(f"one configuration at a time; given: {', '.join(named)}")
    if given.config is None and words:
        given.config = Path(words[0])
        extra.remove(words[0])
    given.config = given.config or given.usual


def _run(given: argparse.Namespace, extra: list[str]) -> None:
    if given.model:
        given.config = _of_model(given.model)
    study = _study(given)
    config, directory = study.config, given.directory.resolve()
    dry = bool({"-n", "--dry-run", "--dryrun"} & set(extra))
    profile = launcher.profile_folder(given.profile)
    cluster = not dry and slurm.used_by(profile, extra)
    if cluster:
        extra = [*slurm.options(config.study, directory, profile, extra), *extra]
    launcher.settle_cache(directory)
    line = launcher.command(given.config, given.profile, given.cores, directory, extra)
    if not dry:
        line += launcher.logger(config, directory, sys.stderr.isatty())
    jobs_lock = None if dry else launcher.lock(config, directory, cluster)
    if jobs_lock:
        # Snakemake's own start writes it too, but not where nothing is left to do.
        launcher.write_jobs_of(study, directory)
    # Jobs on a cluster or in a container run on another machine, or as if they did.
    forks = not (dry or cluster or os.environ.get("COLD_NEURONS_IMAGE"))
    launcher.run(line, jobs_lock, forks)


def _of_model(model: str) -> Path:
    """The configuration of a model's first study; written here unless it is there already."""
    from pipeline.commands.init import begun, init

    if path := begun(model):
        return path
    path, said = init(model, None)
    sys.stdout.write("".join(f"{line}\n" for line in (*said, f"written: {path}")))
    return path


def _check(given: argparse.Namespace, _: list[str]) -> None:
    from pipeline.commands.check import check
    from pipeline.config.complete import as_yaml

    study = _study(given)
    if given.complete:
        sys.stdout.write(as_yaml(study.config))
        return
    left = check(study)
    config = study.config
    counts = [(config.models, "model"), (study.conditions, "pruned condition")]
    counts += [(config.evaluation.tasks, "task")]
    said = ", ".join(f"{len(of)} {word}{'s' * (len(of) != 1)}" for of, word in counts)
    sys.stdout.write(f"{given.config}: study {config.study!r}, {said}\n")
    of_tasks = (note for task in map(find, config.evaluation.tasks) for note in task.notes())
    for note in (*study.notes(), *of_tasks, *left):
        sys.stdout.write(f"note: {note}\n")


def _init(given: argparse.Namespace, _: list[str]) -> None:
    from pipeline.commands.init import init

    path, said = init(given.model, given.out)
    sys.stdout.write("".join(f"{line}\n" for line in said))
    sys.stdout.write(f"written: {path}\nnext: python -m pipeline run {path}\n")


def _plan(given: argparse.Namespace, _: list[str]) -> None:
    from pipeline.commands import words
    from pipeline.commands.plan import plan

    study, directory = _study(given), given.directory.resolve()
    launcher.settle_cache(directory)
    line = launcher.command(given.config, given.profile, given.cores, directory, [])
    cores = int(given.cores) if str(given.cores).isdigit() else len(os.sched_getaffinity(0))
    here = settings.executor(launcher.profile_folder(given.profile), []) == "local"
    found = plan(study, directory, line, cores if here else None, memory() if here else None)
    at_work = holder(directory / "results")
    text = words.of_plan(found) + (
        f"in use by {at_work}: its jobs count as to run\n" if at_work else ""
    )
    _say(given, found.as_dict(), text)


def _status(given: argparse.Namespace, _: list[str]) -> None:
    from pipeline.commands import words
    from pipeline.commands.status import status
    from pipeline.planning.outdated import outdated

    study, directory = _study(given), given.directory.resolve()
    configured = {folder: made.identity for folder, made in study.folders.items()}
    again = outdated(study, directory)
    found = status(study.config.study, directory, time.time(), configured, again)
    _say(given, found.as_dict(), words.of_status(found))


def _inspect(given: argparse.Namespace, _: list[str]) -> None:
    from pipeline.commands import words
    from pipeline.commands.inspect import inspect

    found = inspect(given.profile)
    _say(given, found.as_dict(), words.of_profile(found))


def _apply(given: argparse.Namespace, _: list[str]) -> None:
    from pipeline.commands.apply import apply

    said = apply(given.plan, given.out, given.model)
    sys.stdout.write("".join(f"{line}\n" for line in (*said, f"written: {given.out.resolve()}")))


def _speed(given: argparse.Namespace, _: list[str]) -> None:
    from pipeline.commands.speed import speed

    study, directory = _study(given), given.directory.resolve()
    at = speed(
        study, directory, given.d, given.d_ff, given.dtype, given.rounds, given.device
    )  # fmt: skip
    sys.stdout.write(f"the page: {at}\n")


def _doctor(given: argparse.Namespace, _: list[str]) -> int:
    from pipeline.commands.diagnosis import of_diagnosis
    from pipeline.commands.doctor import doctor

    found = doctor(given.directory)
    _say(given, found.as_dict(), of_diagnosis(found))
    return 1 if found.problems else 0


def _gc(given: argparse.Namespace, _: list[str]) -> None:
    from pipeline.commands import words
    from pipeline.commands.unused import remove, unused

    directory = given.directory.resolve()
    if not (directory / "results").is_dir():
        raise UserError(f"there are no results in {directory}")
    if given.remove:
        if queued := slurm.queued(directory):
            listed = ", ".join(job.identity for job in queued)
            raise UserError(f"Slurm jobs write to these results: {listed}; wait for them")
        launcher.lock_alone(directory)
    items = unused(directory, _study(given) if given.config else None)
    if given.remove:
        remove(directory, items)
    facts = [{"path": str(item.path), "bytes": item.bytes} for item in items]
    _say(given, {"removed": given.remove, "items": facts}, words.of_unused(items, given.remove))


def _cores(text: str) -> str:
    if text != "all" and not (text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1, or all")
    return text


def _size(text: str) -> int:
    if not (text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1")
    return int(text)


def _rounds(text: str) -> int:
    if _size(text) < 5:
        raise argparse.ArgumentTypeError(f"{text!r}: fewer than 5 tell nothing of the spread")
    return int(text)


def _study(given: argparse.Namespace) -> Study:
    return Study(parse_study(read_config(given.config), given.config.parent))


def _say(given: argparse.Namespace, facts: Any, text: str) -> None:
    sys.stdout.write(json.dumps(facts, indent=1) + "\n" if given.json else text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__)
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser(
        "run", help="run a study; goes on where an interrupted run stopped",
        description="Further arguments go to Snakemake, for instance --dry-run.",
    )  # fmt: skip
    init = commands.add_parser(
        "init", help="look at a model, and write a first study of it with data to go with it"
    )
    check = commands.add_parser("check", help="check a configuration without running it")
    plan = commands.add_parser("plan", help="what a run would do, why, and what it would cost")
    status = commands.add_parser("status", help="how far a study is, and how long it will take")
    inspect = commands.add_parser("inspect", help="what a profile says of its model's neurons")
    apply = commands.add_parser(
        "apply", help="write the model that a plan changes, as a Hugging Face folder"
    )
    speed = commands.add_parser(
        "speed", help="measure the kernels here, and set the study's accuracy against their speed"
    )
    doctor = commands.add_parser(
        "doctor", help="what this machine offers a study, and what stands in its way"
    )
    gc = commands.add_parser("gc", help="list results that no study uses any more")
    actions = {
        run: _run, init: _init, check: _check, plan: _plan, status: _status, inspect: _inspect,
        apply: _apply, speed: _speed, doctor: _doctor, gc: _gc,
    }  # fmt: skip
    for command, action in actions.items():
        command.set_defaults(action=action)
    for command in (run, check, plan, status, speed):
        command.set_defaults(usual=PROJECT / "config.yaml")
        command.add_argument(
            "--config", type=Path, metavar="CONFIG",
            help="the study, a .yaml file, which may also stand by itself; default: config.yaml",
        )  # fmt: skip
    gc.set_defaults(usual=None)
    gc.add_argument(
        "--config", type=Path, metavar="CONFIG",
        help="a study that counts as it stands in this file, which may also stand by itself; "
        "default: all count as they were last started",
    )  # fmt: skip
    check.add_argument(
        "--complete", action="store_true",
        help="print the study with all defaults filled in and grids written out, as YAML",
    )  # fmt: skip
    for command in (run, plan):
        command.add_argument("--profile", default="local", help="folder in profiles/, or a path")
        command.add_argument(
            "--cores", type=_cores, help="cores for the jobs, or all; default: the profile's"
        )
    for command in (run, plan, status, speed, doctor, gc):
        command.add_argument(
            "--directory", type=Path, default=Path(), help="where results/ is; default: here"
        )
    run.add_argument(
        "--model", metavar="MODEL",
        help="write a first study of this model, as init does, unless it is there, and run it",
    )  # fmt: skip
    init.add_argument(
        "model", metavar="MODEL",
        help="Hub id, folder, .gguf file, or package:NAME==VERSION/PATH; of a package that holds "
        "one .gguf file, package:NAME is enough",
    )  # fmt: skip
    init.add_argument("--out", type=Path, help="folder to write; default: studies/NAME")
    inspect.add_argument("profile", type=Path, help="a folder of results/shared/merge_profile")
    apply.add_argument(
        "plan", type=Path, metavar="PLAN", help="a folder of results/STUDY/fit, or its plan.json"
    )
    apply.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    apply.add_argument(
        "--model",
        help="folder, .gguf file or Hub id of the model, where the plan is of a local one",
    )
    speed.add_argument("--d", type=_size, default=4096, help="width of the layers measured")
    speed.add_argument("--d-ff", type=_size, default=11008, help="neurons of the FFN measured")
    speed.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), default="bfloat16", help="of weights"
    )
    speed.add_argument(
        "--rounds", type=_rounds, default=9, help="times that everything is measured, 5 at least"
    )
    speed.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    for command in (plan, status, inspect, doctor, gc):
        command.add_argument("--json", action="store_true", help="as JSON")
    gc.add_argument("--remove", action="store_true", help="remove what is listed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
