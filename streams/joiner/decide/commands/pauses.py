"""Pauses (S28) keep back and skip the runs that are received while a function is paused.

The runs before them are cancelled now, later or never. Whether a function was paused when a run was
received is known once the watermark has passed the run: then no earlier `resume` can come any more.
"""

from typing import Final

import msgspec

from streams.joiner.decide import requests, runs
from streams.joiner.decide.requests import Decide, Tally
from streams.joiner.decide.runs import Run
from streams.joiner.decide.view import Context, View
from topology import keys
from topology.records import Pause, Resume
from topology.statuses import Cause, Status
from topology.tables import UNFINISHED_LETTERS, EventRow, RequestRow

NOW: Final = "now"
LATER: Final = "later"


def pause(view: View, context: Context, command: Pause) -> None:
    """Begin a pause; an earlier pause no longer cancels unfinished runs."""
    if not requests.is_new(view, command):
        return
    for earlier, _ in requests.of_function(view, Pause, command.function):
        if not earlier.resumed_at and earlier.state not in requests.FINISHED:
            requests.write(view, _planless(earlier))
    state = requests.RUNNING if command.running == NOW else requests.QUEUED
    requests.write(view, RequestRow(command, context.received, state, scanning=True))


def resume(view: View, context: Context, command: Resume) -> None:
    """End a function's pauses: they cancel no more runs."""
    for paused, _ in requests.of_function(view, Pause, command.function):
        if paused.resumed_at:
            continue
        row = paused if paused.state in requests.FINISHED else _planless(paused)
        # Runs that were received before are still skipped, until the watermark has passed.
        due = 0 if row.scanning else context.received
        requests.write(view, msgspec.structs.replace(row, resumed_at=context.received, due=due))


def covers(view: View, slug: str, received: int) -> bool:
    """Whether a function was paused when a run was received."""
    return any(_lasts(row, received) for row, _ in requests.of_function(view, Pause, slug))


def between(row: RequestRow, _command: Pause) -> tuple[int, int]:
    """The received times (ms) between which a pause looks at runs, both exclusive."""
    # A pause that isn't cancelling looks for the runs after it, to keep them back.
    return 0 if row.state == requests.RUNNING else row.received, keys.TIME_END_MS - 1


def decider(view: View, row: RequestRow, _command: Pause, tally: Tally) -> Decide:
    """Makes the decision of a pause on each run of its scan."""
    cause = runs.cause(Cause.PAUSE, request=row.command.request)

    def decide(run_id: bytes, letter: bytes) -> int:
        tally.scanned += 1
        run = runs.load(view, run_id) if letter in UNFINISHED_LETTERS else None
        if run is None or run.ended:
            tally.already_ended += 1
            return int(run is not None)
        if not run.row.kept_back:
            _meet(view, row, run, tally, cause)
        return 1

    return decide


def covers_late(row: RequestRow, run_id: bytes, event: EventRow) -> bool:
    """Whether a new run falls under a request of its function that is a pause, now cancelling.

    Not if its scan will reach the run.
    """
    command = row.command
    return (
        isinstance(command, Pause)
        and event.received <= row.received
        and row.state == requests.RUNNING
        and not requests.is_left_to_scan(row, event.slug, run_id)
    )


def meet_late(view: View, row: RequestRow, run: Run) -> None:
    """Cancel a new run that a pause covers late."""
    if not run.ended:
        tally = Tally(row)
        tally.scanned += 1
        _meet(view, row, run, tally, runs.cause(Cause.PAUSE, request=row.command.request))
        requests.write(view, requests.tallied(row, tally))


def scanned(view: View, row: RequestRow, command: Pause) -> RequestRow:
    """The row after a scan: done, or with a timer for the pause's next step."""
    if row.resumed_at:
        return msgspec.structs.replace(row, due=row.resumed_at)
    if row.state == requests.RUNNING:
        if view.passed(row.received) and not view.is_needed(row.received):
            return msgspec.structs.replace(row, state=requests.DONE)
        return msgspec.structs.replace(row, due=row.received)
    if row.state == requests.QUEUED and command.running == LATER:
        return msgspec.structs.replace(row, due=row.received + command.after_ms)
    if row.state == requests.QUEUED:
        return msgspec.structs.replace(row, state=requests.DONE)
    return row


def fire(view: View, row: RequestRow) -> None:
    """Take a pause's next step, for which it had a timer."""
    assert not row.scanning, "a scan has its own end"
    if row.resumed_at:
        requests.write(view, requests.finish(row, row.state))
    elif row.state == requests.QUEUED:
        again = msgspec.structs.replace(
            row, state=requests.RUNNING, scanning=True, cursor=b"", due=0
        )
        requests.write(view, again)
    else:
        requests.write(view, msgspec.structs.replace(row, state=requests.DONE, due=0))


def release(view: View, run: Run) -> None:
    """Skip a run that was kept back, if its function was paused when it came; or let it go on."""
    if covers(view, run.event.slug, run.event.received):
        runs.change(view, run, Status.SKIPPED, ended_at=view.now, dispatch=False, kept_back=False)
        return
    waits = run.event.dispatch_at and not view.passed(run.event.dispatch_at)
    runs.change(view, run, Status.SCHEDULED, dispatch=not waits, kept_back=False)


def _meet(view: View, row: RequestRow, run: Run, tally: Tally, cause: bytes) -> None:
    """Keep back a run after the pause that hasn't started; cancel one before, if it is time."""
    if run.event.received > row.received and not run.row.started_at:
        if _lasts(row, run.event.received):
            runs.change(view, run, Status.SCHEDULED, dispatch=False, kept_back=True)
    elif row.state == requests.RUNNING:
        tally.matched += 1
        runs.cancel(view, run, Cause.PAUSE, cause)
        tally.cancelled += 1


def _lasts(row: RequestRow, received: int) -> bool:
    """Whether a function was paused at a time (ms), as far as its pause knows."""
    return row.received < received and (not row.resumed_at or received < row.resumed_at)


def _planless(row: RequestRow) -> RequestRow:
    """The pause's row without cancelling unfinished runs; it goes on to keep runs back."""
    return msgspec.structs.replace(row, state=requests.STOPPED, due=0)
