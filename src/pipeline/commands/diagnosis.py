"""A diagnosis as a person reads it, on one screen."""

import textwrap
from collections.abc import Iterator

from pipeline.commands.doctor import Diagnosis
from pipeline.commands.machine import Gpus, Kernel, Library, Place
from pipeline.running.memory import Memory

#: Libraries that are named even where they fit; the others only where they do not.
_NAMED = (
    "torch", "transformers", "tokenizers", "datasets", "lm-eval", "snakemake", "pyarrow", "polars",
    "safetensors", "gguf",
)  # fmt: skip
_WIDTH, _LABEL = 100, 12


def of_diagnosis(found: Diagnosis) -> str:
    """One paragraph for each fact, then notes and problems, and whether a study can run."""
    lines = [line for label, text in _facts(found) for line in _paragraph(label, text)]
    told = [("note", text) for text in found.notes] + [("problem", t) for t in found.problems]
    if told:
        lines.append("")
    lines += [line for label, text in told for line in _paragraph(label, text)]
    count = len(found.problems)
    end = "a study can run on this machine"
    if count:
        end = f"no study can run on this machine: {count} problem{'s' * (count > 1)}"
    return "\n".join([*lines, "", end]) + "\n"


def _facts(found: Diagnosis) -> Iterator[tuple[str, str]]:
    """Labels and texts, in order; a label is empty where the one before goes on."""
    yield "Python", _library(found.python, "")
    named = [one for one in found.libraries if one.name in _NAMED or not one.fits]
    yield "libraries", ", ".join(_library(one, f"{one.name} ") for one in named)
    processor = found.processor
    sets = ", ".join(processor.instruction_sets)
    cores = f"{processor.cores} core{'s' * (processor.cores != 1)}"
    yield "processor", f"{processor.model}, {cores}" + (f"; kernels for {sets}" if sets else "")
    yield "GPU", _gpus(found.gpus)
    for index, kernel in enumerate(found.kernels):
        yield ("" if index else "kernels"), _kernel(kernel, found.kernels[:index])
    yield "memory", _memory(found.memory)
    yield "results", _place(found.results)
    yield "Hub's cache", _place(found.cache)
    hub = found.hub
    reached = "reached" if hub.answer.there else f"not reached: {hub.answer.says}"
    yield "Hub", f"{hub.address}, {'a token' if hub.token else 'no token'}; {reached}"
    seen = found.packages
    yield "packages", "pip sees an index" if seen.there else f"pip sees no index: {seen.says}"
    yield "Slurm", found.slurm.says if found.slurm.there else f"no client: {found.slurm.says}"


def _library(one: Library, name: str) -> str:
    if one.fits:
        return f"{name}{one.version}"
    return f"{name}{one.version or 'missing'} (needed: {one.takes})"


def _gpus(gpus: Gpus) -> str:
    driver = f"driver {gpus.driver.version}, for CUDA up to {gpus.driver.cuda or 'an unknown one'}"
    if not gpus.found:
        has = f"; {driver}" if gpus.driver.version else ""
        return f"none: {gpus.reason or 'torch does not say'}{has}"
    each = ", ".join(f"{name} with {_gigabytes(size)}" for name, size in gpus.found)
    return f"{each}; torch for CUDA {gpus.cuda}" + (f", {driver}" if gpus.driver.version else "")


def _kernel(one: Kernel, before: tuple[Kernel, ...]) -> str:
    if not one.available:
        return f"{one.name}: not here, {one.details}"
    if one.used:
        return f"{one.name}: used for weights on {' and '.join(one.used)} ({one.details})"
    first = " and ".join(other.name for other in before if other.used)
    return f"{one.name}: here and not used, since {first} comes first ({one.details})"


def _memory(memory: Memory | None) -> str:
    if memory is None:
        return "not known"
    free = f"{_gigabytes(memory.total)}, {_gigabytes(memory.available)} of it available"
    limit = "" if memory.limit is None else f"; its control group allows {_gigabytes(memory.limit)}"
    return free + limit


def _place(place: Place) -> str:
    free = "" if place.free is None else f", {_gigabytes(place.free)} free"
    return f"{place.path}{free}, {'not writable' if place.unwritable else 'writable'}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"


def _paragraph(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=label.ljust(_LABEL), subsequent_indent=" " * _LABEL,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
