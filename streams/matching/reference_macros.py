"""The result of a macro from the answers for its items, as specified.

celpy accepts any value as a condition in `filter`, and its `map` raises even within `||`.
"""

from collections.abc import Callable, Iterable
from typing import Final, cast

from celpy.celtypes import BoolType, ListType, Value
from celpy.evaluation import CELEvalError, Result


def _all(_items: list[Value], results: Iterable[Result]) -> Result:
    return _absorb(results, absorbing=False)


def _exists(_items: list[Value], results: Iterable[Result]) -> Result:
    return _absorb(results, absorbing=True)


def _absorb(results: Iterable[Result], *, absorbing: bool) -> Result:
    outcome: Result = BoolType(not absorbing)
    for result in results:
        if not isinstance(result, BoolType):
            outcome = CELEvalError("a macro's condition has no boolean answer")
        elif bool(result) is absorbing:
            return result
    return outcome


def _exists_one(items: list[Value], results: Iterable[Result]) -> Result:
    kept = _filter(items, results)
    return BoolType(len(kept) == 1) if isinstance(kept, ListType) else kept


def _filter(items: list[Value], results: Iterable[Result]) -> Result:
    kept = []
    for item, result in zip(items, results, strict=True):
        if not isinstance(result, BoolType):
            return CELEvalError("a macro's condition has no boolean answer")
        if result:
            kept.append(item)
    return ListType(kept)


def _map(_items: list[Value], results: Iterable[Result]) -> Result:
    mapped: list[Value] = []
    for result in results:
        if isinstance(result, CELEvalError):
            return result
        mapped.append(cast("Value", result))
    return ListType(mapped)


MACRO_RESULTS: Final[dict[str, Callable[[list[Value], Iterable[Result]], Result]]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _map,
}
