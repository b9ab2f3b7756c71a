"""Which parts of the package's code count in the digests of jobs, and which are cut, with the
reasons.

Nothing that can change a result may be cut, and everything that cannot should be: after an edit of
code that counts, every job whose script imports it runs again, which may be a study of days.
"""

import ast
from dataclasses import dataclass
from typing import Any

PACKAGE = "pipeline"


@dataclass(frozen=True)
class Cut:
    """A module, or a package with all below it, on which no result rests. Where it is imported, the
    modules `instead` count in its place: they decide results, and only the cut module imports
    them."""

    reason: str
    instead: tuple[str, ...] = ()


@dataclass(frozen=True)
class Words:
    """Arguments of a call that people read and on which no result rests: the position and the name
    of one, the names of others that are always given by name, and a mapping whose values are such
    words while its keys count."""

    reason: str
    position: int | None = None
    keywords: tuple[str, ...] = ()
    values_of: tuple[int, str] | None = None


_FORMATS = "It documents a format; names, types and versions count."

#: Modules that are left out of every closure.
MODULES = {
    "pipeline.running": Cut(
        "It starts, locks, forks, logs and times jobs. What a script is given, what its manifest "
        "says and on how many threads it computes is decided by the modules named instead.",
        ("pipeline.store.arguments", "pipeline.store.threads"),
    ),
    "pipeline.errors": Cut("It words errors, and a job that ends with one has no result."),
}

#: Packages whose own file is left out of every closure, while the modules below them count.
FACES = {
    "pipeline": Cut(
        "It names the release, and hands on names of the library, for use outside of studies; "
        "modules of stages import theirs in full."
    ),
}

#: Arguments that are left out, by the full name of what is called.
CALLS = {
    "pipeline.errors.UserError": Words("A job that ends with it has no result.", 0),
    "pipeline.registry.Registry": Words(
        "A job's digest holds the lines that the job names; the others do not concern it.",
        1,
        ("table",),
    ),
    "pipeline.tables.base.Column": Words(_FORMATS, 1, ("text",)),
    "pipeline.tables.base.Table": Words(_FORMATS, 2, ("text",)),
    "pipeline.tables.base.Document": Words(_FORMATS, 2, ("text",), (3, "keys")),
    "pipeline.tables.base.Arrays": Words(_FORMATS, 2, ("text",), (3, "arrays")),
    "pydantic.Field": Words(
        "It documents a configuration key; defaults and bounds count.",
        keywords=("title", "description", "examples"),
    ),
}

#: Syntax that is left out wherever it stands.
SYNTAX = {
    "comments and layout": "They are no code.",
    "docstrings": "No module of a closure reads them.",
    "arguments of raised errors": (
        "Where a job ends with the error it has no result, and who catches one goes by its class. "
        "Of classes called Error; the reason of a `Refused` stands in plans and tables."
    ),
    "functions annotated to return an error": "They word it; whoever raises it decides.",
    "annotations of arguments, returned values and local variables": (
        "Nothing reads them, but for those of a script's `main`, which decide what it is given."
    ),
    "blocks under TYPE_CHECKING": "They never run.",
    "`label` and `cost` of classes in pipeline.methods": (
        "Planning reads them: the one reaches the report as a param, the other decides no result."
    ),
}
_PARTS, _OF_PLANNING = "pipeline.methods.", ("label", "cost")

#: Modules where the arguments of raised errors count nevertheless.
TEXTS_THAT_COUNT = {
    "pipeline.methods.quantizers.rounding": (
        "`quantizers.floats` takes them as the reason of a refused condition."
    ),
}


def cut_of(module: str) -> Cut | None:
    """The cut that leaves a module out of closures; None for one that counts."""
    cuts = (cut for name, cut in MODULES.items() if f"{module}.".startswith(f"{name}."))
    return FACES.get(module) or next(cuts, None)


def counted(source: str, name: str) -> tuple[str, tuple[str, ...]]:
    """(what counts of a module's source, as one text; modules of the package that it imports).

    `name` is the module's dotted name, or a script's path, which ends with `.py`. The imported
    modules are sorted, and include the packages above them and names that may turn out to be
    objects of a module. Raises ValueError for a relative import.
    """
    code = _Counted(ast.parse(source), name)
    own = {module for module in code.imported if module.split(".")[0] == PACKAGE}
    parents = {".".join(n.split(".")[:i]) for n in own for i in range(1, n.count(".") + 1)}
    return ast.dump(code.tree), tuple(sorted(own | parents))


class _Counted(ast.NodeTransformer):
    """A module's syntax tree without what is cut, in `tree`, and what it imports, in `imported`."""

    def __init__(self, tree: ast.Module, name: str) -> None:
        self._name = name
        self._is_script = name.endswith(".py")
        self._in_function = False
        self._meanings = _meanings(tree)
        functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
        self._wording = {node.name for node in functions if _names_an_error(node.returns)}
        self.imported: set[str] = set()
        self.tree = self.visit(tree)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if self._name.startswith(_PARTS):
            node.body = [inner for inner in node.body if not _is_of_planning(inner)]
        return self._scope(node, function=False)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if _names_an_error(node.returns):
            node.body = []
        if not self._is_script:
            node.returns = None
        return self._scope(node, function=True)

    def _scope(self, node: ast.AST, function: bool) -> ast.AST:
        outer, self._in_function = self._in_function, function
        visited = self.generic_visit(node)
        self._in_function = outer
        return visited

    def visit_arg(self, node: ast.arg) -> ast.AST:
        if not self._is_script:
            node.annotation = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if not self._in_function:
            return self.generic_visit(node)
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.AST]:
        if _last_name(node.test) == "TYPE_CHECKING":
            return [self.visit(statement) for statement in node.orelse]
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        error = node.exc
        if isinstance(error, ast.Call) and self._is_told(error.func):
            error.args, error.keywords = [], []
        return self.generic_visit(node)

    def _is_told(self, error: ast.AST) -> bool:
        """True for an error, or a function that words one, whose arguments are left out."""
        worded = _names_an_error(error) or _last_name(error) in self._wording
        return worded and self._name not in TEXTS_THAT_COUNT

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if words := CALLS.get(self._full_name(node.func)):
            _without_values(node, words)
            node.args = [a for at, a in enumerate(node.args) if at != words.position]
            node.keywords = [k for k in node.keywords if k.arg not in words.keywords]
        return self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> ast.AST:
        self.imported.update(alias.name for alias in node.names)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.level or not node.module:
            raise ValueError(f"{self._name}, line {node.lineno}: write the import in full")
        self.imported.add(node.module)
        self.imported.update(f"{node.module}.{alias.name}" for alias in node.names)
        return node

    def _full_name(self, node: ast.AST) -> str:
        """The dotted name of what is called, with the module that it is imported from."""
        if isinstance(node, ast.Attribute):
            return f"{self._full_name(node.value)}.{node.attr}"
        name = _last_name(node)
        return self._meanings.get(name, f"{self._name}.{name}")


def _meanings(tree: ast.Module) -> dict[str, str]:
    """Names that a module imports -> what they stand for, in full."""
    meanings: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            meanings |= {a.asname: a.name for a in node.names if a.asname}
            meanings |= {n: n for a in node.names if (n := a.name.split(".")[0]) and not a.asname}
        elif isinstance(node, ast.ImportFrom):
            meanings |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return meanings


def _is_of_planning(statement: ast.stmt) -> bool:
    """True for a statement in a class that only planning reads."""
    if isinstance(statement, ast.Assign):
        return [_last_name(target) for target in statement.targets] in [[n] for n in _OF_PLANNING]
    return isinstance(statement, ast.FunctionDef) and statement.name in _OF_PLANNING


def _without_values(call: ast.Call, words: Words) -> None:
    """Empty the values of the mapping that holds words, where it is written out in the call."""
    if words.values_of is None:
        return
    position, name = words.values_of
    given: list[Any] = call.args[position : position + 1]
    given += [keyword.value for keyword in call.keywords if keyword.arg == name]
    for mapping in given:
        if isinstance(mapping, ast.Dict):
            mapping.values = [
                value if key is None else ast.Constant(None)
                for key, value in zip(mapping.keys, mapping.values, strict=True)
            ]


def _names_an_error(node: ast.AST | None) -> bool:
    """True for the name of a class of errors: `Exception`, or one that ends with Error."""
    name = _last_name(node)
    return name == "Exception" or name.endswith("Error")


def _last_name(node: ast.AST | None) -> str:
    """What follows the last dot of a name, which may be written as a text; empty for anything
    else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        parts = node.value.split(".")
        return parts[-1] if all(part.isidentifier() for part in parts) else ""
    return str(getattr(node, "attr", None) or getattr(node, "id", ""))
