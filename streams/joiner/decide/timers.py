"""Fires timers: what happens once the watermark has passed a time (S27, S30)."""

from typing import Final

from streams.joiner.decide import dues, requests, runs
from streams.joiner.decide.commands import pauses, update
from streams.joiner.decide.kinds import KINDS
from streams.joiner.decide.runs import Run
from streams.joiner.decide.view import View
from topology import codec, held_rows, limits, tables
from topology.statuses import Cause, Status

_PUT_OFF_MS: Final = 1_000


def fire(view: View, row_key: bytes) -> None:
    """Fire the timer of a row: a held row is removed, a run or a request takes its next step."""
    if row_key[:1] == tables.REQUESTS:
        _fire_request(view, row_key)
        return
    if row_key[:1] != tables.EVENTS:
        _fire_held(view, row_key)
        return
    run = runs.load(view, row_key[tables.RUN_OF_ROW])
    if run is None or not view.passed(run.row.due):
        return  # it was put off, and is no longer the run's timer
    if view.is_meeting(run.id):
        _put_off(view, row_key)
    elif run.ended:
        _fire_ended(view, run)
    else:
        _fire_unfinished(view, run)


def end_misdated(view: View, row_key: bytes) -> None:
    """End what waits for a time that only a wrong clock can have given it (S38).

    A run expires, and goes when the same is asked once more; a held row goes, a request fails.
    """
    view.count("misdated_rows")
    if row_key[:1] == tables.REQUESTS:
        requests.fail(view, row_key, "it waits for a time that lies years ahead")
        return
    if row_key[:1] != tables.EVENTS:
        view.put(row_key, None)
        return
    run = runs.load(view, row_key[tables.RUN_OF_ROW])
    if run is not None and run.ended:
        runs.remove(view, run)
    elif run is not None:
        _expire(view, run)


def give_up(view: View, row_key: bytes, error: str) -> None:
    """Go on though a timer can't be fired: its request fails; all else is tried in an hour."""
    view.count("undecidable_rows")
    if row_key[:1] == tables.REQUESTS:
        requests.fail(view, row_key, error)
    else:
        _put_off(view, row_key, limits.HOUR_MS)


def _put_off(view: View, row_key: bytes, by_ms: int = _PUT_OFF_MS) -> None:
    """Let a timer fire a little later, since a run has yet to meet what was held for it.

    Not at once again: many such timers would keep those behind them from firing. The row may be
    changed or gone by then. A restore makes the timer as it was at first; then it is put off again.
    """
    view.derive(tables.timer_key(view.watermark + by_ms, row_key), b"")


def _fire_held(view: View, key: bytes) -> None:
    """Remove a held row: nothing that is held so long can come any more."""
    until = held_rows.held_until(key)
    if view.is_needed(until) or update.is_awaited(view, key):
        _put_off(view, key)
        return
    if key[:1] == tables.HELD_UPDATES:
        view.count("ignored_updates", "unknown_event")
    view.put(key, None)


def _fire_request(view: View, key: bytes) -> None:
    value = view.get(key)
    row = None if value is None else codec.REQUEST_ROWS.decode(value)
    if row is None or not row.due or not view.passed(row.due):
        return  # it was put off, and is no longer the request's timer
    if row.over:
        requests.forget(view, key)
    elif view.is_needed(row.due):
        _put_off(view, key)
    else:
        KINDS[type(row.command)].fire(view, row)


def _fire_ended(view: View, run: Run) -> None:
    compiled = view.function(run.event.slug, run.event.version)
    if view.passed(dues.removal(run.row.ended_at, run.event, compiled.function)):
        runs.remove(view, run)
        return
    # The one other timer of a run that has ended: it is cancelled, and its worker's lease ends
    # without the update `stopped`.
    runs.change(view, run, Status(run.row.status), stopped_at=run.row.lease_until)


def _fire_unfinished(view: View, run: Run) -> None:
    compiled = view.function(run.event.slug, run.event.version)
    due, what = min(dues.due_times(run.event, run.row, compiled))
    assert view.passed(due), "timers fire in the order of their due times"
    match what:
        case "release":
            pauses.release(view, run)
        case "dispatch":
            runs.change(view, run, Status.SCHEDULED, dispatch=True)
        case "wake" | "lease":
            again = {"attempt": run.row.attempt + 1, "dispatch": True, "worker": ""}
            runs.change(view, run, Status.SCHEDULED, **again, sleep_until=0, lease_until=0)
            if what == "lease":
                view.count("leases_ended")
        case "expire":
            _expire(view, run)
        case _:
            cause = Cause(what)
            runs.cancel(view, run, cause, runs.cause(cause))
            view.delayed(due)


def _expire(view: View, run: Run) -> None:
    runs.change(view, run, Status.EXPIRED, ended_at=view.now, dispatch=False)
