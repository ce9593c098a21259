"""Compiles the syntax tree to Python closures of (event, async), at about 1 µs an expression.

Each closure returns a decoded JSON value or raises EvaluationError. What isn't compiled (macros,
conversions, timestamps, regular expressions) is evaluated by celpy, in the smallest `&&` or `||`
operand that holds it and after the compiled ones: `&&` and `||` absorb errors on both sides, so the
order of their operands can't be seen.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from streams.errors import EvaluationError
from streams.matching import operators
from streams.matching.canonical import Document
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
    Path,
    Reference,
    Span,
    Ternary,
    Unary,
)

Closure: TypeAlias = Callable[[Document, Document | None], Any]
Predicate: TypeAlias = Callable[[Document, Document | None], bool]

_COMPILED_CALLS = frozenset({"size", *operators.TEXT})
_PREDICATES = frozenset({"==", "!=", "in", *operators.ORDERINGS})


def compiles(node: Node) -> bool:
    """Say whether closures evaluate this node without celpy."""
    if isinstance(node, Macro) or (isinstance(node, Call) and node.name not in _COMPILED_CALLS):
        return False
    return all(compiles(child) for child in node.children())


def closure_of(
    node: Node, conjuncts: frozenset[Span], fallback: Callable[[Span], Closure]
) -> Predicate:
    """Compile a whole expression; `conjuncts` are the places of its equality conjuncts (S14)."""
    return _Compiler(conjuncts, fallback).predicate(node)


class _Compiler:
    def __init__(self, conjuncts: frozenset[Span], fallback: Callable[[Span], Closure]) -> None:
        self._conjuncts = conjuncts
        self._fallback = fallback

    def predicate(self, node: Node) -> Predicate:
        """Compile where a boolean is needed: any other result is an error (S16)."""
        if isinstance(node, And | Or):
            ordered = sorted(node.operands, key=lambda operand: not compiles(operand))
            operands = tuple(self.predicate(operand) for operand in ordered)
            return _all(operands) if isinstance(node, And) else _any(operands)
        if not compiles(node):
            return _boolean(self._fallback(node.span))
        if node.span in self._conjuncts:
            pair = pair_of(node)
            assert pair is not None
            return _conjunct(*pair)
        closure = self.value(node)
        return closure if _is_predicate(node) else _boolean(closure)

    def value(self, node: Node) -> Closure:
        """Compile where any value will do; the node holds nothing that needs celpy."""
        match node:
            case Literal(value=value):
                return lambda _event, _async: value
            case Reference(variable=variable, path=path):
                return _reference(variable, path)
            case And() | Or():
                return self.predicate(node)
            case Unary(operator=symbol, operand=operand):
                return self._unary(symbol, operand)
            case Binary(operator=symbol, left=left, right=right):
                return self._binary(symbol, left, right)
            case Ternary(condition=condition, then=then, otherwise=otherwise):
                return _ternary(self.predicate(condition), self.value(then), self.value(otherwise))
            case _:
                return self._construct(node)

    def _construct(self, node: Node) -> Closure:
        match node:
            case Member(operand=operand, name=name):
                return _with_name(operators.member, self.value(operand), name)
            case Has(operand=operand, name=name):
                return _with_name(operators.has, self.value(operand), name)
            case Index(operand=operand, index=index):
                return _two(operators.index, self.value(operand), self.value(index))
            case Call(name="size", arguments=(argument,)):
                return _one(operators.size, self.value(argument))
            case Call(name=name, arguments=(text, part)):
                return _two(operators.TEXT[name], self.value(text), self.value(part))
            case ListNode(items=items):
                return _list(tuple(self.value(item) for item in items))
            case MapNode(keys=keys, items=items):
                return _map(keys, tuple(self.value(item) for item in items))
        raise AssertionError(f"no closure for {type(node).__name__}")

    def _unary(self, symbol: str, operand: Node) -> Closure:
        if symbol == "-":
            return _one(operators.negate, self.value(operand))
        inner = self.predicate(operand)
        return lambda event, async_: not inner(event, async_)

    def _binary(self, symbol: str, left: Node, right: Node) -> Closure:
        first, second = self.value(left), self.value(right)
        if symbol == "==":
            return _equality(first, right, second)
        if symbol == "!=":
            inner = _equality(first, right, second)
            return lambda event, async_: not inner(event, async_)
        if symbol == "in":
            return _membership(first, right, second)
        if symbol in operators.ORDERINGS:
            return _two(operators.ORDERINGS[symbol], first, second)
        return _two(operators.ARITHMETIC[symbol], first, second)


def _is_predicate(node: Node) -> bool:
    match node:
        case Unary(operator="!") | Has() | And() | Or():
            return True
        case Binary(operator=symbol):
            return symbol in _PREDICATES
        case Call(name=name):
            return name in operators.TEXT
        case Literal(value=value):
            return type(value) is bool
    return False


def _boolean(inner: Closure) -> Predicate:
    def checked(event: Document, async_: Document | None) -> bool:
        value = inner(event, async_)
        if value is True or value is False:
            return bool(value)
        raise EvaluationError("the result is not a boolean")

    return checked


def _all(operands: tuple[Predicate, ...]) -> Predicate:
    def conjunction(event: Document, async_: Document | None) -> bool:
        error = None
        for operand in operands:
            try:
                if not operand(event, async_):
                    return False
            except EvaluationError as raised:
                error = raised
        if error is not None:
            raise error
        return True

    return conjunction


def _any(operands: tuple[Predicate, ...]) -> Predicate:
    def disjunction(event: Document, async_: Document | None) -> bool:
        error = None
        for operand in operands:
            try:
                if operand(event, async_):
                    return True
            except EvaluationError as raised:
                error = raised
        if error is not None:
            raise error
        return False

    return disjunction


def _conjunct(event_path: Path, async_path: Path) -> Predicate:
    """Compare across the events; a side that is missing or null is false, not an error (S14)."""
    from_event, from_async = _getter(event_path), _getter(async_path)

    def compared(event: Document, async_: Document | None) -> bool:
        try:
            left, right = from_event(event), from_async(async_)
        except (KeyError, TypeError, IndexError):
            return False
        if left is None or right is None:
            return False
        return left == right if type(left) is str else operators.equal(left, right)

    return compared


def _reference(variable: str, path: Path) -> Closure:
    getter = _getter(path)
    shown = variable + "".join(f".{s}" if isinstance(s, str) else f"[{s}]" for s in path)

    if variable == "event":

        def from_event(event: Document, _async: Document | None) -> Any:  # noqa: ANN401
            try:
                return getter(event)
            except (KeyError, TypeError, IndexError):
                raise EvaluationError(f"no such member: {shown}") from None

        return from_event

    def from_async(_event: Document, async_: Document | None) -> Any:  # noqa: ANN401
        try:
            return getter(async_)
        except (KeyError, TypeError, IndexError):
            raise EvaluationError(f"no such member: {shown}") from None

    return from_async


def _getter(path: Path) -> Callable[[Any], Any]:
    """Read a path; KeyError, TypeError or IndexError where it is missing."""
    match path:
        case ():
            return lambda document: document
        case (str(first),):
            return lambda document: document[first]
        case (str(first), str(second)):
            return lambda document: document[first][second]
        case (str(first), str(second), str(third)):
            return lambda document: document[first][second][third]

    def get(document: Any) -> Any:  # noqa: ANN401 (any JSON value)
        for segment in path:
            if type(segment) is int and type(document) is not list:
                raise TypeError  # Python would index into a string
            document = document[segment]
        return document

    return get


def _one(apply: Callable[[Any], Any], operand: Closure) -> Closure:
    return lambda event, async_: apply(operand(event, async_))


def _two(apply: Callable[[Any, Any], Any], left: Closure, right: Closure) -> Closure:
    return lambda event, async_: apply(left(event, async_), right(event, async_))


def _with_name(apply: Callable[[Any, str], Any], operand: Closure, name: str) -> Closure:
    return lambda event, async_: apply(operand(event, async_), name)


def _ternary(condition: Predicate, then: Closure, otherwise: Closure) -> Closure:
    return lambda event, async_: (
        then(event, async_) if condition(event, async_) else otherwise(event, async_)
    )


def _list(items: tuple[Closure, ...]) -> Closure:
    return lambda event, async_: [item(event, async_) for item in items]


def _map(keys: tuple[str, ...], items: tuple[Closure, ...]) -> Closure:
    return lambda event, async_: {
        key: item(event, async_) for key, item in zip(keys, items, strict=True)
    }


def _equality(left: Closure, right_node: Node, right: Closure) -> Predicate:
    if isinstance(right_node, Literal) and type(right_node.value) is str:
        text = right_node.value
        return lambda event, async_: bool(left(event, async_) == text)
    equal = operators.equal
    return lambda event, async_: equal(left(event, async_), right(event, async_))


def _membership(left: Closure, right_node: Node, right: Closure) -> Predicate:
    items = right_node.items if isinstance(right_node, ListNode) else ()
    texts = [item.value for item in items if isinstance(item, Literal) and type(item.value) is str]
    if not items or len(texts) != len(items):
        return _two(operators.contains, left, right)
    known = frozenset(texts)

    def among(event: Document, async_: Document | None) -> bool:
        item = left(event, async_)
        return type(item) is str and item in known

    return among
