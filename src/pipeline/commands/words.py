"""Plans, states and leftovers as readable tables."""

from collections.abc import Sequence

from pipeline.commands.inspect import InputScope, Inspection
from pipeline.commands.plan import Forecast
from pipeline.commands.status import Status
from pipeline.commands.unused import Unused
from pipeline.report.numbers import count, number, percent


def of_plan(plan: Forecast) -> str:
    """A plan as a table of stages, and below it totals and how far they can be trusted."""
    rows = [["stage", "jobs", "to run", "core time", "GPU time", "peak MB", "disk MB", "why"]]
    for rule, stage in plan.stages.items():
        why = ", ".join(f"{reason} ({n})" for reason, n in stage.why.most_common())
        figures = [_hours(stage.core_hours), _hours(stage.gpu_hours)]
        sizes = [f"{stage.peak_megabytes:,.0f}", f"{stage.disk_megabytes:,.1f}"]
        cells = figures + sizes if stage.to_run else ["", "", "", ""]
        rows.append([rule, str(stage.jobs), str(stage.to_run), *cells, why])
    stages = plan.stages.values()
    jobs, to_run = sum(s.jobs for s in stages), sum(s.to_run for s in stages)
    core, gpu = sum(s.core_hours for s in stages), sum(s.gpu_hours for s in stages)
    lines = [_table(rows), "", f"study {plan.study!r}: {to_run} of {jobs} jobs to run"]
    if to_run:
        hours = [f"{_hours(core)} of one core"] + ([f"{_hours(gpu)} of one GPU"] if gpu else [])
        at_once = ""
        if plan.wall_hours is not None:
            at_once = f"; about {_duration(plan.wall_hours * 3600)} on {plan.cores} at once"
        disk = sum(s.disk_megabytes for s in stages)
        lines.append(f"estimate: {' and '.join(hours)}{at_once}; {disk:,.1f} MB of results")
        lines += _trust(plan) + _too_large(plan)
    return "\n".join(lines) + "\n"


def _trust(plan: Forecast) -> list[str]:
    lines = []
    if plan.past_jobs:
        lines.append(f"scaled by {plan.past_jobs} jobs that have run here")
    else:
        lines.append("nothing has run here yet, so the constants of another machine stand")
    for error in (error for error in plan.errors if error.from_others):
        off = error.estimated_hours / error.actual_hours - 1 if error.actual_hours else 0.0
        lines.append(
            f"  jobs of {error.study}, estimated from other studies': "
            f"{_hours(error.estimated_hours)}, took {_hours(error.actual_hours)} ({off:+.0%})"
        )
    if plan.past_jobs and plan.unmeasured:
        lines.append(f"never run here: {', '.join(plan.unmeasured)}")
    if plan.unknown_models:
        lines.append(
            f"size unknown, taken as 8 billion parameters: {', '.join(plan.unknown_models)}; "
            "with a network, or once resolve_model has run, it is known"
        )
    return lines


def _too_large(plan: Forecast) -> list[str]:
    """The jobs that are expected to need more memory than the machine has, a rule in a sentence."""
    lines = []
    for rule, stage in plan.stages.items():
        if plan.memory_megabytes is None or not stage.too_large:
            continue
        needs, has = (
            f"{mb / 1000:,.1f} GB" for mb in (stage.peak_megabytes, plan.memory_megabytes)
        )
        lines.append(
            f"job {stage.largest} is expected to need {needs} of memory and the machine has {has}: "
            "it runs with no other beside it, and the system may end it"
        )
        if others := stage.too_large - 1:
            jobs = "1 other job" if others == 1 else f"{others} other jobs"
            lines.append(f"  {jobs} of {rule}, too, may need more than the machine has")
    return lines


def of_status(status: Status) -> str:
    """A status as a table of stages, with what runs, what failed and the end of its log, and the
    time left."""
    rows = [["stage", "jobs", "done", "running", "failed"]]
    for rule, counts in status.stages.items():
        cells = [counts[name] for name in ("jobs", "done", "running", "failed")]
        rows.append([rule, *(str(cell) if cell else "" for cell in cells)])
    done = sum(counts["done"] for counts in status.stages.values())
    jobs = sum(counts["jobs"] for counts in status.stages.values())
    lines = [_table(rows), "", f"study {status.study!r} is {status.state}: {done} of {jobs} done"]
    if status.seconds_left is not None:
        lines.append(f"about {_duration(status.seconds_left)} left")
    if status.pending:
        waiting = "submission waits" if status.pending == 1 else "submissions wait"
        lines.append(f"{status.pending} {waiting} in Slurm's queue, counted as running")
    for job in status.running:
        lines.append(f"running for {_duration(job['seconds'])}: {job['folder']}")
    for job in status.failed:
        ends = "ends:" if job["last_lines"] else "is empty: something ended the job from outside"
        lines += [f"failed: {job['folder']}; {job['log']} {ends}"]
        lines += [f"    {line}" for line in job["last_lines"]]
    if status.orphans:
        lines.append("jobs of a run that has ended are still at work; the next run waits for them")
    if status.failed:
        lines.append("once that is mended, the same command goes on where it stopped")
    elif status.state == "stopped":
        lines.append("the same command goes on where it stopped")
    lines += status.outdated
    if status.unread:
        counted = "1 line" if status.unread == 1 else f"{status.unread} lines"
        lines.append(f"{counted} of the last run's events cannot be read, so counts may be off")
    if status.changed:
        lines.append(
            f"this is the study as it was last started; by its configuration now {status.changed} "
            "jobs differ, and `plan` tells which would run"
        )
    return "\n".join(lines) + "\n"


def of_profile(found: Inspection) -> str:
    """A table of layers, the whole model first, with what its columns mean below it."""
    rows = [["layer", "neurons", "inactive", "carry 80 %", "Gini", "never active", "CETT threshold",
             "as before", "always active", "non-finite"]]  # fmt: skip
    for scope in found.scopes:
        rows.append(
            [
                "all" if scope.layer is None else str(scope.layer),
                count(scope.neurons),
                percent(scope.natural_sparsity),
                percent(scope.carry_80),
                number(scope.gini),
                percent(scope.never_active),
                "" if scope.cett_threshold is None else f"{scope.cett_threshold:.3g}",
                percent(scope.overlap_previous),
                percent(scope.always_active),
                count(scope.nonfinite),
            ]
        )
    lines = [
        f"profile {found.profile}: {count(found.tokens)} tokens, {count(found.sampled_tokens)} of "
        f"them looked at one by one; {found.bytes / 1e6:,.2f} MB",
        "",
        _table(rows),
        "",
        "inactive: share of (token, neuron) pairs; carry 80 %: fewest neurons that carry 80 % of",
        "all activations; as before: active sets of neighbouring tokens, intersection over union;",
        f"always active: at each of a sequence's first {found.always_active_length or 0} tokens",
    ]
    if found.prompt_overlap is not None:
        lines.append(
            "active sets of two sequences from the first token on that differs, intersection over "
            f"union: {percent(found.prompt_overlap)}, mean over positions "
            f"({percent(found.prompt_overlap_by_chance)} by chance)"
        )
    lines += ["", *_of_inputs(found.inputs)]
    return "\n".join(lines) + "\n"


def _of_inputs(inputs: Sequence[InputScope]) -> list[str]:
    """A table of what linear layers read, with what its columns mean below it."""
    rows = [["layer", "channels", "mean |x|", "root mean square", "largest |x|", "top 1 % carry",
             "input x of"]]  # fmt: skip
    for one in inputs:
        sizes = (one.mean, one.root_mean_square, one.largest)
        rows.append(
            [
                str(one.layer),
                count(one.channels),
                *("" if size is None else f"{size:.3g}" for size in sizes),
                percent(one.top_carries),
                one.linears.replace(",", ", "),
            ]
        )
    return [
        _table(rows),
        "",
        "top 1 % carry: share of the sum of x^2 in the largest hundredth of the channels; a few",
        "outlying channels make it large",
    ]


def of_unused(items: Sequence[Unused], removed: bool) -> str:
    """One line an item, and the sum."""
    lines = [f"{item.bytes / 1e6:12,.2f} MB  {item.path}" for item in items]
    total = sum(item.bytes for item in items)
    what = "removed" if removed else "unused"
    lines.append(f"{what}: {len(items)} folders and files, {total / 1e6:,.2f} MB")
    if items and not removed:
        lines.append("--remove removes them")
    return "\n".join(lines) + "\n"


def _table(rows: list[list[str]]) -> str:
    """Left-aligned first and last column, right-aligned between."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    last = len(widths) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(widths[column]) if column in (0, last) and len(row) > 6 or not column
            else cell.rjust(widths[column])
            for column, cell in enumerate(row)
        ).rstrip()
        for row in rows
    )  # fmt: skip


def _gigabytes(megabytes: float) -> str:
    return f"{megabytes / 1000:,.1f} GB"


def _hours(hours: float) -> str:
    return _duration(hours * 3600) if hours else ""


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
