"""Which runs cancel events cancel, by the letter of S1, S3 and S6 to S17, and in no hurry.

It sees the whole list of events at once, so it needs no keys, no holding and no watermark.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from streams import matching
from streams.errors import EvaluationError
from topology.records import CancelRule, Function

RunName = tuple[str, str]


class Occurrence(NamedTuple):
    """One event where it lies; a producer's repeat is another occurrence of the same event id."""

    received: int
    topic: str
    partition: int
    offset: int
    event: Mapping[str, Any]


def runs(
    functions: Iterable[Function], occurrences: Iterable[Occurrence]
) -> dict[RunName, Occurrence]:
    """The runs by function and event id, each with the first occurrence of its event (S1, S3)."""
    found: dict[RunName, Occurrence] = {}
    for function in functions:
        for one in sorted(occurrences, key=lambda one: one[:4]):
            if any(_triggers(trigger.event, trigger.if_, one) for trigger in function.triggers):
                found.setdefault((function.slug, one.event["id"]), one)
    return found


def cancelled(functions: Iterable[Function], occurrences: Iterable[Occurrence]) -> set[RunName]:
    """The runs that some event cancels."""
    started = runs(functions, occurrences)
    by_name: dict[str, list[Occurrence]] = {}
    for one in occurrences:
        by_name.setdefault(one.event["name"], []).append(one)
    return {
        (function.slug, event_id)
        for function in functions
        for (slug, event_id), run in started.items()
        if slug == function.slug
        for rule in function.cancel_on
        for one in by_name.get(rule.event, ())
        if _cancels(rule, run, one, started.get((slug, one.event["id"])))
    }


def _cancels(rule: CancelRule, run: Occurrence, cancel: Occurrence, own: Occurrence | None) -> bool:
    first = own or cancel  # S10: a repeat of a trigger does what its first occurrence could
    until = rule.timeout_at or (run.received + rule.timeout_ms if rule.timeout_ms else None)
    if cancel.event["id"] == run.event["id"] or (until is not None and first.received > until):
        return False
    before = run.received <= first.received
    if run[1:3] == first[1:3]:
        before = run.offset < first.offset
    elif own is not None:
        before = run[:4] < first[:4]
    if not before and run.received > first.received + (rule.early_cancel_ms or -1):
        return False
    return rule.expression is None or _matches(rule.expression, _json(run), _json(cancel))


def _triggers(name: str, condition: str | None, one: Occurrence) -> bool:
    return one.event["name"] == name and (condition is None or _matches(condition, _json(one)))


def _json(one: Occurrence) -> bytes:
    """The event without what rules here don't ask for, so that answers can be cached."""
    return orjson.dumps({name: one.event[name] for name in ("name", "data")})


@lru_cache(maxsize=100_000)
def _matches(expression: str, event: bytes, cancel: bytes | None = None) -> bool:
    async_ = None if cancel is None else orjson.loads(cancel)
    try:
        return matching.parse(expression).reference(orjson.loads(event), async_)
    except EvaluationError:
        return False
