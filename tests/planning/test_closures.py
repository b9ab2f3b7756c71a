"""What the jobs of every stage rest on: no less than what can change a result, and no more."""

import ast
import itertools
import os
import re
import shutil
from pathlib import Path

import pytest

from pipeline.planning.sources import PROJECT, RULES
from pipeline.planning.stages import STAGES
from pipeline.registry import ARCHITECTURES, CORPORA, FAMILIES, PARTS, POLICIES, SPARSIFIERS
from pipeline.store.closures import closure_modules, source_closure
from pipeline.store.cuts import counted
from pipeline.store.digest import SOURCE_ROOT

SCRIPTS = PROJECT / "workflow" / "scripts"
PACKAGE = SOURCE_ROOT / "pipeline"
_VIEWS = set(ARCHITECTURES.values())
_OF_PARTS = {entry for registry in PARTS.values() for entry in registry.values()}
_STATIC = {entry for name, entry in SPARSIFIERS.items() if SPARSIFIERS.load(name).static}
_MODEL = _VIEWS | _OF_PARTS
#: What the jobs of a stage may load by the names in their params.
ENTRIES = {
    "resolve_model": _VIEWS,
    "extract_shard": set(CORPORA.values()),
    "extract_calibration": set(CORPORA.values()),
    "profile_sample": _VIEWS,
    "profile_shard": _VIEWS,
    "classify": _VIEWS | set(POLICIES.values()),
    "fit": _STATIC,
    "prepare": _MODEL,
    "fit_with_model": _MODEL,
    "evaluate": _MODEL,
    "evaluate_shard": _MODEL,
    "evaluate_dense": _VIEWS,
    "evaluate_dense_shard": _VIEWS,
    "generate_tasks": set(FAMILIES.values()),
    "train_reference": set(FAMILIES.values()),
    "ship_reference": set(FAMILIES.values()) | _VIEWS | {CORPORA["builtin"], POLICIES["coverage"]},
}


def roots(stage, scripts=SCRIPTS):
    """What the closure of a stage with all its entries starts from."""
    entries = {entry.partition(":")[0] for entry in ENTRIES.get(stage, ())}
    return [str(scripts / f"{stage}.py"), *sorted(entries)]


CLOSURES = {stage: closure_modules(*roots(stage)) for stage in RULES}


def file_of(module):
    """The file of a module, from the source's root."""
    base = Path(*module.split("."))
    return base / "__init__.py" if (SOURCE_ROOT / base).is_dir() else base.with_suffix(".py")


def module_of(path):
    """The dotted name of a file below the source."""
    parts = path.relative_to(SOURCE_ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_package(module):
    """True for a package itself."""
    return (SOURCE_ROOT / file_of(module)).name == "__init__.py"


#: All modules, and those that some stage rests on.
MODULES = {module_of(path) for path in PACKAGE.rglob("*.py")}
COUNTING = MODULES & {name for modules in CLOSURES.values() for name in modules}

_COMPUTE = {"models", "numerics", "registry", "store", "tables"}
#: Rule that belongs to no study -> the packages that its closure may hold.
APART = {
    "generate_tasks": {"reference", "registry", "store"},
    "train_reference": _COMPUTE | {"reference"},
    "ship_reference": _COMPUTE
    | {"analysis", "calibration", "classification", "config", "evaluation", "profiling"}
    | {"reference", "report", "tasks"},
}


@pytest.mark.parametrize("stage", sorted(RULES))
def test_a_stage_rests_on_these_packages_alone(stage):
    packages = {name.split(".")[1] for name in CLOSURES[stage] if name.startswith("pipeline.")}
    allowed = STAGES[stage].packages if stage in STAGES else APART[stage]
    assert packages <= allowed


#: Libraries that compute, by the names under which they are imported and installed.
COMPUTING = {
    name: name.replace("vl_convert", "vl-convert-python")
    for name in (
        "altair", "datasets", "jinja2", "lm_eval", "numpy", "polars", "scipy", "tokenizers",
        "torch", "transformers", "vl_convert",
    )
}  # fmt: skip
#: Stage -> what its modules import and its results do not rest on, since no job of it goes there.
NOT_USED = {
    # It writes what transformers and torch unpack.
    "convert_model": {"numpy", "polars"},
    # It reads headers and checks what others compute with.
    "resolve_model": {"numpy", "polars", "tokenizers"},
    # The tables that it writes are of texts and whole numbers.
    "extract_shard": {"numpy", "polars", "torch"},
    "extract_calibration": {"numpy", "polars", "torch"},
    "check_overlap": {"numpy"},
    # It says that others have passed.
    "clear_tasks": {"jinja2", "numpy", "polars"},
    # Of the tokens, the numbers of the special ones alone.
    "profile_sample": {"tokenizers"},
    "profile_shard": {"tokenizers"},
    "classify": {"tokenizers"},
    "prepare": {"tokenizers"},
    "fit_with_model": {"tokenizers"},
    # It goes by tables and runs no model.
    "fit": {"torch", "transformers"},
    # Python's own random numbers make the items; others train.
    "generate_tasks": {"numpy", "tokenizers", "torch", "transformers"},
    "train_reference": {"polars", "tokenizers"},
    # What is shipped is measured once, and its card names the versions.
    "ship_reference": {"datasets", "jinja2", "numpy", "tokenizers"},
}


def imported(tree):
    """The libraries that a module imports anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("stage", sorted(RULES))
def test_a_new_version_of_what_a_stage_computes_with_runs_it_again(stage):
    files = (Path(n) if n.endswith(".py") else SOURCE_ROOT / file_of(n) for n in CLOSURES[stage])
    there = [ast.parse(file.read_text()) for file in files if file.is_file()]
    libraries = {name for tree in there for name in imported(tree)} & set(COMPUTING)
    listed = set(RULES[stage][1])
    missing = {name for name in libraries if COMPUTING[name] not in listed}
    assert missing == NOT_USED.get(stage, set())


#: Names of registry entries that scripts themselves choose: (script, key, name).
CHOSEN = re.compile(r"\b(policy|source)=\"([a-z_0-9]+)")


@pytest.mark.parametrize("stage", sorted(RULES))
def test_an_entry_that_a_script_names_itself_is_in_its_closure(stage):
    registries = {"policy": POLICIES, "source": CORPORA}
    for key, name in CHOSEN.findall((SCRIPTS / f"{stage}.py").read_text()):
        assert registries[key][name].partition(":")[0] in CLOSURES[stage], name


def test_packages_themselves_hold_no_code():
    """They count wherever anything below them does."""
    nothing = counted("", "nothing")[0]
    for module in filter(is_package, COUNTING):
        assert counted((SOURCE_ROOT / file_of(module)).read_text(), module)[0] == nothing, module


def trees():
    """(module or script, syntax tree) of all that some stage rests on."""
    for module in sorted(COUNTING):
        yield module, ast.parse((SOURCE_ROOT / file_of(module)).read_text())
    for stage in sorted(RULES):
        yield f"{stage}.py", ast.parse((SCRIPTS / f"{stage}.py").read_text())


# What the cuts of `store.cuts` rest on.


#: Modules that read the text of an error which they catch, and what becomes of it.
READING = {
    "pipeline.calibration.local": "a UserError",
    "pipeline.methods.quantizers.floats": "a reason, so the texts count in `quantizers.rounding`",
    "pipeline.models.memory": "a UserError, or a line of the log",
    "pipeline.models.source": "a UserError",
    "pipeline.store.plain_yaml": "a UserError",
}


def test_texts_of_errors_become_texts_of_errors():
    """But for those of `Refused`, which count."""
    reading = {module for module, tree in trees() for _ in filter(reads_text, ast.walk(tree))}
    assert reading == set(READING)


def reads_text(node):
    """True for a handler that does more with its error than word another one."""
    if not isinstance(node, ast.ExceptHandler) or getattr(node.type, "id", "") == "Refused":
        return False
    used = [inner for statement in node.body for inner in outside_errors(statement)]
    return any(isinstance(inner, ast.Name) and inner.id == node.name for inner in used)


def outside_errors(node):
    """The nodes of a statement without those of raised errors."""
    raised = node.exc if isinstance(node, ast.Raise) else None
    if raised is not None:
        name = getattr(getattr(raised, "func", raised), "id", "")
        return [] if name != "Refused" else list(ast.walk(raised))
    return [node, *(n for inner in ast.iter_child_nodes(node) for n in outside_errors(inner))]


#: Names by which docstrings and annotations are read, or modules loaded that are not named.
_READERS = {
    "__doc__", "getdoc", "__annotations__", "get_annotations", "get_type_hints", "signature",
    "singledispatch", "validate_call", "computed_field", "custom_op", "constexpr",
    "import_module", "__import__", "run_path", "run_module",
}  # fmt: skip
#: Attributes of methods' parts that are cut, and of the package.
_CUT_ATTRIBUTES = {"label", "cost"}
#: Who reads them all the same: annotations of a script's `main`, which count; modules of entries,
#: which a job's digest names; and docstrings of methods' parts for the documents, in no job.
READERS = {
    "typing.get_type_hints", "inspect.signature", "importlib.import_module", "cls.__doc__",
}  # fmt: skip


def test_nothing_reads_what_is_cut_or_loads_what_is_not_named():
    read = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            name = getattr(node, "attr", None) or getattr(node, "id", None)
            attribute = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
            if name in _READERS or (attribute and name in _CUT_ATTRIBUTES):
                read.add(ast.unparse(node))
    assert read <= READERS


def test_scripts_take_what_runs_them_and_the_package_and_no_file_beside_them():
    for stage in RULES:
        _, imported = counted((SCRIPTS / f"{stage}.py").read_text(), f"{stage}.py")
        running = {name for name in imported if name.startswith("pipeline.running.")}
        assert running == {"pipeline.running.entry", "pipeline.running.entry.job"}
    beside = {path.stem for path in SCRIPTS.glob("*.py")}
    assert beside == set(RULES)


def test_what_words_errors_imports_nothing_that_could_count():
    assert counted((PACKAGE / "errors.py").read_text(), "pipeline.errors")[1] == ()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the source and the scripts, (source root, folder of scripts)."""
    folder = tmp_path_factory.mktemp("tree")
    only = shutil.ignore_patterns("*.so", "*.j2", "*.cpp", "*.hpp", "*.inc", "__pycache__")
    shutil.copytree(PACKAGE, folder / "src" / "pipeline", ignore=only)
    shutil.copytree(SCRIPTS, folder / "scripts", ignore=only)
    return folder / "src", folder / "scripts"


@pytest.fixture(scope="module")
def before(tree):
    """Digests of the closures as they are."""
    return digests(tree)


def digests(tree):
    """The digest of every stage's closure."""
    source, scripts = tree
    return {stage: source_closure(*roots(stage, scripts), source_root=source) for stage in RULES}


_TICKS = itertools.count(2_000_000_000)


@pytest.mark.parametrize("module", sorted(COUNTING))
def test_an_edit_of_what_a_module_computes_changes_the_stages_that_rest_on_it_and_no_others(
    tree, before, module
):
    path = tree[0] / file_of(module)
    text = path.read_text()
    edited = otherwise(text)
    if is_package(module):
        assert edited is None
        return
    assert edited is not None, f"{module} computes nothing; say here what it is for"
    try:
        write(path, edited)
        after = digests(tree)
    finally:
        write(path, text)
    changed = {stage for stage in RULES if before[stage] != after[stage]}
    assert changed == {stage for stage, modules in CLOSURES.items() if module in modules}


def test_edits_of_modules_that_no_stage_rests_on_change_nothing(tree, before):
    edits = {}
    for module in MODULES - COUNTING:
        path = tree[0] / file_of(module)
        text = path.read_text()
        edits[path] = text, otherwise(text) or text
    try:
        for path, (_, edited) in edits.items():
            write(path, edited)
        after = digests(tree)
    finally:
        for path, (text, _) in edits.items():
            write(path, text)
    assert after == before
    assert {f"{name}.py" for name in ("patching", "cpu", "forkserver", "errors")} <= {
        path.name for path, (text, edited) in edits.items() if text != edited
    }


@pytest.mark.parametrize("stage", sorted(RULES))
def test_an_edit_of_a_script_changes_its_stage_alone(tree, before, stage):
    path = tree[1] / f"{stage}.py"
    text = path.read_text()
    try:
        write(path, text.replace("def main(", "_LIMIT = 1\n\n\ndef main("))
        after = digests(tree)
    finally:
        write(path, text)
    assert {name for name in RULES if before[name] != after[name]} == {stage}


def write(path, text):
    """Write a file with a time of its own, which tells its content from the last."""
    path.write_text(text)
    os.utime(path, ns=(tick := next(_TICKS), tick))


def otherwise(text):
    """The source with its first number or operator changed, or else its first text or name of an
    attribute, those in functions first; None where it has none of them."""
    tree = ast.parse(text)
    functions = [node for node in walked(tree) if isinstance(node, ast.FunctionDef)]
    within = [inner for function in functions for part in function.body for inner in walked(part)]
    for change in (compute, rename):
        if any(change(node) for node in (*within, *walked(tree))):
            return ast.unparse(tree)
    return None


def walked(node):
    """The nodes of a tree without those that word errors or document, and without annotations."""
    if isinstance(node, ast.Raise | ast.arg) or documents(node):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns"):
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, ast.AST):
                    yield from walked(inner)


def documents(node):
    """True for texts of their own, registries, errors, and what words them or is for planning."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.FunctionDef):
        words = isinstance(node.returns, ast.Name) and node.returns.id.endswith("Error")
        return words or node.name == "cost"
    if isinstance(node, ast.Assign):
        return getattr(node.targets[0], "id", "") in ("__version__", "label")
    called = node.func if isinstance(node, ast.Call) else None
    return getattr(called, "id", "") in ("UserError", "Registry")


_OTHER = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.Lt: ast.LtE,
    ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Not: ast.UAdd,
}  # fmt: skip


def compute(node):
    """Change a number, a truth or an operator; False for what is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif type(getattr(node, "op", None)) in _OTHER:
        node.op = _OTHER[type(node.op)]()
    elif isinstance(node, ast.Compare):
        node.ops[0] = _OTHER.get(type(node.ops[0]), ast.Eq)()
    else:
        return False
    return True


def rename(node):
    """Change a text or the name of an attribute; False for what is neither."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node.value += "_"
    elif isinstance(node, ast.Attribute):
        node.attr += "_"
    else:
        return False
    return True
