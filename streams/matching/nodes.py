"""The syntax tree of an expression: what the equality extraction and the compiler read."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TypeAlias

from topology.keys import Path

# Where a part begins and ends in the text of its expression.
Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression; `span` is its place in the text, without brackets around it."""

    span: Span

    def children(self) -> Iterator["Node"]:
        """Give the nodes directly below this one."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Node):
                yield value
            elif isinstance(value, tuple):
                yield from (item for item in value if isinstance(item, Node))

    @property
    def weight(self) -> int:
        """What this node counts against the limit of nodes, without its children."""
        return 1


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A string, number, boolean or null of the text."""

    value: object


@dataclass(frozen=True, slots=True)
class Reference(Node):
    """A variable and the literal members and indexes after it: `event.data["a"][0]`."""

    variable: str
    path: Path

    @property
    def weight(self) -> int:
        """Count the variable and every segment."""
        return 1 + len(self.path)


@dataclass(frozen=True, slots=True)
class Member(Node):
    """A member of a value that is no variable's path: `[{"a": 1}][0].a`."""

    operand: Node
    name: str


@dataclass(frozen=True, slots=True)
class Index(Node):
    """An index that is no literal, or of a value that is no variable's path."""

    operand: Node
    index: Node


@dataclass(frozen=True, slots=True)
class ListNode(Node):
    """`[a, b]`."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapNode(Node):
    """`{"a": b, event.c: d}`; a key that is no literal is a node, whose value must be a string."""

    keys: tuple[str | Node, ...]
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class And(Node):
    """`a && b && c`, with nested chains flattened."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or(Node):
    """`a || b || c`, with nested chains flattened."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`!a` or `-a`."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """A comparison, `in`, or arithmetic."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Ternary(Node):
    """`condition ? then : otherwise`."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Has(Node):
    """`has(operand.name)`."""

    operand: Node
    name: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`name(arguments)`; the receiver of a method is its first argument."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Macro(Node):
    """`receiver.name(variable, body)`."""

    name: str
    receiver: Node
    variable: str
    body: Node
