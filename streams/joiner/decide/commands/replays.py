"""Replays send the events of ended runs to the router, like events received now (S29)."""

from hashlib import blake2b

from streams.joiner.decide import announcements, requests, runs
from streams.joiner.decide.requests import Decide, Tally
from streams.joiner.decide.view import Context, View
from topology.records import Replay
from topology.tables import LETTERS, RequestRow


def replay(view: View, context: Context, command: Replay) -> None:
    """Begin a replay, unless the request is a repeat."""
    if requests.is_new(view, command):
        requests.write(view, RequestRow(command, context.received, requests.RUNNING, scanning=True))


def decider(view: View, row: RequestRow, command: Replay, tally: Tally) -> Decide:
    """Makes the decision of a replay on each run of its scan."""
    wanted = frozenset(LETTERS[status] for status in command.statuses)

    def decide(run_id: bytes, letter: bytes) -> int:
        tally.scanned += 1
        if command.run not in {b"", run_id}:
            return 0
        run = runs.load(view, run_id) if letter in wanted else None
        if run is None:
            return 0
        if command.cancellation and run.row.cancellation != command.cancellation:
            return 1
        tally.matched += 1
        if command.dry_run:
            tally.take(run_id)
            return 1
        dispatch_at = row.received + _share(run_id, command.spread_ms) if command.spread_ms else 0
        announcements.replayed(view, run_id, run.event, command.request.id, dispatch_at)
        tally.replayed += 1
        return 1

    return decide


def scanned(_view: View, row: RequestRow, _command: Replay) -> RequestRow:
    """The row after the scan: the replay is done."""
    return requests.finish(row, requests.DONE)


def _share(run_id: bytes, spread_ms: int) -> int:
    """A run's delay (ms) within a replay's spread: random, but always the same for the run."""
    chance = int.from_bytes(blake2b(run_id, digest_size=6).digest(), "big")
    return chance * spread_ms >> 48
