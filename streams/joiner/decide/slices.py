"""Long work in slices: one bounded step per transaction, with live commands between (S24)."""

from collections.abc import Callable

import msgspec

from streams.joiner.decide import requests
from streams.joiner.decide.commands import cancel_events, cancellations, pauses, replays
from streams.joiner.decide.requests import Tally
from streams.joiner.decide.view import View
from topology import codec, keys, limits, tables
from topology.records import CancelRuns, Pause
from topology.tables import LISTED_RUN, FanOutRow, RequestRow


def work(view: View, key: bytes) -> None:
    """Do the next slice of a work row."""
    if key[:1] == tables.FAN_OUTS:
        _fan_out(view, key)
    else:
        _scan(view, view.requests[key])


def _fan_out(view: View, key: bytes) -> None:
    """Let a cancel event meet its next listeners; the row goes when it has met all."""
    value = view.get(key)
    assert value is not None, "a work row in hand exists"
    row = codec.FAN_OUT_ROWS.decode(value)
    cursor = cancel_events.fan_out_slice(
        view, row.cancel, key[tables.FAN_OUT_MATCH_KEY], row.cursor
    )
    if cursor is None:
        view.put(key, None)
    else:
        view.put(key, codec.FAN_OUT_ROWS.encode(FanOutRow(row.cancel, cursor)))


def _scan(view: View, row: RequestRow) -> None:
    """Let a request meet its function's next runs, in the order of their received times."""
    command, tally = row.command, Tally(row)
    after, before = _range(row)
    if isinstance(command, CancelRuns):
        decide = cancellations.decider(view, command, tally)
    elif isinstance(command, Pause):
        decide = pauses.decider(view, row, tally)
    else:
        decide = replays.decider(view, row, command, tally)
    cursor, ended = _next_runs(view, row.cursor, command.function, after, before, decide)
    row = msgspec.structs.replace(requests.tallied(row, tally), cursor=cursor, scanning=not ended)
    if ended:
        row = _scanned(view, row)
    requests.write(view, row)


def _next_runs(  # noqa: PLR0913, PLR0917  # the parts of a range
    view: View,
    cursor: bytes,
    slug: str,
    after: int,
    before: int,
    decide: Callable[[bytes, bytes], int],
) -> tuple[bytes, bool]:
    """Decide on runs beyond `cursor` until a bound is reached; how far that is, and if it is all.

    `decide` takes a run's id and the letter of its status, and says how many decisions that was.
    """
    prefix = tables.by_function_prefix(slug)
    cursor = cursor or tables.by_function_from(slug, after + 1)
    end = tables.by_function_from(slug, before)
    decisions = 0
    for scanned, (key, letter) in enumerate(view.scan(prefix, cursor)):
        if key >= end:
            return cursor, True
        if (
            decisions >= limits.SLICE_DECISIONS
            or scanned >= limits.SLICE_SCANNED
            or view.bytes >= limits.SLICE_BYTES
        ):
            return cursor, False
        decisions += decide(key[LISTED_RUN], letter)
        cursor = key
    return cursor, True


def _range(row: RequestRow) -> tuple[int, int]:
    """The received times between which a request looks at runs, both exclusive."""
    command = row.command
    if not isinstance(command, Pause):
        return command.after, command.before
    # One that cancels nothing yet keeps back those that were received after it.
    return 0 if row.state == requests.RUNNING else row.received, keys.TIME_END_MS - 1


def _scanned(view: View, row: RequestRow) -> RequestRow:
    """The row of a request that has met every run there is."""
    if isinstance(row.command, CancelRuns):
        return cancellations.scanned(view, row, row.command)
    if isinstance(row.command, Pause):
        return pauses.scanned(view, row, row.command)
    return requests.finish(row, requests.DONE)
