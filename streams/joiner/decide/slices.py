"""Works off long jobs in slices: one bounded step per transaction, between commands (S24)."""

from collections.abc import Iterable, Mapping

import msgspec

from streams.joiner.decide import requests, runs
from streams.joiner.decide.commands import cancel_events, listen, meetings
from streams.joiner.decide.kinds import KINDS
from streams.joiner.decide.poison import deciding_on
from streams.joiner.decide.requests import Decide, Tally
from streams.joiner.decide.view import Refused, View
from topology import codec, limits, tables
from topology.records import CancelEvent, Position
from topology.tables import (
    LISTED_RUN,
    DeliveryRow,
    FanOutRow,
    MeetingRow,
    PostponedCancel,
    RequestRow,
)


def work(view: View, keys: Iterable[bytes], given_up: Mapping[bytes, str]) -> None:
    """Do a slice of each of some work rows, until this transaction's share is used up.

    The rows of the keys in `given_up` can't be decided on, for the reasons there.

    Raises:
        PoisonError: another one can't be decided on.
    """
    left = view.bounds.slice_decisions
    for key in keys:
        if left <= 0 or view.is_full():
            break
        with deciding_on(key):
            if key in given_up:
                _give_up(view, key, given_up[key])
            else:
                left -= _slice(view, key)
        view.worked.append(key)


def _give_up(view: View, key: bytes, error: str) -> None:
    """Go on without a work row: its request fails, its event becomes a dead letter."""
    view.count("undecidable_rows")
    if key[:1] == tables.REQUESTS:
        requests.fail(view, key, error)
        return
    event = _event_of(view, key)
    view.put(key, None)
    if event is not None:
        view.refuse(Refused(*event, "undecidable", f"its work can't be done: {error}"))
    if key[:1] == tables.MEETINGS:
        meetings.leave(view, key)


def _event_of(view: View, key: bytes) -> tuple[Position, bytes, bytes] | None:
    """Where the event lies that a work row works for, its JSON, and its identity."""
    if key[:1] == tables.MEETINGS:
        event = runs.registered(view, key[tables.RUN_OF_ROW]).event
        return event.position, event.event, event.identity
    value = view.get(key)
    assert value is not None, "a work row that is known exists"
    if key[:1] == tables.FAN_OUTS:
        return _parts(codec.FAN_OUT_ROWS.decode(value).cancel)
    match codec.WORK_ROWS.decode(value):
        case PostponedCancel(cancel=cancel):
            return _parts(cancel)
        case DeliveryRow(cursor=cursor):
            held = cancel_events.held_cancels(view, key[tables.DELIVERY_MATCH_KEY], cursor)
            return next((_parts(cancel) for _, cancel in held), None)
    return None


def _parts(cancel: CancelEvent) -> tuple[Position, bytes, bytes]:
    return cancel.at, cancel.event, cancel.identity


def _slice(view: View, key: bytes) -> int:
    """Do the next slice of the work row under a key; the decisions that it counts for."""
    match key[:1]:
        case tables.FAN_OUTS:
            return _fan_out(view, key)
        case tables.REQUESTS:
            return _scan(view, view.requests[key])
    return _go_on(view, key)


def _go_on(view: View, key: bytes) -> int:
    value = view.get(key)
    assert value is not None, "a work row that is known exists"
    match codec.WORK_ROWS.decode(value):
        case MeetingRow() as row:
            return meetings.go_on(view, key, row)
        case DeliveryRow() as row:
            listen.go_on(view, key, row)
        case PostponedCancel() as row:
            cancel_events.go_on(view, key, row)
    return view.bounds.slice_decisions


def _fan_out(view: View, key: bytes) -> int:
    """Let a cancel event meet its next listeners; remove the row once it has met all."""
    value = view.get(key)
    assert value is not None, "a work row that is known exists"
    row = codec.FAN_OUT_ROWS.decode(value)
    cursor = cancel_events.fan_out_slice(
        view, row.cancel, key[tables.FAN_OUT_MATCH_KEY], row.cursor
    )
    if cursor is None:
        view.put(key, None)
    else:
        view.put(key, codec.FAN_OUT_ROWS.encode(FanOutRow(row.cancel, cursor)))
    return view.bounds.slice_decisions


def _scan(view: View, row: RequestRow) -> int:
    """Let a request meet the next runs of its function, in the order of their received times."""
    command, tally = row.command, Tally(row)
    kind = KINDS[type(command)]
    after, before = kind.between(row, command)
    begin = row.cursor or tables.by_function_from(command.function, after + 1)
    end = tables.by_function_from(command.function, before)
    cursor, ended = _next_runs(view, begin, end, kind.decider(view, row, command, tally))
    row = msgspec.structs.replace(requests.tallied(row, tally), cursor=cursor, scanning=not ended)
    if ended:
        row = kind.scanned(view, row, command)
    requests.write(view, row)
    return view.bounds.slice_decisions


def _next_runs(view: View, cursor: bytes, end: bytes, decide: Decide) -> tuple[bytes, bool]:
    """Decide on a function's listed runs beyond the key `cursor`, until `end` or a slice is full.

    Returns the new cursor, and whether the end was reached.
    """
    decisions = 0
    for scanned, (key, letter) in enumerate(view.scan(cursor[tables.PREFIX], cursor)):
        if key >= end:
            return cursor, True
        if (
            decisions >= view.bounds.slice_decisions
            or scanned >= limits.SLICE_SCANNED
            or view.is_full()
        ):
            return cursor, False
        decisions += decide(key[LISTED_RUN], letter)
        cursor = key
    return cursor, True
