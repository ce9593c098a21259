"""A long request's row in one partition: what is asked, and how far the partition is with it.

All changes go through `write`. Each transaction announces a changed request once.
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
FAILED = "failed"
FINISHED = frozenset({DONE, STOPPED, FAILED})


class Tally:
    """A request's counts and sample while a slice changes them."""

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
        """Add a run to the sample of a dry run, unless the sample is full."""
        if len(self.sample) < limits.SAMPLE:
            self.sample = (*self.sample, run_id)

    def counts(self) -> Counts:
        """The counts for the request's row."""
        return Counts(
            self.scanned,
            self.matched,
            self.cancelled,
            self.replayed,
            self.already_ended,
            self.failed,
        )


def is_new(view: View, command: LongRequest) -> bool:
    """Whether a request comes for the first time: a client that got no answer sends it again."""
    if view.get(tables.request_key(command.request.id)) is None:
        return True
    view.count("repeated_requests")
    return False


def write(view: View, row: RequestRow) -> None:
    """Write a request's row and timer, and announce it at the end of the transaction."""
    key = tables.request_key(row.command.request.id)
    for timer in derive.request_timer(key, view.get(key)):
        view.derive(timer, None)
    value = codec.REQUEST_ROWS.encode(row)
    view.put(key, value)
    for timer in derive.request_timer(key, value):
        view.derive(timer, b"")
    view.told_of[key] = row
    view.keep_request(key, row)


def tallied(row: RequestRow, tally: Tally) -> RequestRow:
    """The row with the counts and the sample of a tally."""
    return msgspec.structs.replace(row, counts=tally.counts(), sample=tally.sample)


def finish(row: RequestRow, state: str) -> RequestRow:
    """The row of a request that is over; it stays for a day, so that repeats do nothing."""
    return msgspec.structs.replace(
        row, state=state, scanning=False, over=True, due=row.received + limits.DEDUPE_MS
    )


def forget(view: View, key: bytes) -> None:
    """Remove the row of a request that is over, when its timer fires."""
    view.put(key, None)


def fail(view: View, key: bytes, error: str) -> None:
    """End a request that can't be decided on; what it has done stays done."""
    value = view.get(key)
    if value is not None:
        row = finish(codec.REQUEST_ROWS.decode(value), FAILED)
        write(view, msgspec.structs.replace(row, error=error[: limits.ERROR_MESSAGE_BYTES]))


def write_done(view: View, row: RequestRow) -> None:
    """Write the row of a request that is done: no other run can come into its range."""
    write(view, finish(row, DONE))


def between(_row: RequestRow, command: CancelRuns | Replay) -> tuple[int, int]:
    """The received times (ms) between which a command asks for runs, both exclusive."""
    return command.after, command.before


def of_function(view: View, kind: type[C], slug: str) -> Iterator[tuple[RequestRow, C]]:
    """The requests of a kind that aren't over, for a function: their rows and commands."""
    for row in list(view.requests_of(slug).values()):
        command = row.command
        if isinstance(command, kind):
            yield row, command


def tell(view: View) -> None:
    """Announce the requests that this transaction changed."""
    for row in view.told_of.values():
        announcements.progress(view, row)


def is_left_to_scan(row: RequestRow, slug: str, run_id: bytes) -> bool:
    """Whether a request's scan will reach a run, so that only the scan decides on it."""
    return row.scanning and tables.by_function_key(slug, run_id) > row.cursor
