"""Documents as trees of items that know their line: from YAML or JSON text, or from values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import yaml

from streams.errors import FieldPath, Problem
from topology.records import Json

_TAG: Final = "tag:yaml.org,2002:"
# YAML 1.1 reads instants and the keys `=` and `<<` as other types; here they are text.
_TEXT_TAGS: Final = frozenset({"str", "timestamp", "value", "merge"})
_TRUE: Final = frozenset({"true", "yes", "on"})


class Kind(Enum):
    """What an item is, in the words of error messages."""

    TEXT = "text"
    FLAG = "true or false"
    NUMBER = "a number"
    NOTHING = "nothing"
    LIST = "a list"
    MAPPING = "a mapping"


@dataclass(frozen=True, slots=True)
class Item:
    """A part of a document; `line` counts from 1, and is 0 in documents without text."""

    kind: Kind
    line: int = 0
    text: str = ""
    flag: bool = False
    items: tuple["Item", ...] = ()
    members: tuple[tuple[str, "Item"], ...] = ()


def parse_text(text: str, source: str) -> tuple[Item | None, list[Problem]]:
    """Read YAML or JSON: the tree, or None, and the problems of its syntax."""
    try:
        node = yaml.compose(_plain_json(text), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 0 if mark is None else mark.line + 1
        message = "not YAML: " + ", ".join(filter(None, (error.context, error.problem)))
        return None, [Problem((), message, "syntax", source, line)]
    except (yaml.YAMLError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        message = f"not YAML: {' '.join(reason.split())}"
        return None, [Problem((), message, "syntax", source)]
    if node is None:
        return None, [Problem((), "the file is empty", "syntax", source)]
    converter = _Converter(source)
    return converter.item(node, (), node.start_mark.line + 1), converter.problems


def from_value(value: Json) -> Item:
    """Give the tree of a value from a JSON decoder."""
    if isinstance(value, Mapping):
        members = tuple((_shown(name), from_value(member)) for name, member in value.items())
        return Item(Kind.MAPPING, members=members)
    if isinstance(value, list | tuple):
        return Item(Kind.LIST, items=tuple(from_value(item) for item in value))
    if isinstance(value, bool):
        return Item(Kind.FLAG, flag=value)
    if isinstance(value, int | float):
        return Item(Kind.NUMBER, text=str(value))
    return Item(Kind.NOTHING) if value is None else Item(Kind.TEXT, text=str(value))


def _plain_json(text: str) -> str:
    """Make JSON readable as YAML: tabs, which only indent in JSON, become spaces."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")


def _shown(name: object) -> str:
    """Give a key as text that can be printed in an error."""
    return str(name).encode("utf-8", "replace").decode()


class _Converter:
    """Turns YAML nodes into items; a node is converted once, however many aliases it has."""

    def __init__(self, source: str) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._done: dict[int, Item] = {}
        self._open: set[int] = set()

    def item(self, node: yaml.Node, path: FieldPath, line: int) -> Item:
        if id(node) in self._open:
            self._report(path, line, "an alias can't contain itself")
            return Item(Kind.NOTHING, line)
        if id(node) not in self._done:
            self._open.add(id(node))
            self._done[id(node)] = self._convert(node, path, line)
            self._open.remove(id(node))
        return self._done[id(node)]

    def _convert(self, node: yaml.Node, path: FieldPath, line: int) -> Item:
        if isinstance(node, yaml.MappingNode):
            return Item(Kind.MAPPING, line, members=tuple(self._members(node, path)))
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.item(child, (*path, index), child.start_mark.line + 1)
                for index, child in enumerate(node.value)
            ]
            return Item(Kind.LIST, line, items=tuple(items))
        return self._scalar(node, path, line)

    def _members(self, node: yaml.MappingNode, path: FieldPath) -> list[tuple[str, Item]]:
        members: dict[str, Item] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            scalar = isinstance(key, yaml.ScalarNode)
            name = _shown(self._scalar(key, path, line).text) if scalar else ""
            if not name:
                self._report(path, line, "a key must be a name")
            elif name in members:
                self._report((*path, name), line, "given twice: keep one of them")
            else:
                members[name] = self.item(value, (*path, name), line)
        return list(members.items())

    def _scalar(self, node: yaml.Node, path: FieldPath, line: int) -> Item:
        tag = node.tag.removeprefix(_TAG)
        if tag in _TEXT_TAGS:
            return Item(Kind.TEXT, line, self._whole(node.value))
        if tag == "bool":
            return Item(Kind.FLAG, line, node.value, flag=node.value.lower() in _TRUE)
        if tag == "null":
            return Item(Kind.NOTHING, line)
        if tag not in {"int", "float"}:
            self._report(path, line, f"the tag {node.tag} has no meaning here")
        return Item(Kind.NUMBER, line, node.value)

    @staticmethod
    def _whole(text: str) -> str:
        """Join the surrogate pairs of JSON's escapes, which YAML leaves apart."""
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")

    def _report(self, path: FieldPath, line: int, message: str) -> None:
        self.problems.append(Problem(path, message, "syntax", self._source, line))
