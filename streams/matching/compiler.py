"""Compiles the syntax tree of an expression to one closure of (event, async, meter).

Timestamps and durations are not compiled. celpy evaluates the smallest operand of `&&` or `||` that
contains them, after the compiled operands: both operators absorb errors on both sides, so the order
of evaluation doesn't change the answer.
"""

from collections.abc import Callable
from typing import ClassVar, Final, TypeAlias

from streams.matching import closures, operators, texts
from streams.matching.budget import Meter, cost_of_item
from streams.matching.canonical import Document
from streams.matching.closures import Closure, Predicate
from streams.matching.conversions import CONVERSIONS
from streams.matching.equality import pair_of
from streams.matching.nodes import (
    And,
    Binary,
    Call,
    Has,
    Index,
    ListNode,
    Literal,
    Macro,
    MapNode,
    Member,
    Node,
    Or,
    Reference,
    Span,
    Ternary,
    Unary,
)

# From the trigger event and the cancel event, None for a trigger's condition, to the verdict.
Evaluate: TypeAlias = Callable[[Document, Document | None, Meter], bool]
# From a part that is not compiled to a closure that asks celpy.
Fallback: TypeAlias = Callable[[Node], Closure]

_COMPILED_CALLS: Final = frozenset({"size", *CONVERSIONS, *operators.TEXT, *texts.FUNCTIONS})
_PREDICATE_SYMBOLS: Final = frozenset({"!", "==", "!=", "in", *operators.ORDERINGS})
_PREDICATE_NAMES: Final = frozenset({"all", "exists", "exists_one", "bool", *operators.TEXT})


def compiles(node: Node) -> bool:
    """Say whether closures evaluate this node without celpy."""
    if isinstance(node, Call) and node.name not in _COMPILED_CALLS:
        return False
    return all(compiles(child) for child in node.children())


def closure_of(node: Node, conjuncts: frozenset[Span], fallback: Fallback) -> Evaluate:
    """Compile a whole expression; `conjuncts` are the spans of its equality conjuncts (S14)."""
    return _Compiler(conjuncts, fallback).predicate(node)


def closure_of_value(node: Node, fallback: Fallback) -> Closure:
    """Compile a part of an expression that reads no event."""
    return _Compiler(frozenset(), fallback).value(node) if compiles(node) else fallback(node)


class _Compiler:
    def __init__(self, conjuncts: frozenset[Span], fallback: Fallback) -> None:
        self._conjuncts = conjuncts
        self._fallback = fallback
        self._bound: tuple[str, ...] = ()  # inner ones first

    def predicate(self, node: Node) -> Predicate:
        """Compile a node whose result must be a boolean: any other is an error (S16)."""
        if isinstance(node, And | Or):
            ordered = sorted(node.operands, key=lambda operand: not compiles(operand))
            operands = tuple(self.predicate(operand) for operand in ordered)
            join = closures.conjunction if isinstance(node, And) else closures.disjunction
            return join(operands)
        if not compiles(node):
            return closures.boolean(self._fallback(node))
        if node.span in self._conjuncts:
            pair = pair_of(node)
            assert pair is not None
            return closures.conjunct(*pair)
        closure = self.value(node)
        return closure if _is_predicate(node) else closures.boolean(closure)

    def value(self, node: Node) -> Closure:
        """Compile a node of any result that contains nothing that needs celpy."""
        return self._builders[type(node)](self, node)

    def _literal(self, node: Literal) -> Closure:
        return closures.constant(node.value)

    def _reference(self, node: Reference) -> Closure:
        if node.variable in self._bound:
            return closures.item(node.path, self._bound.index(node.variable))
        return closures.reference(node.variable, node.path, len(self._bound))

    def _unary(self, node: Unary) -> Closure:
        if node.operator == "-":
            return closures.unary(operators.negate, self.value(node.operand))
        return closures.inverted(self.predicate(node.operand))

    def _binary(self, node: Binary) -> Closure:
        left, right = self.value(node.left), self.value(node.right)
        known = node.right.value if isinstance(node.right, Literal) else None
        match node.operator:
            case "==":
                return closures.equality(left, right, known)
            case "!=":
                return closures.inverted(closures.equality(left, right, known))
            case "in":
                return self._membership(left, node.right, right)
            case symbol if symbol in operators.ORDERINGS:
                return closures.ordering(symbol, left, right, known)
            case "+":
                return closures.metered(operators.add, left, right)
        return closures.binary(operators.ARITHMETIC[node.operator], left, right)

    def _membership(self, left: Closure, container: Node, right: Closure) -> Closure:
        items = container.items if isinstance(container, ListNode) else ()
        values = [item.value for item in items if isinstance(item, Literal)]
        texts = frozenset(value for value in values if type(value) is str)
        if not items or not len(items) == len(values) == len(texts):
            return closures.metered(operators.contains, left, right)
        return closures.among(left, texts)

    def _ternary(self, node: Ternary) -> Closure:
        condition = self.predicate(node.condition)
        return closures.ternary(condition, self.value(node.then), self.value(node.otherwise))

    def _member(self, node: Member) -> Closure:
        return closures.named(operators.member, self.value(node.operand), node.name)

    def _has(self, node: Has) -> Closure:
        return closures.named(operators.has, self.value(node.operand), node.name)

    def _index(self, node: Index) -> Closure:
        return closures.metered(operators.index, self.value(node.operand), self.value(node.index))

    def _call(self, node: Call) -> Closure:
        arguments = [self.value(argument) for argument in node.arguments]
        if node.name == "size":
            return closures.unary(operators.size, arguments[0])
        if node.name in CONVERSIONS:
            return closures.metered_unary(CONVERSIONS[node.name], arguments[0])
        if node.name in texts.FUNCTIONS:
            return closures.called(texts.FUNCTIONS[node.name], tuple(arguments))
        return closures.metered(operators.TEXT[node.name], *arguments)

    def _list(self, node: ListNode) -> Closure:
        return closures.listed(tuple(self.value(item) for item in node.items))

    def _map(self, node: MapNode) -> Closure:
        items = tuple(self.value(item) for item in node.items)
        names = tuple(key for key in node.keys if isinstance(key, str))
        if len(names) == len(node.keys):
            return closures.mapped(names, items)
        return closures.mapped_by(tuple(map(self._key, node.keys)), items)

    def _key(self, key: str | Node) -> Closure:
        return closures.constant(key) if isinstance(key, str) else self.value(key)

    def _macro(self, node: Macro) -> Closure:
        receiver = self.value(node.receiver)
        outer = self._bound
        self._bound = (node.variable, *outer)
        body = self.value(node.body) if node.name == "map" else self.predicate(node.body)
        self._bound = outer
        return closures.macro(node.name, receiver, body, cost_of_item(node))

    _builders: ClassVar[dict[type[Node], Callable[..., Closure]]] = {
        And: predicate,
        Binary: _binary,
        Call: _call,
        Has: _has,
        Index: _index,
        ListNode: _list,
        Literal: _literal,
        Macro: _macro,
        MapNode: _map,
        Member: _member,
        Or: predicate,
        Reference: _reference,
        Ternary: _ternary,
        Unary: _unary,
    }


def _is_predicate(node: Node) -> bool:
    match node:
        case Has() | And() | Or():
            return True
        case Unary(operator=symbol) | Binary(operator=symbol):
            return symbol in _PREDICATE_SYMBOLS
        case Call(name=name) | Macro(name=name):
            return name in _PREDICATE_NAMES
        case Literal(value=value):
            return type(value) is bool
    return False
