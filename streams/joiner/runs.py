"""A run at its home: registered, changed, written, announced.

All status changes go through `change`.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
import orjson

from streams.functions.compiled import CompiledFunction
from streams.joiner import derive
from streams.joiner.view import Context, Headers, View
from topology import codec, keys, limits, tables
from topology.records import Function, Json, Listener, Register, Unlisten
from topology.statuses import ENDED, Status, may_move
from topology.tables import EventRow, RunRow

_ENDED: Final = frozenset(str(status) for status in ENDED)
# A template and not a dict to encode: every registration makes one, and the event goes in as it
# came.
_RECORD: Final = (
    b'{"v":1,"run_id":"%s","function_id":"%s","app_id":"%s","function_version":%d,"status":"%s","seq":%d,"attempt":%d,"dispatch":%s,"at":%d,'
    b'"scheduled_at":%d,"source":{"topic":"%s","partition":%d,"offset":%d},"event":%s}'
)
_ERROR: Final = {"name": "Error", "message": "function cancelled", "error": "function cancelled"}


class Run:
    """A run as this partition knows it: what never changes, and what does."""

    __slots__ = ("event", "id", "row")

    def __init__(self, run_id: bytes, event: EventRow, row: RunRow) -> None:
        self.id = run_id
        self.event = event
        self.row = row

    @property
    def ended(self) -> bool:
        """Whether its status never changes again."""
        return self.row.status in _ENDED


def load(view: View, run_id: bytes) -> Run | None:
    """The run of an id, or None where this home has none."""
    value = view.get(tables.event_row_key(run_id))
    if value is None:
        return None
    event = codec.EVENT_ROWS.decode(value)
    row = view.get(tables.run_row_key(run_id))
    return Run(
        run_id, event, codec.RUN_ROWS.decode(row) if row is not None else as_registered(event)
    )


def as_registered(event: EventRow) -> RunRow:
    """The row of a run that nothing has happened to yet; it is not written."""
    return RunRow(
        status=Status.SCHEDULED,
        seq=1,
        attempt=1,
        dispatch=not event.dispatch_at,
        at=event.received,
        due=event.due,
    )


def register(
    view: View,
    context: Context,
    command: Register,
    compiled: CompiledFunction,
    listed: bytes | None,
) -> Run:
    """Write a new run and announce it; `listed`: the runs that its event has already."""
    remote = remote_listeners(view, command, compiled)
    local = (
        tuple(one for one in command.listeners if one not in remote)
        if remote
        else command.listeners
    )
    event = EventRow(
        slug=compiled.slug,
        version=compiled.version,
        received=context.received,
        position=context.position,
        event_key=command.event_key,
        event=context.event,
        due=_first_due(context.received, command.dispatch_at, compiled.function),
        listeners=local,
        remote=remote,
        dispatch_at=command.dispatch_at,
    )
    view.put(tables.event_row_key(command.run_id), codec.EVENT_ROWS.encode(event))
    view.derive_all(derive.run_rows(command.run_id, event, None))
    by_event = tables.by_event_key(command.event_key)
    view.derive(by_event, derive.event_list(listed, command.run_id, present=True))
    run = Run(command.run_id, event, as_registered(event))
    announce(view, run, compiled)
    view.pending += 1
    view.count("runs", Status.SCHEDULED)
    return run


def change(view: View, run: Run, status: Status, **fields: object) -> None:
    """Move a run to a status (or keep it), write it, announce it.

    Raises:
        ValueError: the move is illegal; the caller checks first.
    """
    before = run.row
    if status != before.status and not may_move(Status(before.status), status):
        raise ValueError(f"a run can't go from {before.status} to {status}")
    row = msgspec.structs.replace(before, status=status, seq=before.seq + 1, at=view.now, **fields)
    compiled = view.function(run.event.slug, run.event.version)
    write(view, run, row, compiled)
    announce(view, run, compiled, before.status)
    if status != before.status:
        view.count("runs", status)
        if run.ended:
            view.pending -= 1
            _stop_listening(view, run)


def write(view: View, run: Run, row: RunRow, compiled: CompiledFunction) -> None:
    """Write a run's row and what is derived from it, without announcing it."""
    old = derive.run_rows(run.id, run.event, run.row)
    run.row = msgspec.structs.replace(row, due=_due(run.event, row, compiled))
    view.put(tables.run_row_key(run.id), codec.RUN_ROWS.encode(run.row))
    new = derive.run_rows(run.id, run.event, run.row)
    for key in old.keys() - new.keys():
        view.derive(key, None)
    for key in new.keys() - old.keys():
        view.derive(key, new[key])


def cancel(view: View, run: Run, cause: Mapping[str, Json], received: int) -> None:
    """Cancel a run and emit its one `function.cancelled` (S7); `received`: of what cancels it."""
    before = run.row
    encoded = orjson.dumps(cause)
    change(view, run, Status.CANCELLED, ended_at=view.now, cause=encoded, dispatch=False)
    _emit_cancelled(view, run, before, encoded)
    view.count("cancels", str(cause["type"]))
    view.cancel_delays_ms.append(max(0, view.now - received))


def remove(view: View, run: Run) -> None:
    """Forget an ended run with all its rows (S30)."""
    view.put(tables.event_row_key(run.id), None)
    view.put(tables.run_row_key(run.id), None)
    for key in derive.run_rows(run.id, run.event, run.row):
        view.derive(key, None)
    by_event = tables.by_event_key(run.event.event_key)
    view.derive(by_event, derive.event_list(view.get(by_event), run.id, present=False))
    view.emit(
        "runs", keys.run_id_text(run.id).encode(), None, [("function-id", run.event.slug.encode())]
    )
    view.count("removed")


def home_key(event: EventRow, run_id: bytes) -> bytes:
    """The key that decided a run's home: its first indexed listener's, else its event key."""
    if event.listeners and event.listeners[0].key[:2] == run_id[6:8]:
        return event.listeners[0].key
    return event.event_key


def announce(
    view: View, run: Run, compiled: CompiledFunction, status_before: str | None = None
) -> None:
    """Emit the run's current `runs` record (design 2.2)."""
    event, row = run.event, run.row
    run_id = keys.run_id_text(run.id).encode()
    slug = event.slug.encode()
    position = event.position
    record = _RECORD % (
        run_id,
        slug,
        compiled.function.app.encode(),
        event.version,
        row.status.encode(),
        row.seq,
        row.attempt,
        b"true" if row.dispatch and row.status == "scheduled" else b"false",
        row.at,
        event.received,
        position.topic.encode(),
        position.partition,
        position.offset,
        event.event,
    )
    if row.seq > 1:
        record = record[:-1] + b"," + orjson.dumps(_changes(row, status_before))[1:]
    view.emit("runs", run_id, record, [("function-id", slug)])


def _changes(row: RunRow, status_before: str | None) -> dict[str, Json]:
    optional = {
        "status_before": status_before,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "stopped_at": row.stopped_at,
        "sleep_until": row.sleep_until,
        "worker": row.worker,
        "last_step": row.last_step,
        "error": {"name": row.error[0], "message": row.error[1]} if row.error else None,
        "cause": orjson.Fragment(row.cause) if row.cause else None,
    }
    return {name: value for name, value in optional.items() if value}


def _emit_cancelled(view: View, run: Run, before: RunRow, cause: bytes) -> None:
    event = orjson.Fragment(run.event.event)
    run_id = keys.run_id_text(run.id)
    record = {
        "v": 1,
        "name": view.cancelled_name,
        "id": run_id,
        "ts": view.now,
        "data": {
            "function_id": run.event.slug,
            "run_id": run_id,
            "event": event,
            "events": [event],
            "error": _ERROR,
            "cause": orjson.Fragment(cause),
            "run": {
                "status_before": before.status,
                "scheduled_at": run.event.received,
                "started_at": before.started_at or None,
                "last_step": before.last_step or None,
                "attempt": before.attempt,
            },
        },
    }
    headers: Headers = [
        ("function-id", run.event.slug.encode()),
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", run_id.encode()),
        ("ce_type", view.cancelled_name.encode()),
        ("ce_source", b"countermand"),
    ]
    view.emit("cancelled", run_id.encode(), orjson.dumps(record), headers)


def _stop_listening(view: View, run: Run) -> None:
    stop_listening(view, run.id, run.event.remote)


def stop_listening(view: View, run_id: bytes, remote: tuple[Listener, ...]) -> None:
    """Tell the other partitions in which a run listens, or would, that it no longer does."""
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
    """Those of a run's listeners that wait in other partitions."""
    if len(command.listeners) <= 1:
        return ()  # the first decides the home
    return tuple(
        listener for listener in command.listeners if not _waits_here(view, listener, compiled)
    )


def _first_due(received: int, dispatch_at: int, function: Function) -> int:
    """When something first happens by itself to a run as registered; see `_due`."""
    due = received + function.pending_for_ms
    if function.start_timeout_ms is not None:
        due = min(due, max(received, dispatch_at) + function.start_timeout_ms)
    return min(due, dispatch_at) if dispatch_at else due


def _due(event: EventRow, row: RunRow, compiled: CompiledFunction) -> int:
    """The earliest time at which something happens to a run by itself."""
    function = compiled.function
    if row.status in _ENDED:
        gone = max(row.ended_at + function.retention_ms, event.received + limits.DEDUPE_MS)
        lingers = row.status == Status.CANCELLED and row.lease_until and not row.stopped_at
        return min(gone, row.lease_until) if lingers else gone
    return min(due for due, _ in due_times(event, row, compiled))


def due_times(event: EventRow, row: RunRow, compiled: CompiledFunction) -> list[tuple[int, str]]:
    """When what happens to an unfinished run by itself (S27, S30, leases, wake-ups, `ts`)."""
    function = compiled.function
    times = [(event.received + function.pending_for_ms, "expire")]
    if (
        row.status == Status.SCHEDULED
        and not row.dispatch
        and event.dispatch_at
        and row.attempt == 1
    ):
        times.append((event.dispatch_at, "dispatch"))
    if function.start_timeout_ms is not None and not row.started_at:
        times.append(
            (max(event.received, event.dispatch_at) + function.start_timeout_ms, "start_timeout")
        )
    if function.finish_timeout_ms is not None and row.started_at:
        times.append((row.started_at + function.finish_timeout_ms, "finish_timeout"))
    if row.status == Status.SLEEPING:
        times.append((row.sleep_until, "wake"))
    if row.status == Status.RUNNING and row.lease_until:
        times.append((row.lease_until, "lease"))
    return times
