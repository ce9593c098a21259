"""Cancellations apply to the runs that are there and to later ones (S18 to S25)."""

from collections.abc import Callable

import msgspec

from streams.errors import BudgetError, EvaluationError
from streams.joiner.decide import announcements, requests, runs
from streams.joiner.decide.requests import Decide, Tally
from streams.joiner.decide.runs import Run
from streams.joiner.decide.view import Context, View
from topology import limits, tables
from topology.records import CancelRun, CancelRuns, StopCancellation
from topology.statuses import Cause
from topology.tables import UNFINISHED_LETTERS, EventRow, RequestRow


def cancel_runs(view: View, context: Context, command: CancelRuns) -> None:
    """Begin a cancellation; its range ends at its received time at the latest (S18).

    The slack is for clocks that differ.
    """
    if not requests.is_new(view, command):
        return
    before = min(command.before, context.received + limits.REQUEST_SLACK_MS)
    command = msgspec.structs.replace(command, before=before)
    requests.write(view, RequestRow(command, context.received, requests.RUNNING, scanning=True))


def stop_cancellation(view: View, _: Context, command: StopCancellation) -> None:
    """Stop a cancellation; what it has cancelled stays cancelled (S22)."""
    row = view.requests.get(tables.request_key(command.cancellation))
    if row is not None and isinstance(row.command, CancelRuns):
        requests.write(view, requests.finish(row, requests.STOPPED))


def cancel_one(view: View, context: Context, command: CancelRun) -> None:
    """Cancel one run, and announce the outcome (S26)."""
    run = runs.load(view, command.run_id)
    if run is None:
        outcome = "not_found"
    elif run.ended:
        outcome = "already_ended"
    else:
        outcome = "cancelled"
        runs.cancel(view, run, Cause.API, runs.cause(Cause.API, request=command.request))
        view.delayed(context.received)
    announcements.run_answered(view, command, outcome)


def decider(view: View, _row: RequestRow, command: CancelRuns, tally: Tally) -> Decide:
    """Makes the decision of a cancellation on each run of its scan."""
    fits, meet = _fitting(view, command, tally), _meeting(view, command, tally)

    def decide(run_id: bytes, letter: bytes) -> int:
        tally.scanned += 1
        event = runs.event_of(view, run_id) if letter in UNFINISHED_LETTERS else None
        if event is None:
            tally.already_ended += 1
            return 0
        if fits(run_id, event):
            run = runs.listed(view, run_id, event, letter)
            if run.ended:  # a timer of this transaction ended it
                tally.already_ended += 1
            else:
                meet(run)
        return 1

    return decide


def scanned(view: View, row: RequestRow, command: CancelRuns) -> RequestRow:
    """The row after the scan: done, once no run that may be in its range is yet to meet it."""
    last = command.before - 1
    if view.passed(last) and not view.is_needed(last):
        return requests.finish(row, requests.DONE)
    return msgspec.structs.replace(row, due=last)


def covers_late(row: RequestRow, run_id: bytes, event: EventRow) -> bool:
    """Whether a new run falls under a request of its function that is a cancellation (S19).

    Not if its scan will reach the run.
    """
    command = row.command
    return (
        isinstance(command, CancelRuns)
        and command.after < event.received < command.before
        and not requests.is_left_to_scan(row, event.slug, run_id)
    )


def meet_late(view: View, row: RequestRow, command: CancelRuns, run: Run) -> None:
    """Apply a cancellation to a new run that falls under it."""
    tally = Tally(row)
    tally.scanned += 1
    if run.ended:  # a held row or another cancellation ended it
        tally.already_ended += 1
    elif _fitting(view, command, tally)(run.id, run.event):
        _meeting(view, command, tally)(run)
    requests.write(view, requests.tallied(row, tally))


def _fitting(view: View, command: CancelRuns, tally: Tally) -> Callable[[bytes, EventRow], bool]:
    """Makes the check whether a cancellation's condition is true for a run (id and event)."""
    if command.condition is None:
        return lambda _run_id, _event: True
    evaluate, request_id = view.functions.condition(command.condition).evaluate, command.request.id

    def fits(run_id: bytes, event: EventRow) -> bool:
        try:
            return evaluate(view.parsed(event.event), None, view.meter)
        except (EvaluationError, BudgetError) as error:
            tally.failed += 1
            announcements.failed_on(view, request_id, run_id, str(error))
            return False

    return fits


def _meeting(view: View, command: CancelRuns, tally: Tally) -> Callable[[Run], None]:
    """Makes what a cancellation does to an unfinished run for which its condition is true."""
    request, dry_run = command.request, command.dry_run
    cause = runs.cause(Cause.CANCELLATION, request=request)

    def meet(run: Run) -> None:
        tally.matched += 1
        if dry_run:
            tally.take(run.id)
            return
        runs.cancel(view, run, Cause.CANCELLATION, cause, request.id)
        tally.cancelled += 1

    return meet
