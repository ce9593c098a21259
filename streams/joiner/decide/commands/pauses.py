"""Pauses (S28): runs received from then on are kept back and skipped.

Those that are unfinished are cancelled now, later or never. A run is skipped if its function was
paused when it was received. That is known once the watermark has passed it: then no `resume` that
was received earlier can come any more.
"""

from typing import Final

import msgspec

from streams.joiner.decide import requests, runs
from streams.joiner.decide.context import Context
from streams.joiner.decide.requests import Decide, Tally
from streams.joiner.decide.runs import Run
from streams.joiner.decide.view import View
from topology import keys
from topology.records import Pause, Resume
from topology.statuses import Cause, Status
from topology.tables import UNFINISHED_LETTERS, RequestRow

NOW: Final = "now"
LATER: Final = "later"


def pause(view: View, context: Context, command: Pause) -> None:
    """Begin a pause; where there is one already, its plan for unfinished runs is dropped."""
    if not requests.is_new(view, command):
        return
    for earlier, _ in requests.of_function(view, Pause, command.function):
        if not earlier.resumed_at and earlier.state not in requests.FINISHED:
            requests.write(view, _planless(earlier))
    state = requests.RUNNING if command.running == NOW else requests.QUEUED
    requests.write(view, RequestRow(command, context.received, state, scanning=True))


def resume(view: View, context: Context, command: Resume) -> None:
    """End a function's pauses: what has not happened yet doesn't happen."""
    for paused, _ in requests.of_function(view, Pause, command.function):
        if paused.resumed_at:
            continue
        row = paused if paused.state in requests.FINISHED else _planless(paused)
        # Runs that were received before are skipped all the same, so it applies until the
        # watermark has passed.
        due = 0 if row.scanning else context.received
        requests.write(view, msgspec.structs.replace(row, resumed_at=context.received, due=due))


def covers(view: View, slug: str, received: int) -> bool:
    """Whether a function was paused when a run was received."""
    return any(_lasts(row, received) for row, _ in requests.of_function(view, Pause, slug))


def received(row: RequestRow, _command: Pause) -> tuple[int, int]:
    """The received times (ms) between which a pause looks at runs, both exclusive."""
    # One that cancels nothing yet keeps back those that were received after it.
    return 0 if row.state == requests.RUNNING else row.received, keys.TIME_END_MS - 1


def decider(view: View, row: RequestRow, _command: Pause, tally: Tally) -> Decide:
    """What a pause does to each run of its scan."""
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


def meet_late(view: View, run: Run) -> None:
    """A run was registered that was received before the pause: it is unfinished like others."""
    for row, _ in requests.of_function(view, Pause, run.event.slug):
        if run.ended:
            return
        late = run.event.received <= row.received and row.state == requests.RUNNING
        if late and not requests.is_left_to_scan(row, run.event.slug, run.id):
            tally = Tally(row)
            tally.scanned += 1
            _meet(view, row, run, tally, runs.cause(Cause.PAUSE, request=row.command.request))
            requests.write(view, requests.tallied(row, tally))


def scanned(view: View, row: RequestRow, command: Pause) -> RequestRow:
    """Every run there is was met: wait for what is next."""
    if row.resumed_at:
        return msgspec.structs.replace(row, due=row.resumed_at)
    if row.state == requests.RUNNING:
        if view.passed(row.received):
            return msgspec.structs.replace(row, state=requests.DONE)
        return msgspec.structs.replace(row, due=row.received)
    if row.state == requests.QUEUED and command.running == LATER:
        return msgspec.structs.replace(row, due=row.received + command.after_ms)
    if row.state == requests.QUEUED:
        return msgspec.structs.replace(row, state=requests.DONE)
    return row


def fire(view: View, row: RequestRow) -> None:
    """The watermark has passed what a pause waited for; nothing is due while it scans."""
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
    """The watermark has passed a run that was kept back: it is skipped, or goes on."""
    if covers(view, run.event.slug, run.event.received):
        runs.change(view, run, Status.SKIPPED, ended_at=view.now, dispatch=False, kept_back=False)
        return
    waits = run.event.dispatch_at and not view.passed(run.event.dispatch_at)
    runs.change(view, run, Status.SCHEDULED, dispatch=not waits, kept_back=False)


def _meet(view: View, row: RequestRow, run: Run, tally: Tally, cause: bytes) -> None:
    """Keep a run back that nobody has started; others are unfinished ones."""
    if run.event.received > row.received and not run.row.started_at:
        if _lasts(row, run.event.received):
            runs.change(view, run, Status.SCHEDULED, dispatch=False, kept_back=True)
    elif row.state == requests.RUNNING:
        tally.matched += 1
        runs.cancel(view, run, Cause.PAUSE, cause)
        tally.cancelled += 1


def _lasts(row: RequestRow, received: int) -> bool:
    """Whether a pause had begun and not ended yet at a time."""
    return row.received < received and (not row.resumed_at or received < row.resumed_at)


def _planless(row: RequestRow) -> RequestRow:
    """The pause without its plan for unfinished runs; it goes on to keep others back."""
    return msgspec.structs.replace(row, state=requests.STOPPED, due=0)
