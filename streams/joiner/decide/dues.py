"""When something happens to a run by itself (S27, S30, leases, wake-ups, a `ts` to come)."""

from streams.functions.compiled import CompiledFunction
from topology import limits
from topology.records import Function
from topology.statuses import ENDED, Status
from topology.tables import EventRow, RunRow


def first_due(received: int, dispatch_at: int, function: Function) -> int:
    """The time (ms) at which something first happens by itself to a new run; see `next_due`."""
    due = received + function.pending_for_ms
    if function.start_timeout_ms is not None:
        due = min(due, max(received, dispatch_at) + function.start_timeout_ms)
    return min(due, dispatch_at) if dispatch_at else due


def next_due(event: EventRow, row: RunRow, compiled: CompiledFunction) -> int:
    """The earliest time (ms) at which something happens to a run by itself."""
    function = compiled.function
    if row.status in ENDED:
        gone = removal(row.ended_at, event, function)
        lingers = row.status == Status.CANCELLED and row.lease_until and not row.stopped_at
        return min(gone, row.lease_until) if lingers else gone
    return min(due for due, _ in due_times(event, row, compiled))


def removal(ended_at: int, event: EventRow, function: Function) -> int:
    """The time (ms) from which on a run that ended at a time is no longer kept (S30)."""
    return max(ended_at + function.retention_ms, event.received + limits.DEDUPE_MS)


def due_times(event: EventRow, row: RunRow, compiled: CompiledFunction) -> list[tuple[int, str]]:
    """All that may happen to an unfinished run by itself: pairs of a time (ms) and a name."""
    function = compiled.function
    times = [(event.received + function.pending_for_ms, "expire")]
    if row.kept_back:
        times.append((event.received, "release"))
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
