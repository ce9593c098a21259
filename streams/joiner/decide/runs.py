"""A run at its home: loads, registers, changes and removes it. `change` makes every new status."""

import msgspec
import orjson

from streams.functions.compiled import CompiledFunction
from streams.joiner.decide import announcements, derive, dues
from streams.joiner.decide.view import Context, View
from topology import codec, keys, tables
from topology.records import Json, Listener, Register, Request, Unlisten
from topology.statuses import ENDED, Cause, Status, may_move
from topology.tables import REGISTERED, EventRow, RunRow


class Run:
    """A run: its id, what never changes of it, and what does."""

    __slots__ = ("event", "id", "row")

    def __init__(self, run_id: bytes, event: EventRow, row: RunRow) -> None:
        self.id = run_id
        self.event = event
        self.row = row

    @property
    def ended(self) -> bool:
        """Whether the run's status never changes again."""
        return self.row.status in ENDED


def load(view: View, run_id: bytes) -> Run | None:
    """The run of an id, or None if this partition has none."""
    event = event_of(view, run_id)
    if event is None:
        return None
    row = view.get(tables.run_row_key(run_id))
    return Run(run_id, event, as_registered(event) if row is None else codec.RUN_ROWS.decode(row))


def event_of(view: View, run_id: bytes) -> EventRow | None:
    """What never changes of a run, or None if this partition has no such run."""
    value = view.get(tables.event_row_key(run_id))
    return None if value is None else codec.EVENT_ROWS.decode(value)


def listed(view: View, run_id: bytes, event: EventRow, letter: bytes) -> Run:
    """A run from its function's list, which has its status as a `letter`.

    If the letter says that the run has no `RunRow`, none is looked up.
    """
    key = tables.run_row_key(run_id)
    value = view.get(key) if letter != REGISTERED or key in view.changed else None
    row = as_registered(event) if value is None else codec.RUN_ROWS.decode(value)
    return Run(run_id, event, row)


def registered(view: View, run_id: bytes) -> Run:
    """The run of an id that is known to be registered."""
    run = load(view, run_id)
    assert run is not None, "it was registered"
    return run


def as_registered(event: EventRow) -> RunRow:
    """The row of a run to which nothing has happened yet; it is never written."""
    return RunRow(
        status=Status.SCHEDULED,
        seq=1,
        attempt=1,
        dispatch=not event.dispatch_at,
        at=event.received,
        due=event.due,
    )


def register(
    view: View, context: Context, command: Register, compiled: CompiledFunction
) -> EventRow:
    """Write a new run; its derived rows are still to be made."""
    remote = remote_listeners(view, command, compiled)
    due = dues.first_due(context.received, command.dispatch_at, compiled.function)
    event = EventRow(
        compiled.slug,
        compiled.version,
        context.received,
        context.position,
        command.event_key,
        context.event,
        due,
        tuple(listener for listener in command.listeners if listener not in remote)
        if remote
        else command.listeners,
        remote,
        command.dispatch_at,
        command.replay_of,
        command.replay_id,
        kept_identity(context, compiled),
    )
    view.put(tables.event_row_key(command.run_id), codec.EVENT_ROWS.encode(event))
    count_new(view, compiled, 1)
    return event


def count_new(view: View, compiled: CompiledFunction, number: int) -> None:
    """Count new runs of a function's version."""
    view.pending += number
    view.runs_of[compiled.slug, compiled.version] += number
    view.counts["runs", "scheduled"] += number


def kept_identity(context: Context, compiled: CompiledFunction) -> bytes:
    """The identity of an event that a run's row keeps: none if the run is of level 1."""
    return context.identity if compiled.knows_identity else b""


def begin(view: View, run_id: bytes, event: EventRow, app: str) -> None:
    """Make the derived rows of a new run, and announce it as scheduled."""
    view.derive_rows(derive.run_rows(run_id, event, None))
    announcements.scheduled(view, run_id, event, app)


def begin_waiting(
    view: View, run_id: bytes, event: EventRow, compiled: CompiledFunction, *, kept_back: bool
) -> None:
    """Like `begin`, for a run that isn't dispatched yet.

    It is `kept_back` because its function is paused (S28), or has much to meet first (S39).
    """
    row = msgspec.structs.replace(as_registered(event), dispatch=False, kept_back=kept_back)
    row = msgspec.structs.replace(row, due=dues.next_due(event, row, compiled))
    view.put(tables.run_row_key(run_id), codec.RUN_ROWS.encode(row))
    view.derive_rows(derive.run_rows(run_id, event, row))
    announcements.changed(view, run_id, event, row, None, compiled.function.app)


def change(view: View, run: Run, status: Status, **fields: object) -> None:
    """Give a run a status (maybe the same) and other fields of its row; write and announce it.

    Raises:
        ValueError: a run of its status can't get the new one; callers check that first.
    """
    before = run.row
    if status != before.status and not may_move(before.status, status):
        raise ValueError(f"a run can't go from {before.status} to {status}")
    row = msgspec.structs.replace(before, status=status, seq=before.seq + 1, at=view.now, **fields)
    compiled = view.function(run.event.slug, run.event.version)
    write(view, run, row, compiled)
    app = compiled.function.app
    announcements.changed(view, run.id, run.event, run.row, before.status, app)
    if status != before.status:
        view.count("runs", status)
        if run.ended:
            view.pending -= 1
            stop_listening(view, run.id, run.event.remote)


def write(view: View, run: Run, row: RunRow, compiled: CompiledFunction) -> None:
    """Write a run's new row, after setting its `due`, and the rows that are derived from it."""
    old, run.row = run.row, row
    msgspec.structs.force_setattr(row, "due", dues.next_due(run.event, row, compiled))
    view.put(tables.run_row_key(run.id), codec.RUN_ROWS.encode(row))
    view.derive_rows(derive.moved_rows(run.id, run.event, old, row))


def announce(view: View, run: Run) -> None:
    """Announce a run's current state once more: its status is that before, too."""
    app = view.function(run.event.slug, run.event.version).function.app
    announcements.changed(view, run.id, run.event, run.row, run.row.status, app)


def cancel(view: View, run: Run, kind: Cause, cause: bytes, cancellation: bytes = b"") -> None:
    """Cancel a run and send its one `function.cancelled` (S7).

    `cause` is JSON from the function `cause`, `cancellation` the id of a cancellation, if any.
    """
    view.count("cancels", kind)
    if run.row.seq == 1 and not run.row.kept_back:
        cancel_as_registered(view, run, cause, cancellation)
    else:
        cancel_changed(view, run, cause, cancellation)


def cancel_changed(view: View, run: Run, cause: bytes, cancellation: bytes) -> None:
    """Cancel a run to which anything may have happened."""
    before = run.row
    change(
        view,
        run,
        Status.CANCELLED,
        ended_at=view.now,
        cause=cause,
        dispatch=False,
        cancellation=cancellation,
    )
    announcements.cancelled(view, run.id, run.event, before, cause)


def cancel_as_registered(view: View, run: Run, cause: bytes, cancellation: bytes) -> None:
    """Cancel a run to which nothing has happened, as most are: as `cancel_changed`, in fewer steps.

    `tests/properties/test_cancelled.py` compares the two.
    """
    event, now = run.event, view.now
    compiled = view.function(event.slug, event.version)
    row = RunRow(
        status="cancelled",
        seq=2,
        attempt=1,
        dispatch=False,
        at=now,
        due=dues.removal(now, event, compiled.function),
        ended_at=now,
        cause=cause,
        cancellation=cancellation,
    )
    view.put(tables.run_row_key(run.id), codec.RUN_ROWS.encode(row))
    view.derive_rows(derive.moved_rows(run.id, event, run.row, row))
    run.row = row
    records = view.cancel_records.get(compiled)
    if records is None:
        records = view.cancel_records[compiled] = announcements.cancel_records(view, compiled)
    view.send(*records(run.id, event, cause, cancellation))
    view.count("runs", "cancelled")
    view.pending -= 1
    if event.remote:
        stop_listening(view, run.id, event.remote)


def cause(
    kind: Cause, *, event: Json = None, rule: Json = None, request: Request | None = None
) -> bytes:
    """The JSON that says why runs are cancelled (design 2.1); a slice makes it once."""
    cancellation = request is not None and kind == Cause.CANCELLATION
    return orjson.dumps(
        {
            "type": kind,
            "event": event,
            "rule": rule,
            "cancellation_id": keys.run_id_text(request.id) if request and cancellation else None,
            "reason": request.reason if request else None,
            "requested_by": request.by if request else None,
        }
    )


def remove(view: View, run: Run) -> None:
    """Remove all rows of a run that has ended (S30)."""
    view.put(tables.event_row_key(run.id), None)
    view.put(tables.run_row_key(run.id), None)
    for key in derive.run_rows(run.id, run.event, run.row):
        view.derive(key, None)
    listed = derive.occurrences_key(run.event, run.id, run.event.identity)
    view.derive(listed, derive.occurrences(view.get(listed), run.id, present=False))
    view.runs_of[run.event.slug, run.event.version] -= 1
    announcements.removed(view, run.id, run.event.slug)
    view.count("runs_removed")


def stop_listening(view: View, run_id: bytes, remote: tuple[Listener, ...]) -> None:
    """Tell the other partitions in which a run listens, or would listen, that it no longer does."""
    by_partition: dict[int, list[bytes]] = {}
    for listener in remote:
        target = keys.partition_of_key(listener.key, view.partitions)
        by_partition.setdefault(target, []).append(listener.key)
    for target, match_keys in by_partition.items():
        view.forward(target, Unlisten(run_id, tuple(dict.fromkeys(match_keys))))


def _waits_here(view: View, listener: Listener, compiled: CompiledFunction) -> bool:
    if keys.partition_of_key(listener.key, view.partitions) == view.partition:
        return True
    return compiled.rules[listener.rule].scan_key == listener.key


def remote_listeners(
    view: View, command: Register, compiled: CompiledFunction
) -> tuple[Listener, ...]:
    """Those of a run's listeners that are in other partitions."""
    if len(command.listeners) <= 1:
        return ()  # the first listener decides the home
    return tuple(
        listener for listener in command.listeners if not _waits_here(view, listener, compiled)
    )
