"""`update`: a worker says what becomes of a run (S4, S5, S31)."""

import msgspec

from streams.joiner.decide import runs
from streams.joiner.decide.runs import Run
from streams.joiner.decide.view import Context, View
from topology import codec, held_rows, keys, limits, tables
from topology.held_rows import HeldUpdate
from topology.records import Update
from topology.statuses import Status, may_move
from topology.tables import RunRow

_ENDS = {"completed": Status.COMPLETED, "failed": Status.FAILED}


def update(view: View, context: Context, command: Update) -> None:
    """Apply an update to the run of its run id or, without one, of its event id."""
    if not command.run_id:
        _update_by_event(view, context, command)
        return
    run = runs.load(view, command.run_id)
    if run is None:
        view.count("ignored_updates", "unknown_run")
    else:
        _apply_in_turn(view, run, command, context)


def _update_by_event(view: View, context: Context, command: Update) -> None:
    """Apply an update to the newest unfinished run of its event id, replays included.

    It is held while the event's first run may come.
    """
    newest_first = sorted(_run_ids(view, command.event_key), reverse=True)
    for run_id in newest_first:
        view.meter.add(limits.RUN_COST)
        run = runs.registered(view, run_id)
        if not run.ended:
            _apply_in_turn(view, run, command, context)
            return
    if newest_first:
        view.count("ignored_updates", "ended")
    elif view.passed(context.received):
        view.count("ignored_updates", "unknown_event")
    else:
        _hold(view, context, command, command.event_key, context.received)


def _run_ids(view: View, event_key: bytes) -> list[bytes]:
    """The runs of an event id, replays included."""
    lists = view.scan(tables.by_event_prefix(event_key))
    return [run_id for _, listed in lists for run_id in tables.run_ids(listed)]


def _apply_in_turn(view: View, run: Run, command: Update, context: Context) -> None:
    """Apply an update to a run, after what the run has yet to meet."""
    if view.is_meeting(run.id):
        _hold(view, context, command, run.id, keys.TIME_END_MS)
    else:
        apply(view, run, command, context.received)


def _hold(view: View, context: Context, command: Update, under: bytes, until: int) -> None:
    """Hold an update under an event key or a run id, at most until a time (ms)."""
    held = HeldUpdate(context.received, command)
    key = held_rows.held_update_key(under, until, context.position)
    view.put(key, codec.HELD_ROWS.encode(held))


def is_awaited(view: View, key: bytes) -> bool:
    """Whether a held row is an update of a run that has yet to meet other things first."""
    return key[:1] == tables.HELD_UPDATES and any(
        map(view.is_meeting, _run_ids(view, key[tables.HELD_UNDER]))
    )


def apply(view: View, run: Run, command: Update, received: int) -> None:
    """Apply an update to a run, or count why it is ignored."""
    refusal = _refusal(view, run, command, received)
    if refusal:
        view.count("ignored_updates", refusal)
        if command.status == "running":
            runs.announce(view, run)
        return
    match command.status:
        case "running" if run.row.status == Status.SCHEDULED:
            _claim(view, run, command, received)
        case "running" | "heartbeat":
            _renew_lease(view, run, command, received)
        case "sleeping":
            changes = {"sleep_until": command.until, "lease_until": 0, "dispatch": False}
            runs.change(view, run, Status.SLEEPING, **changes, **_step(command))
        case "stopped":
            runs.change(view, run, Status.CANCELLED, stopped_at=received, **_step(command))
        case end:
            ended = {"ended_at": view.now, "error": command.error, "dispatch": False}
            runs.change(view, run, _ENDS[end], **ended, **_step(command))


def _claim(view: View, run: Run, command: Update, received: int) -> None:
    runs.change(
        view,
        run,
        Status.RUNNING,
        worker=command.worker,
        started_at=run.row.started_at or received,
        lease_until=_lease(view, run, received),
        dispatch=False,
        **_step(command),
    )


def _renew_lease(view: View, run: Run, command: Update, received: int) -> None:
    """Apply a heartbeat: it may change the lease and the step, and isn't announced."""
    until = max(run.row.lease_until, _lease(view, run, received))
    row = msgspec.structs.replace(run.row, lease_until=until, **_step(command))
    if row != run.row:
        runs.write(view, run, row, view.function(run.event.slug, run.event.version))


def _lease(view: View, run: Run, received: int) -> int:
    lease = view.function(run.event.slug, run.event.version).function.lease_ms
    return received + lease if lease else 0


def _step(command: Update) -> dict[str, str]:
    return {"last_step": command.step} if command.step else {}


def _refusal(view: View, run: Run, command: Update, received: int) -> str | None:
    """Why an update is ignored, or None if it applies."""
    row = run.row
    if command.run_id and command.attempt != row.attempt:
        return "wrong_attempt"
    status = command.status
    if row.status == Status.CANCELLED:
        # The worker may still be in a step: its lease goes on until it says `stopped`.
        follows = (
            status in ("heartbeat", "stopped")
            and not row.stopped_at
            and _holds(row.worker, command.worker)
        )
        return None if follows else "ended"
    if run.ended:
        return "ended"
    if status == "running":
        return _claim_refusal(run, command)
    if status == "sleeping" and _sleeps_too_long(view, run, command, received):
        return "sleeps_too_long"
    return None if _may_follow(row, command) else "illegal_move"


def _may_follow(row: RunRow, command: Update) -> bool:
    """Whether an update other than a claim may follow on an unfinished run's row."""
    match command.status:
        case "heartbeat":
            return row.status == Status.RUNNING and _holds(row.worker, command.worker)
        case "sleeping":
            return may_move(row.status, Status.SLEEPING)
        case status:
            return status in _ENDS


def _sleeps_too_long(view: View, run: Run, command: Update, received: int) -> bool:
    function = view.function(run.event.slug, run.event.version).function
    return command.until > received + function.pending_for_ms


def _claim_refusal(run: Run, command: Update) -> str | None:
    row = run.row
    if row.status == Status.SCHEDULED:
        return None if row.dispatch else "not_dispatched"
    if row.status == Status.RUNNING and row.worker == command.worker:
        return None
    return "claimed"


def _holds(holder: str, worker: str) -> bool:
    return not worker or not holder or worker == holder
