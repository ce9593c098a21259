"""A new run meets what was held for it, and the requests that it falls under.

Usually there is little of it, and it is met with the registration. Else a work row goes on with it
in slices: until the run has met everything that may cancel it, it isn't dispatched, its timers
don't fire, and updates of it wait (S39).
"""

from collections.abc import Iterator
from itertools import chain

from msgspec.structs import replace

from streams.joiner.decide import runs
from streams.joiner.decide.commands import cancel_events, cancellations, pauses, update
from streams.joiner.decide.runs import Run
from streams.joiner.decide.view import View
from topology import codec, limits, tables
from topology.records import CancelRuns, Pause
from topology.statuses import Status
from topology.tables import EventRow, HeldMatch, MeetingRow


def is_long(view: View, run_id: bytes, event: EventRow) -> bool:
    """Whether a new run has more to meet than goes with its registration."""
    held = _held_prefixes(view, run_id, event)
    if not held and not view.requests:
        return False
    if view.is_full():
        return True
    number, size = len(_requests(view, run_id, event)), 0
    rows = chain.from_iterable(view.scan(prefix) for prefix in held)
    for _, value in rows if number <= view.bounds.met_at_once else ():
        number, size = number + 1, size + len(value)
        if number > view.bounds.met_at_once or size > limits.MET_AT_ONCE_BYTES:
            return True
    return number > view.bounds.met_at_once


def meet(view: View, run_id: bytes, event: EventRow) -> None:
    """Let a new run meet everything now."""
    if _held_prefixes(view, run_id, event) or view.requests:
        row = MeetingRow(requests=_requests(view, run_id, event))
        run = runs.registered(view, run_id)
        for _ in chain(_meet_cancels(view, run, row), _meet_updates(view, run)):
            pass


def begin(view: View, run_id: bytes, event: EventRow) -> None:
    """Let a new run meet everything in slices."""
    row = MeetingRow(requests=_requests(view, run_id, event))
    view.put(tables.meeting_key(run_id), codec.WORK_ROWS.encode(row))
    view.count("meetings")


def go_on(view: View, key: bytes, row: MeetingRow) -> None:
    """Do the next slice of a meeting."""
    run = runs.registered(view, key[tables.RUN_OF_ROW])
    steps = chain(_meet_cancels(view, run, row), _dispatch(view, run), _meet_updates(view, run))
    for done, left in enumerate(steps, 1):
        if done >= view.bounds.slice_decisions or view.is_full():
            view.put(key, codec.WORK_ROWS.encode(left))
            return
    view.put(key, None)


def _held_prefixes(view: View, run_id: bytes, event: EventRow) -> list[bytes]:
    """The prefixes of the rows that may be held for a run."""
    prefixes = [tables.HELD_CANCELS + listener.key for listener in event.listeners]
    prefixes += (tables.HELD_MATCHES + run_id, tables.HELD_UPDATES + event.event_key)
    return list(filter(view.may_hold, prefixes))


def _requests(view: View, run_id: bytes, event: EventRow) -> tuple[bytes, ...]:
    """The keys of the requests that a new run falls under, and whose scans won't reach it."""
    return tuple(
        key
        for key, row in view.requests.items()
        if cancellations.covers_late(row, run_id, event) or pauses.covers_late(row, run_id, event)
    )


def _meet_cancels(view: View, run: Run, row: MeetingRow) -> Iterator[MeetingRow]:
    """Meet what may cancel the run; the row of what is left, after each decision."""
    for key, value in view.held(tables.HELD_MATCHES + run.id):
        if not run.ended:
            held = codec.HELD_ROWS.decode(value)
            assert isinstance(held, HeldMatch)
            for rule in held.rules:
                cancel_events.decide_match(view, held.cancel, run, rule)
        view.put(key, None)
        yield row
    for index in range(row.listener, len(run.event.listeners)):
        listener = run.event.listeners[index]
        row = row if index == row.listener else MeetingRow(index, b"", row.requests)
        for key, cancel in cancel_events.held_cancels(view, listener.key, row.cursor):
            if run.ended:
                break
            cancel_events.decide_match(view, cancel, run, listener.rule)
            row = replace(row, cursor=key)
            yield row
    row = MeetingRow(len(run.event.listeners), b"", row.requests)
    for number, key in enumerate(row.requests, 1):
        _meet_request(view, run, key)
        yield replace(row, requests=row.requests[number:])


def _meet_request(view: View, run: Run, key: bytes) -> None:
    request = view.requests.get(key)
    if request is None:  # it was stopped meanwhile
        return
    match request.command:
        case CancelRuns() as command:
            cancellations.meet_late(view, request, command, run)
        case Pause():
            pauses.meet_late(view, request, run)


def _dispatch(view: View, run: Run) -> Iterator[MeetingRow]:
    """Dispatch a run that has waited for its meeting's end, if nothing has cancelled it."""
    row = run.row
    waits = row.kept_back or (run.event.dispatch_at and not view.passed(run.event.dispatch_at))
    if row.status == Status.SCHEDULED and not row.dispatch and not waits:
        runs.change(view, run, Status.SCHEDULED, dispatch=True)
    yield from ()


def _meet_updates(view: View, run: Run) -> Iterator[MeetingRow]:
    """Apply the updates that were held for the run; the row of what is left, after each."""
    done = MeetingRow(len(run.event.listeners))
    for prefix in (run.event.event_key, run.id):
        for key, held in update.held_updates(view, prefix):
            view.put(key, None)
            update.apply(view, run, held.update, held.received)
            yield done
