"""What a job's result rests on besides its inputs and configuration: the modules that its script
imports, its rule's text and the versions of libraries.

A job runs again when the digest of one of these changes; `cuts` says which parts of the code count.
"""

import importlib.util
import io
import re
import sys
import tokenize
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from pipeline.store.cuts import counted, cut_of
from pipeline.store.digest import SOURCE_ROOT, of_bytes, of_value


def source_closure(*roots: str, source_root: Path = SOURCE_ROOT) -> str:
    """Digest of modules (dotted names or script paths) and of all that they import from this
    package, also inside functions, without what `cuts` leaves out.

    Raises ValueError for a relative import, which is not followed.
    """
    named = closure_modules(*roots, source_root=source_root)
    return of_value({Path(n).name if n.endswith(".py") else n: c for n, c in named.items()})


def closure_modules(*roots: str, source_root: Path = SOURCE_ROOT) -> dict[str, str]:
    """The modules behind `source_closure`, each with the digest of what counts of its code."""
    counted_of: dict[str, str] = {}
    looked_at: set[str] = set()
    files: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        # A name inside a file is not a module; packages come before their modules.
        if name in looked_at or name.rpartition(".")[0] in files:
            continue
        looked_at.add(name)
        if cut := cut_of(name):
            pending.extend(cut.instead)
            continue
        path = Path(name) if name.endswith(".py") else _module_path(name, source_root)
        if path is None:
            continue
        if path.name != "__init__.py":
            files.add(name)
        counted_of[name], imports = _counted(path, path.stat().st_mtime_ns, name)
        pending.extend(reversed(imports))
    return counted_of


def rule_text(rules_file: Path, rule: str) -> str:
    """Digest of one rule's tokens in a rules file, comments and layout left out.

    Raises ValueError when the file has no such rule.
    """
    lines = rules_file.read_text().splitlines()
    starts = [i for i, line in enumerate(lines) if line.split("#")[0].strip() == f"rule {rule}:"]
    if not starts:
        raise ValueError(f"no rule {rule} in {rules_file.name}")
    block = [lines[starts[0]]]
    for line in lines[starts[0] + 1 :]:
        if line.strip() and not line[0].isspace() and not line.startswith("#"):
            break
        block.append(line)
    kinds = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    tokens = tokenize.generate_tokens(io.StringIO("\n".join(block) + "\n").readline)
    return of_value([t.string for t in tokens if t.type not in kinds])


@cache
def versions(*distributions: str) -> Mapping[str, str]:
    """Installed versions of the named distributions, torch's with its build (2.13.0+cpu); "python"
    is the language's own, 3.11."""
    return {name: _version(name) for name in distributions}


def _version(distribution: str) -> str:
    if distribution == "python":
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    installed = metadata.version(distribution)
    if distribution == "torch" and (built := _torch_build()):
        return built
    return installed


def _torch_build() -> str | None:
    """torch's own version, read without importing it: the public index leaves the build out of the
    distribution's version, so that builds for GPUs and CPUs have the same name."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        return None
    text = Path(spec.origin).with_name("version.py").read_text()
    named = re.search(r"^__version__ = '([^']+)'", text, re.M)
    return named[1] if named else None


def _module_path(name: str, source_root: Path) -> Path | None:
    base = source_root / Path(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _counted(path: Path, _mtime_ns: int, name: str) -> tuple[str, tuple[str, ...]]:
    """(digest of what counts of a module's code, what it imports of the package)."""
    code, imported = counted(path.read_text(), name)
    return of_bytes(code.encode()), imported
