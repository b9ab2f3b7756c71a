"""Digests of files, values and source closures: what decides whether a stage must run again."""

import ast
import hashlib
import importlib.util
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = "pipeline"
SOURCE_ROOT = Path(__file__).resolve().parent.parent
_CHUNK = 1 << 20
#: Above this size a file counts by name, size, time and first bytes while a study is planned.
LARGE_FILE = 64 << 20


def of_bytes(data: bytes) -> str:
    """32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def of_value(value: Any) -> str:
    """Digest of a JSON-like value; equal values with keys in another order agree."""
    return of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def of_file(path: Path) -> str:
    """Digest of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def of_files(root: Path, paths: Iterable[Path]) -> str:
    """Digest of the contents and of the names relative to `root`."""
    return of_value({str(p.relative_to(root)): of_file(p) for p in sorted(paths)})


def identity_of_files(root: Path, paths: Iterable[Path]) -> str:
    """A digest that changes whenever the files do, cheap enough for planning.

    `of_files` gives the exact digest.
    """
    return of_value({str(p.relative_to(root)): identity_of_file(p) for p in sorted(paths)})


def identity_of_file(path: Path) -> str:
    """A small file's digest; for one above LARGE_FILE its size, modification time and first
    mebibyte, so that touching it makes it another file, which is safe."""
    stat = path.stat()
    if stat.st_size <= LARGE_FILE:
        return of_file(path)
    with open(path, "rb") as stream:
        head = of_bytes(stream.read(_CHUNK))
    return f"{head}/{stat.st_size}/{stat.st_mtime_ns}"


def source_closure(*roots: str, source_root: Path = SOURCE_ROOT) -> str:
    """Digest of modules (dotted names or script paths) and all they import from this package.

    Comments, docstrings, layout, descriptions of configuration keys and registry tables do not
    count. Imports inside functions do. Raises ValueError for a relative import, which is not
    followed.
    """
    named = closure_modules(*roots, source_root=source_root)
    return of_value({Path(n).name if n.endswith(".py") else n: c for n, c in named.items()})


def closure_modules(*roots: str, source_root: Path = SOURCE_ROOT) -> dict[str, str]:
    """The modules behind `source_closure` with what counts of their code."""
    seen: dict[str, str] = {}
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        path = Path(name) if name.endswith(".py") else _module_path(name, source_root)
        if path is None:
            continue
        seen[name], imports = _stripped(path, path.stat().st_mtime_ns, source_root)
        pending.extend(imports)
    return seen


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
    found = metadata.version(distribution)
    if distribution == "torch" and (built := _torch_build()):
        return built
    return found


def _torch_build() -> str | None:
    """What torch calls itself, read without importing it: the public index leaves the build out of
    the distribution's version, and builds for GPUs and CPUs are then one by name."""
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
def _stripped(path: Path, _mtime_ns: int, source_root: Path) -> tuple[str, tuple[str, ...]]:
    """The syntax tree without docstrings and registry tables, and the own modules imported."""
    tree = ast.parse(path.read_text())
    imports: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or not node.module:
                raise ValueError(f"{path.name}, line {node.lineno}: write the import in full")
            imports.append(node.module)
            imports.extend(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Registry":
            node.args, node.keywords = node.args[:1], []
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Field":
            node.keywords = [k for k in node.keywords if k.arg != "description"]
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[:] = body[1:] or [ast.Pass()]
    own = [name for name in imports if name.split(".")[0] == PACKAGE]
    parents = {".".join(n.split(".")[:i]) for n in own for i in range(1, n.count(".") + 1)}
    return ast.dump(tree), tuple(sorted({*own, *parents}))


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
