"""The equality conjuncts between `event` and `async`: what an expression can be indexed by.

An index by them may return runs that the rest of the expression refuses, but it never omits one: a
branch is true only where all its conjuncts are, and an expression only where one branch is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from streams.matching.nodes import And, Binary, Node, Or, Reference, Span
from topology.keys import Path

Pair = tuple[Path, Path]


@dataclass(frozen=True, slots=True)
class Branch:
    """One `||` branch: values that must be equal in the trigger event and the cancel event.

    `pairs` holds (path in `event`, path in `async`), sorted by the latter, so that rules that read
    the same members of a cancel event share its key. In an `exact` branch nothing else is asked, so
    equal keys need no evaluation.
    """

    pairs: tuple[Pair, ...]
    exact: bool

    @property
    def event_paths(self) -> tuple[Path, ...]:
        """The side of the trigger event, in the order of the key."""
        return tuple(event for event, _ in self.pairs)

    @property
    def async_paths(self) -> tuple[Path, ...]:
        """The side of the cancel event, in the order of the key."""
        return tuple(cancel for _, cancel in self.pairs)


def branches_of(node: Node) -> tuple[Branch, ...]:
    """Give one branch per top-level `||` operand, or none where one of them has no equality."""
    found = [_branch(operand) for operand in alternatives(node)]
    return tuple(found) if all(branch.pairs for branch in found) else ()


def conjunct_spans(node: Node) -> frozenset[Span]:
    """Give the places of the equality conjuncts of which a missing or null side is false (S14)."""
    return frozenset(
        conjunct.span
        for operand in alternatives(node)
        for conjunct in conjuncts(operand)
        if pair_of(conjunct) is not None
    )


def alternatives(node: Node) -> tuple[Node, ...]:
    """Give the operands of a top-level `||`, or the node itself."""
    return node.operands if isinstance(node, Or) else (node,)


def conjuncts(node: Node) -> tuple[Node, ...]:
    """Give the operands of an `&&`, or the node itself."""
    return node.operands if isinstance(node, And) else (node,)


def pair_of(node: Node) -> Pair | None:
    """Give the two paths of `event.a == async.b`, whichever side each stands on."""
    if not isinstance(node, Binary) or node.operator != "==":
        return None
    left, right = node.left, node.right
    if not isinstance(left, Reference) or not isinstance(right, Reference):
        return None
    if not left.path or not right.path:
        return None
    if (left.variable, right.variable) == ("event", "async"):
        return left.path, right.path
    if (left.variable, right.variable) == ("async", "event"):
        return right.path, left.path
    return None


def _branch(node: Node) -> Branch:
    operands = conjuncts(node)
    pairs = [pair for pair in map(pair_of, operands) if pair is not None]
    ordered = sorted(set(pairs), key=lambda pair: (*_order(pair[1]), (-1, ""), *_order(pair[0])))
    return Branch(tuple(ordered), exact=len(pairs) == len(operands))


def _order(path: Path) -> Iterator[tuple[int, str]]:
    """Order indexes before members, numerically, as str and int don't compare."""
    for segment in path:
        yield (segment, "") if isinstance(segment, int) else (2**63, segment)
