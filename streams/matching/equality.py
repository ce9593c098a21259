"""The equality conjuncts between `event` and `async`: what an expression can be indexed by.

A look-up by them may give runs for which the rest of the expression is false, but it never leaves
out a match: a branch is true only if all its conjuncts are, and an expression only if a branch is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from streams.matching.nodes import And, Binary, Node, Or, Reference, Span
from topology.keys import Path

# A path in `event` and a path in `async`.
Pair: TypeAlias = tuple[Path, Path]


@dataclass(frozen=True, slots=True)
class Branch:
    """One `||` branch: values that must be equal in the trigger event and the cancel event.

    Attributes:
        pairs: Sorted by the paths in `async`, so that rules that read the same members of a cancel
            event share its key.
        exact: Whether the branch is these equalities alone: then equal keys need no evaluation.
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
    """Give a branch per operand of a top-level `||`, or none if an operand has no equality."""
    branches = tuple(_branch(operand) for operand in alternatives(node))
    return branches if all(branch.pairs for branch in branches) else ()


def conjunct_spans(node: Node) -> frozenset[Span]:
    """Give the spans of the equality conjuncts: false if a side is missing or null (S14)."""
    return frozenset(
        conjunct.span
        for operand in alternatives(node)
        for conjunct in conjuncts(operand)
        if pair_of(conjunct) is not None
    )


def residual_of(node: Node) -> Node | None:
    """Give what is left to evaluate where the keys of the only branch are equal.

    None: nothing is left, or there are several branches, of which any may have equal keys.
    """
    rest = tuple(operand for operand in conjuncts(node) if pair_of(operand) is None)
    if isinstance(node, Or) or not rest or len(rest) == len(conjuncts(node)):
        return None
    return And(node.span, rest) if len(rest) > 1 else rest[0]


def alternatives(node: Node) -> tuple[Node, ...]:
    """Give the operands of a top-level `||`, or the node itself."""
    return node.operands if isinstance(node, Or) else (node,)


def conjuncts(node: Node) -> tuple[Node, ...]:
    """Give the operands of an `&&`, or the node itself."""
    return node.operands if isinstance(node, And) else (node,)


def pair_of(node: Node) -> Pair | None:
    """Give the two paths of `event.a == async.b`, in either order; None for another node."""
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
    """Order indexes numerically and before members, since str and int can't be compared."""
    for segment in path:
        yield (segment, "") if isinstance(segment, int) else (2**63, segment)
