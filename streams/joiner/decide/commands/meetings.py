"""A new run meets what was held for it, and the requests that it falls under.

Usually there is little of it, and it is met with the registration. Else a work row goes on with it
in slices: until the run has met everything that may cancel it, it isn't dispatched, its timers
don't fire, and updates of it wait (S39).
"""

from collections.abc import Container, Iterator
from itertools import chain, islice
from typing import Final, NamedTuple

from streams.joiner.decide import runs
from streams.joiner.decide.commands import cancel_events, cancellations, pauses, update
from streams.joiner.decide.runs import Run
from streams.joiner.decide.view import View
from topology import codec, limits, tables
from topology.held_rows import HeldCancel, HeldMatch, HeldUpdate
from topology.records import CancelRuns, Listener, Pause
from topology.statuses import Status
from topology.tables import EventRow, MeetingRow

_NO_LISTENER: Final = -1
_CANCELS: Final = tables.HELD_CANCELS
_MATCHES: Final = tables.HELD_MATCHES
_UPDATES: Final = tables.HELD_UPDATES


class Held(NamedTuple):
    """A held row that a run has to meet, and by which listener if it is a cancel under a key."""

    key: bytes
    value: bytes
    listener: int = _NO_LISTENER


class Agenda(NamedTuple):
    """What a new run has to meet: held rows, and requests by their keys.

    If `is_long`, it is more than goes with the registration, and `held` has only its beginning.
    """

    held: list[Held]
    requests: tuple[bytes, ...]
    is_long: bool


def agenda(view: View, run_id: bytes, event: EventRow) -> Agenda | None:
    """What a new run has to meet; usually nothing."""
    spaces = view.held_spaces()
    if not view.requests and not may_hold(view, spaces, run_id, event.event_key, event.listeners):
        return None
    most = view.bounds.met_at_once
    rows = chain(
        _held_cancels(view, run_id, event, MeetingRow()), _held_updates(view, run_id, event)
    )
    held = list(islice(rows, most + 1))
    requests = _requests(view, run_id, event) if view.requests else ()
    if not held and not requests:
        return None
    size = sum(len(one.value) for one in held)
    is_long = len(held) + len(requests) > most or size > limits.MET_AT_ONCE_BYTES or view.is_full()
    return Agenda(held, requests, is_long)


def meet(view: View, run: Run, what: Agenda) -> None:
    """Let a new run meet everything now."""
    updates = [one for one in what.held if one.key[:1] == _UPDATES]
    for one in what.held:
        if one not in updates:
            _meet_held(view, run, one)
    for key in what.requests:
        _meet_request(view, run, key)
    for one in updates:
        _meet_held(view, run, one)


def begin(view: View, run_id: bytes, event: EventRow, what: Agenda) -> None:
    """Let a new run meet everything in slices."""
    lasts = tuple(view.last_held(_CANCELS + listener.key) for listener in event.listeners)
    row = MeetingRow(requests=what.requests, lasts=lasts)
    view.put(tables.meeting_key(run_id), codec.WORK_ROWS.encode(row))
    view.count("meetings")


def go_on(view: View, key: bytes, row: MeetingRow) -> int:
    """Do the next slice of a meeting; the number of its decisions."""
    run = runs.registered(view, key[tables.RUN_OF_ROW])
    done = 0
    for left in _steps(view, run, row):
        done += 1
        if done >= view.bounds.slice_decisions or view.is_full():
            view.put(key, codec.WORK_ROWS.encode(left))
            return done
    view.put(key, None)
    return done + 1


def leave(view: View, key: bytes) -> None:
    """Let a run go on that can't meet all that was held for it; its row is removed already."""
    _dispatch(view, runs.registered(view, key[tables.RUN_OF_ROW]))


def _steps(view: View, run: Run, row: MeetingRow) -> Iterator[MeetingRow]:
    """Meet one thing after the other; the row of what is left, after each."""
    for one in _held_cancels(view, run.id, run.event, row):
        if run.ended and one.listener != _NO_LISTENER:
            break  # cancels under a key stay held for others
        _meet_held(view, run, one)
        if one.listener != _NO_LISTENER:
            row = MeetingRow(one.listener, one.key, row.requests, row.lasts)
        yield row
    end = len(run.event.listeners)
    for number, key in enumerate(row.requests, 1):
        _meet_request(view, run, key)
        yield MeetingRow(end, b"", row.requests[number:])
    _dispatch(view, run)
    for one in _held_updates(view, run.id, run.event):
        _meet_held(view, run, one)
        yield MeetingRow(end)


def may_hold(
    view: View,
    spaces: Container[int],
    run_id: bytes,
    event_key: bytes,
    listeners: tuple[Listener, ...],
) -> bool:
    """Whether something may be held for a run with these listeners here; asked for each new run.

    `spaces` are those in which anything is held.
    """
    prefixes = []
    if _MATCHES[0] in spaces:
        prefixes.append(_MATCHES + run_id)
    if _UPDATES[0] in spaces:
        prefixes.append(_UPDATES + event_key)
    if _CANCELS[0] in spaces:
        prefixes += [_CANCELS + listener.key for listener in listeners]
    return bool(prefixes) and view.may_hold_any(prefixes)


def _held_cancels(view: View, run_id: bytes, event: EventRow, row: MeetingRow) -> Iterator[Held]:
    """What may cancel a run: matches held for it, and cancels held under its listeners' keys."""
    for key, value in view.held(_MATCHES + run_id):
        yield Held(key, value)
    for index in range(row.listener, len(event.listeners)):
        cursor = row.cursor if index == row.listener else b""
        for key, value in view.held(_CANCELS + event.listeners[index].key, cursor):
            if row.lasts and key > row.lasts[index]:
                break
            yield Held(key, value, index)


def _held_updates(view: View, run_id: bytes, event: EventRow) -> Iterator[Held]:
    """The updates that were held for a run before it came, and during its meeting."""
    for under in (event.event_key, run_id):
        for key, value in view.held(_UPDATES + under):
            yield Held(key, value)


def _requests(view: View, run_id: bytes, event: EventRow) -> tuple[bytes, ...]:
    """The keys of the requests that a new run falls under, and whose scans won't reach it."""
    return tuple(
        key
        for key, row in view.requests_of(event.slug).items()
        if cancellations.covers_late(row, run_id, event) or pauses.covers_late(row, run_id, event)
    )


def _meet_held(view: View, run: Run, one: Held) -> None:
    match codec.HELD_ROWS.decode(one.value):
        case HeldCancel(cancel=event):
            rule = run.event.listeners[one.listener].rule
            cancel_events.decide_match(view, event, run, rule)
        case HeldMatch(cancel=event, rules=rules):
            view.put(one.key, None)
            for rule in rules:
                cancel_events.decide_match(view, event, run, rule)
        case HeldUpdate() as held:
            view.put(one.key, None)
            update.apply(view, run, held.update, held.received)


def _meet_request(view: View, run: Run, key: bytes) -> None:
    request = view.requests.get(key)
    if request is None:  # it was stopped meanwhile
        return
    match request.command:
        case CancelRuns() as command:
            cancellations.meet_late(view, request, command, run)
        case Pause():
            pauses.meet_late(view, request, run)


def _dispatch(view: View, run: Run) -> None:
    """Dispatch a run that has waited for its meeting's end, if nothing has cancelled it."""
    row = run.row
    waits = row.kept_back or (run.event.dispatch_at and not view.passed(run.event.dispatch_at))
    if row.status == Status.SCHEDULED and not row.dispatch and not waits:
        runs.change(view, run, Status.SCHEDULED, dispatch=True)
