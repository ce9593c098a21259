"""A request's row in one partition: what it asks and how far it is.

All changes go through `write`; what people are told of them goes out once per transaction.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

import msgspec

from streams.joiner.decide import announcements, derive
from streams.joiner.decide.view import View
from topology import codec, limits, tables
from topology.records import CancelRuns, LongRequest, Replay
from topology.tables import Counts, RequestRow

C = TypeVar("C", bound=LongRequest)
# Decides on one run of a scan, from its id and the letter of its status in its function's list;
# returns for how many of a slice's decisions that counts.
Decide: TypeAlias = Callable[[bytes, bytes], int]

RUNNING = "running"
QUEUED = "queued"
DONE = "done"
STOPPED = "stopped"
FINISHED = frozenset({DONE, STOPPED})


class Tally:
    """A request's counts while it is worked on."""

    __slots__ = ("already_ended", "cancelled", "failed", "matched", "replayed", "sample", "scanned")

    def __init__(self, row: RequestRow) -> None:
        self.scanned = row.counts.scanned
        self.matched = row.counts.matched
        self.cancelled = row.counts.cancelled
        self.replayed = row.counts.replayed
        self.already_ended = row.counts.already_ended
        self.failed = row.counts.failed
        self.sample = row.sample

    def take(self, run_id: bytes) -> None:
        """Show this run to whoever asked for a dry run, if it is one of the first."""
        if len(self.sample) < limits.SAMPLE:
            self.sample = (*self.sample, run_id)

    def counts(self) -> Counts:
        """The counts as they are now."""
        return Counts(
            self.scanned,
            self.matched,
            self.cancelled,
            self.replayed,
            self.already_ended,
            self.failed,
        )


def is_new(view: View, command: LongRequest) -> bool:
    """Whether the request wasn't seen before; whoever isn't sure that it was written repeats it."""
    if view.get(tables.request_key(command.request.id)) is None:
        return True
    view.count("repeated_requests")
    return False


def write(view: View, row: RequestRow) -> None:
    """Write a request's row, and its timer; it is told of at the end of the transaction."""
    key = tables.request_key(row.command.request.id)
    for timer in derive.request_timer(key, view.get(key)):
        view.derive(timer, None)
    value = codec.REQUEST_ROWS.encode(row)
    view.put(key, value)
    for timer in derive.request_timer(key, value):
        view.derive(timer, b"")
    view.told_of[key] = row
    if row.over:
        view.requests.pop(key, None)
    else:
        view.requests[key] = row


def tallied(row: RequestRow, tally: Tally) -> RequestRow:
    """The row with what was counted."""
    return msgspec.structs.replace(row, counts=tally.counts(), sample=tally.sample)


def finish(row: RequestRow, state: str) -> RequestRow:
    """The row of a request that applies to nothing any more; it stays for a day (see `is_new`)."""
    return msgspec.structs.replace(
        row, state=state, scanning=False, over=True, due=row.received + limits.DEDUPE_MS
    )


def forget(view: View, key: bytes) -> None:
    """Remove the row of a request that is over; its timer has fired."""
    view.put(key, None)


def write_done(view: View, row: RequestRow) -> None:
    """Write the row of a request that is done: no other run can come into its range."""
    write(view, finish(row, DONE))


def range_asked(_row: RequestRow, command: CancelRuns | Replay) -> tuple[int, int]:
    """The received times (ms) between which a command asks for runs, both exclusive."""
    return command.after, command.before


def of_function(view: View, kind: type[C], slug: str) -> Iterator[tuple[RequestRow, C]]:
    """The requests of a kind that apply to a function now, with what they ask."""
    for row in list(view.requests.values()):
        command = row.command
        if isinstance(command, kind) and command.function == slug:
            yield row, command


def tell(view: View) -> None:
    """Tell how far the requests are that this transaction changed."""
    for row in view.told_of.values():
        announcements.progress(view, row)


def is_left_to_scan(row: RequestRow, slug: str, run_id: bytes) -> bool:
    """Whether a request's scan is still to come to a run, so that nobody else decides on it."""
    return row.scanning and tables.by_function_key(slug, run_id) > row.cursor
