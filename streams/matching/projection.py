"""The members of a document that a part of an expression reads.

celpy wants documents in its own types, and converting an event of 512 KiB takes 0.2 s: so only the
members that are read are converted.
"""

from collections.abc import Iterator
from typing import TypeAlias

from streams.matching.nodes import Has, Node, Reference
from topology.keys import Path
from topology.records import Json

# The members to keep, by name; None keeps a value whole.
Projection: TypeAlias = "dict[str, Projection] | None"


def projection_of(node: Node, variable: str) -> Projection:
    """Collect the members that a part reads of a variable."""
    kept: Projection = {}
    for path in _paths(node, variable):
        kept = _with_path(kept, path)
    return kept


def project(value: Json, kept: Projection) -> Json:
    """Give a value with only the members to keep, as far as it has them."""
    if kept is None or type(value) is not dict:
        return value
    return {name: project(value[name], inner) for name, inner in kept.items() if name in value}


def _paths(node: Node, variable: str) -> Iterator[Path]:
    if isinstance(node, Has) and isinstance(node.operand, Reference):
        if node.operand.variable == variable:
            yield (*node.operand.path, node.name)
        return
    if isinstance(node, Reference) and node.variable == variable:
        yield node.path
    for child in node.children():
        yield from _paths(child, variable)


def _with_path(kept: Projection, path: Path) -> Projection:
    if kept is None or not path or isinstance(path[0], int):
        return None
    return {**kept, path[0]: _with_path(kept.get(path[0], {}), path[1:])}
