"""YAML files that are data: configurations and task files."""

from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.store import characters

#: Deepest nesting of mappings and lists. Python's own limit on recursion is reached at 300.
MOST_LEVELS = 64
#: Most values of a file, with every reference written out, so that references to references cannot
#: grow without end. A level is one value, and a study of 10,000 conditions plans in minutes.
MOST_VALUES = 100_000
#: Most characters of a whole number.
MOST_DIGITS = 100
_MERGE = "tag:yaml.org,2002:merge"


def read(path: Path) -> Any:
    """What a file of plain YAML holds: mappings, lists, texts, numbers, dates, booleans and null.

    UserError, with the line, for text that is not UTF-8 or not YAML, a tag that makes an object, a
    key that occurs twice in one mapping (of keys merged by `<<`, the mapping's own take
    precedence), a value that refers to itself, and what is above the limits of this module. OSError
    when the file cannot be read.
    """
    import yaml

    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
        return yaml.load(text, Loader=_loader())  # noqa: S506 - a safe loader
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line} is not YAML: the text is not UTF-8") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        told = f"the character {chr(error.character)!r} is not allowed"
        raise UserError(f"{path}, line {line} is not YAML: {told}") from error
    except yaml.constructor.ConstructorError as error:
        raise UserError(f"{path}{_line(error)}: {error.problem}") from error
    except yaml.MarkedYAMLError as error:
        told = ", ".join(part for part in (error.context, error.problem) if part)
        raise UserError(f"{path}{_line(error)} is not YAML: {told}") from error


def _line(error: Any) -> str:
    mark = error.problem_mark or error.context_mark
    return f", line {mark.line + 1}" if mark else ""


@cache
def _loader() -> Any:
    """The class of the loader, made on first use, since importing yaml takes a while."""
    import yaml

    def refused(node: Any, problem: str) -> Exception:
        return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def refuse_tag(_: Any, node: Any) -> Any:
        raise refused(
            node,
            f"the tag {node.tag!r} makes an object; this pipeline reads plain YAML, so "
            "write out what it stands for",
        )

    class Loader(yaml.SafeLoader):
        """PyYAML's safe loader with limits, for which every repeated key is an error."""

        def __init__(self, stream: Any) -> None:
            super().__init__(stream)
            self.levels = 0
            #: Number of values in each complete node, by the node's identity.
            self.values: dict[int, int] = {}
            self.flat: set[int] = set()

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            self.levels += 1
            if self.levels > MOST_LEVELS:
                raise refused(event, f"more than {MOST_LEVELS} mappings and lists in one another")
            node = super().compose_node(parent, index)
            self.levels -= 1
            if not isinstance(event, yaml.AliasEvent):
                self.values[id(node)] = self.count(node)
            elif id(node) not in self.values:
                raise refused(event, "a value that refers to itself; write out what is meant")
            return node

        def count(self, node: Any) -> int:
            """Number of values in a node with its references written out."""
            inner = node.value if isinstance(node, yaml.CollectionNode) else []
            if isinstance(node, yaml.MappingNode):
                inner = [part for pair in inner for part in pair]
            total = 1 + sum(self.values[id(part)] for part in inner)
            if total > MOST_VALUES:
                raise refused(node, f"more than {MOST_VALUES:,} values, references (*) written out")
            return total

        def flatten_mapping(self, node: Any) -> None:
            # Checked only once: flattening adds merged keys to the mapping's own, which may repeat
            # them.
            if id(node) not in self.flat:
                self.flat.add(id(node))
                self.check_keys(node)
                super().flatten_mapping(node)

        def check_keys(self, node: Any) -> None:
            lines: dict[Any, int] = {}
            for part, _ in node.value:
                key = None if part.tag == _MERGE else self.construct_object(part, deep=True)
                if part.tag == _MERGE or not isinstance(key, Hashable):
                    continue
                if key in lines:
                    raise refused(
                        part,
                        f"the key {part.value!r} stands in line {lines[key]} already, in the same "
                        "mapping; rename or remove one of them",
                    )
                lines[key] = part.start_mark.line + 1

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            if isinstance(node, yaml.ScalarNode):
                self.check_scalar(node)
            try:
                return super().construct_object(node, deep)
            except (ValueError, LookupError, AttributeError) as error:
                # A date that does not exist, or a tag whose value is of another form.
                raise yaml.composer.ComposerError(
                    None, None, str(error), node.start_mark
                ) from error

        def check_scalar(self, node: Any) -> None:
            if node.tag == "tag:yaml.org,2002:int" and len(node.value) > MOST_DIGITS:
                raise refused(
                    node, f"a number of {len(node.value):,} digits; give at most {MOST_DIGITS}"
                )
            try:
                # Escapes can write characters that no file name, token or result can hold.
                characters.check(node.value)
            except UserError as error:
                raise refused(node, str(error)) from error

    Loader.add_constructor(None, refuse_tag)
    return Loader
