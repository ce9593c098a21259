"""Closures of (event, async, meter) for the parts of an expression, at about 0.1 µs each.

A closure returns a decoded JSON value, or raises EvaluationError where CEL has no answer. Inside a
macro its second argument is a pair: what it is outside of the macro, and the macro's item. The
meter is charged for all that depends on the data; its BudgetError passes through everything, also
where a closure goes on after an EvaluationError.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from streams.errors import EvaluationError
from streams.matching import budget, operators
from streams.matching.budget import Cost, Meter
from streams.matching.canonical import Document
from topology.keys import Path
from topology.records import Json

# The cancel event, None for the condition of a trigger; inside a macro (the scope around, item).
Scope: TypeAlias = Any
Closure: TypeAlias = Callable[[Document, Scope, Meter], Json]
Predicate: TypeAlias = Callable[[Document, Scope, Meter], bool]

# What a subscript raises where the member is missing, or where the value has no members.
_MISSING: Final = (KeyError, TypeError, IndexError)


def boolean(inner: Closure) -> Predicate:
    """Give `inner`'s result, or an error where it is no boolean (S16)."""

    def checked(event: Document, async_: Scope, meter: Meter) -> bool:
        value = inner(event, async_, meter)
        if value is True or value is False:
            return bool(value)
        raise EvaluationError("the result is not a boolean")

    return checked


def inverted(inner: Predicate) -> Predicate:
    """Answer `!inner`."""
    return lambda event, async_, meter: not inner(event, async_, meter)


def conjunction(operands: tuple[Predicate, ...]) -> Predicate:
    """Answer false if any operand is false, else raise if any does, else true."""
    match operands:
        case first, second:  # The usual rule: a loop costs half as much again.
            return _both(first, second)

    def all_of(event: Document, async_: Scope, meter: Meter) -> bool:
        error = None
        for operand in operands:
            try:
                if not operand(event, async_, meter):
                    return False
            except EvaluationError as raised:
                meter.charge(budget.ERROR)
                error = raised
        if error is not None:
            raise error
        return True

    return all_of


def _both(first: Predicate, second: Predicate) -> Predicate:
    def both(event: Document, async_: Scope, meter: Meter) -> bool:
        try:
            if not first(event, async_, meter):
                return False
        except EvaluationError:
            meter.charge(budget.ERROR)
            if second(event, async_, meter):
                raise
            return False
        return second(event, async_, meter)

    return both


def disjunction(operands: tuple[Predicate, ...]) -> Predicate:
    """Answer true if any operand is true, else raise if any does, else false."""

    def any_of(event: Document, async_: Scope, meter: Meter) -> bool:
        error = None
        for operand in operands:
            try:
                if operand(event, async_, meter):
                    return True
            except EvaluationError as raised:
                meter.charge(budget.ERROR)
                error = raised
        if error is not None:
            raise error
        return False

    return any_of


def conjunct(event_path: Path, async_path: Path) -> Predicate:
    """Compare a member of each event; false, not an error, if one is missing or null (S14)."""
    match event_path, async_path:
        case (str(outer), str(inner)), (str(async_outer), str(async_inner)):
            return _member_conjunct(outer, inner, async_outer, async_inner)
    from_event, from_async = _getter(event_path), _getter(async_path)

    def compared(event: Document, async_: Scope, meter: Meter) -> bool:
        try:
            left, right = from_event(event), from_async(async_)
        except _MISSING:
            return False
        return left is not None and right is not None and operators.equal(left, right, meter)

    return compared


def _member_conjunct(outer: str, inner: str, async_outer: str, async_inner: str) -> Predicate:
    """Answer `event.a.b == async.c.d`, the usual rule, without a call for each side."""
    equal = operators.equal

    def compared(event: Document, async_: Scope, meter: Meter) -> bool:
        try:
            left, right = event[outer][inner], async_[async_outer][async_inner]
        except _MISSING:
            return False
        if type(left) is str:
            return bool(left == right)
        return left is not None and right is not None and equal(left, right, meter)

    return compared


def reference(variable: str, path: Path, macros: int) -> Closure:
    """Read a member of the trigger event or the cancel event, inside so many macros."""
    shown = variable + "".join(f".{s}" if isinstance(s, str) else f"[{s}]" for s in path)
    message = f"no such member: {shown}"
    getter = _getter(path)

    def from_event(event: Document, _async: Scope, _meter: Meter) -> Json:
        try:
            return getter(event)
        except _MISSING:
            raise EvaluationError(message) from None

    def from_async(_event: Document, async_: Scope, _meter: Meter) -> Json:
        try:
            return getter(async_)
        except _MISSING:
            raise EvaluationError(message) from None

    return from_event if variable == "event" else _outside(from_async, macros)


def item(path: Path, macros: int) -> Closure:
    """Read a member of a macro's item, inside so many macros more."""
    getter = _getter(path)

    def from_item(_event: Document, scope: Scope, _meter: Meter) -> Json:
        try:
            return getter(scope[1])
        except _MISSING:
            raise EvaluationError("no such member of a macro's item") from None

    return _outside(from_item, macros)


def _outside(inner: Closure, macros: int) -> Closure:
    """Evaluate `inner` in the scope around so many macros."""
    match macros:
        case 0:
            return inner
        case 1:
            return lambda event, scope, meter: inner(event, scope[0], meter)
        case 2:
            return lambda event, scope, meter: inner(event, scope[0][0], meter)
    further = _outside(inner, macros - 2)
    return lambda event, scope, meter: further(event, scope[0][0], meter)


def _getter(path: Path) -> Callable[[Json], Json]:
    match path:
        case ():
            return lambda document: document
        case (str(first),):
            return lambda document: document[first]
        case (str(first), str(second)):
            return lambda document: document[first][second]
        case (str(first), str(second), str(third)):
            return lambda document: document[first][second][third]

    def get(document: Json) -> Json:
        for segment in path:
            if type(segment) is int and type(document) is not list:
                raise TypeError  # Python would take a character of a string
            document = document[segment]
        return document

    return get


def constant(value: Json) -> Closure:
    """Give a value of the text."""
    return lambda _event, _async, _meter: value


def unary(apply: Callable[[Json], Json], operand: Closure) -> Closure:
    """Apply an operator to one operand."""
    return lambda event, async_, meter: apply(operand(event, async_, meter))


def binary(apply: operators.Operation, left: Closure, right: Closure) -> Closure:
    """Apply an operator to two operands."""
    return lambda event, async_, meter: apply(
        left(event, async_, meter), right(event, async_, meter)
    )


def metered_unary(apply: Callable[[Json, Meter], Json], operand: Closure) -> Closure:
    """Apply an operator to one operand whose size matters."""
    return lambda event, async_, meter: apply(operand(event, async_, meter), meter)


def metered(apply: operators.Metered, left: Closure, right: Closure) -> Closure:
    """Apply an operator to two operands whose size matters."""
    return lambda event, async_, meter: apply(
        left(event, async_, meter), right(event, async_, meter), meter
    )


def called(apply: Callable[..., Json], arguments: tuple[Closure, ...]) -> Closure:
    """Apply a function that charges the meter to its arguments."""
    match arguments:
        case (first,):
            return lambda event, async_, meter: apply(meter, first(event, async_, meter))
        case first, second:
            return lambda event, async_, meter: apply(
                meter, first(event, async_, meter), second(event, async_, meter)
            )
        case first, second, third:
            return lambda event, async_, meter: apply(
                meter,
                first(event, async_, meter),
                second(event, async_, meter),
                third(event, async_, meter),
            )
    return lambda event, async_, meter: apply(
        meter, *[argument(event, async_, meter) for argument in arguments]
    )


def named(apply: Callable[[Json, str], Json], operand: Closure, name: str) -> Closure:
    """Apply an operator to an operand and a name."""
    return lambda event, async_, meter: apply(operand(event, async_, meter), name)


def ternary(condition: Predicate, then: Closure, otherwise: Closure) -> Closure:
    """Answer `condition ? then : otherwise`."""
    return lambda event, async_, meter: (
        then(event, async_, meter)
        if condition(event, async_, meter)
        else otherwise(event, async_, meter)
    )


def listed(items: tuple[Closure, ...]) -> Closure:
    """Build a list."""
    return lambda event, async_, meter: [item(event, async_, meter) for item in items]


def mapped(keys: tuple[str, ...], items: tuple[Closure, ...]) -> Closure:
    """Build a map."""
    return lambda event, async_, meter: {
        key: item(event, async_, meter) for key, item in zip(keys, items, strict=True)
    }


def mapped_by(keys: tuple[Closure, ...], items: tuple[Closure, ...]) -> Closure:
    """Build a map with keys that are known only now."""

    def build(event: Document, async_: Scope, meter: Meter) -> Json:
        made = {}
        for key, item in zip(keys, items, strict=True):
            name = key(event, async_, meter)
            if type(name) is not str or name in made:
                raise EvaluationError("the keys of a map are strings that differ")
            made[name] = item(event, async_, meter)
        return made

    return build


def equality(left: Closure, right: Closure, known: object) -> Predicate:
    """Answer `left == right`; `known` is the value of a literal on the right, else None."""
    if type(known) is str:
        return lambda event, async_, meter: bool(left(event, async_, meter) == known)
    if type(known) is bool:
        return lambda event, async_, meter: left(event, async_, meter) is known
    return metered(operators.equal, left, right)


def ordering(symbol: str, left: Closure, right: Closure, known: object) -> Predicate:
    """Answer `left < right` or another order; `known` as in `equality`."""
    apply = operators.ORDERINGS[symbol]
    if type(known) is not int and type(known) is not float:
        return metered(apply, left, right)
    compare, known_kind = operators.COMPARISONS[symbol], type(known)
    rounded = operators.as_double(known)

    def compared(event: Document, async_: Scope, meter: Meter) -> bool:
        value = left(event, async_, meter)
        kind = type(value)
        if kind is known_kind:
            return compare(value, known)
        if kind is float:
            return compare(value, rounded)
        return bool(apply(value, known, meter))

    return compared


def among(left: Closure, texts: frozenset[str]) -> Predicate:
    """Answer `left in ["a", "b"]`."""

    def answered(event: Document, async_: Scope, meter: Meter) -> bool:
        value = left(event, async_, meter)
        return type(value) is str and value in texts

    return answered


def macro(name: str, receiver: Closure, body: Closure, each: Cost) -> Closure:
    """Apply `all`, `exists`, `exists_one`, `filter` or `map` to the items of a list or map.

    `each` is what an item costs at least.
    """
    apply = _MACROS[name]

    def applied(event: Document, async_: Scope, meter: Meter) -> Json:
        items = receiver(event, async_, meter)
        if type(items) is not list and type(items) is not dict:
            raise EvaluationError(f"{name} needs a list or a map")
        meter.walk(len(items), each)
        return apply(body, event, async_, meter, items)

    return applied


def _exists(
    body: Predicate, event: Document, async_: Scope, meter: Meter, items: Iterable[Json]
) -> bool:
    error = None
    for value in items:
        try:
            if body(event, (async_, value), meter):
                return True
        except EvaluationError as raised:
            meter.charge(budget.ERROR)
            error = raised
    if error is not None:
        raise error
    return False


def _all(
    body: Predicate, event: Document, async_: Scope, meter: Meter, items: Iterable[Json]
) -> bool:
    return not _exists(inverted(body), event, async_, meter, items)


def _filter(
    body: Predicate, event: Document, async_: Scope, meter: Meter, items: Iterable[Json]
) -> list[Json]:
    return [value for value in items if body(event, (async_, value), meter)]


def _exists_one(
    body: Predicate, event: Document, async_: Scope, meter: Meter, items: Iterable[Json]
) -> bool:
    return len(_filter(body, event, async_, meter, items)) == 1


def _map(
    body: Closure, event: Document, async_: Scope, meter: Meter, items: Iterable[Json]
) -> list[Json]:
    return [body(event, (async_, value), meter) for value in items]


_MACROS: Final[dict[str, Callable[[Closure, Document, Scope, Meter, Iterable[Json]], Json]]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _map,
}
