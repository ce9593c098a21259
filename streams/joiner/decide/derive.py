"""Makes derived rows from facts, when facts are written and when they are restored.

A derived row is not in the changelog; a restore makes the same row again.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TypeAlias

from topology import codec, held_rows, keys, tables
from topology.records import Register
from topology.statuses import ENDED
from topology.tables import LETTERS, REGISTERED, EventRow, RunRow

# Returns the row under a key.
Get: TypeAlias = Callable[[bytes], bytes | None]
# Rows by their keys; None deletes a row.
Rows: TypeAlias = dict[bytes, bytes | None]
# By how much the number of runs changes, by slug and version.
Runs: TypeAlias = defaultdict[tuple[str, int], int]


def run_rows(run_id: bytes, event: EventRow, run: RunRow | None) -> dict[bytes, bytes]:
    """A run's timer, its entry in its function's list, and while unfinished its listeners here.

    Its event's list of occurrences and the number of its version's runs are not among them, since
    other runs are in them, too.
    """
    if run is None:
        due, letter = event.due, REGISTERED
    else:
        due, letter = run.due, LETTERS[run.status]
    rows = {
        tables.timer_key(due, tables.event_row_key(run_id)): b"",
        tables.by_function_key(event.slug, run_id): letter,
    }
    if run is None or run.status not in ENDED:
        for listener in event.listeners:
            rows[tables.listener_key(listener.key, run_id, listener.rule)] = b""
    return rows


def moved_rows(run_id: bytes, event: EventRow, old: RunRow, new: RunRow) -> Rows:
    """The changes from the `run_rows` of a run's old row to those of its new row."""
    rows: Rows = {tables.by_function_key(event.slug, run_id): LETTERS[new.status]}
    if new.due != old.due:
        event_key = tables.event_row_key(run_id)
        rows[tables.timer_key(old.due, event_key)] = None
        rows[tables.timer_key(new.due, event_key)] = b""
    if new.status in ENDED and old.status not in ENDED:
        for listener in event.listeners:
            rows[tables.listener_key(listener.key, run_id, listener.rule)] = None
    return rows


def occurrences_key(run: Register | EventRow, run_id: bytes, identity: bytes) -> bytes:
    """The key of the list that a run is in with all others of its event and home key (S3).

    `identity` is the one that the run's row keeps. With one, the run's id says all but when: it is
    made from event and home key. At level 1, without one, it has too little of the home key.

    The home key is the first listener's, if that is indexed, or the event's. A replay is no
    occurrence of its event, so it is alone in its list.
    """
    if identity:
        return tables.occurrences_key(run.event_key, run_id[tables.RUN_WITHOUT_TIME])
    if run.replay_id:
        home = run_id
    elif run.listeners and keys.is_home_key(run.listeners[0].key, run_id):
        home = run.listeners[0].key
    else:
        home = run.event_key
    return tables.occurrences_key(run.event_key, home)


def occurrences(listed: bytes | None, run_id: bytes, *, present: bool) -> bytes | None:
    """A list of runs with a run (if `present`) or without it, oldest first; None if it is empty."""
    if not listed:
        return run_id if present else None
    ids = set(tables.run_ids(listed))
    if present:
        ids.add(run_id)
    else:
        ids.discard(run_id)
    return b"".join(sorted(ids)) or None


def restored(get: Get, facts: Mapping[bytes, bytes | None]) -> Rows:
    """The derived rows that change with some facts of the changelog.

    `get` reads the rows as they were before the facts.
    """
    derived: Rows = {}
    runs_of: Runs = defaultdict(int)
    done = set()
    for key, value in facts.items():
        if key[0] in tables.RUN_SPACES:
            run_id = key[tables.RUN_OF_ROW]
            if run_id not in done:
                done.add(run_id)
                _restore_run(get, facts, run_id, derived, runs_of)
        elif key[0] in tables.HELD_SPACES:
            timer = tables.timer_key(held_rows.held_until(key), key)
            derived[timer] = None if value is None else b""
        elif key[:1] == tables.REQUESTS:
            for timer in request_timer(key, get(key)):
                derived[timer] = None
            for timer in request_timer(key, value):
                derived[timer] = b""
    for version, change in runs_of.items():
        key = tables.runs_of_version_key(*version)
        derived[key] = tables.counted(tables.count_of(get(key)) + change)
    return derived


def request_timer(key: bytes, value: bytes | None) -> list[bytes]:
    """The key of the timer of a request's row, if it has one."""
    due = 0 if value is None else codec.REQUEST_ROWS.decode(value).due
    return [tables.timer_key(due, key)] if due else []


def _restore_run(
    get: Get, facts: Mapping[bytes, bytes | None], run_id: bytes, derived: Rows, runs_of: Runs
) -> None:
    event_key, run_key = tables.event_row_key(run_id), tables.run_row_key(run_id)
    new_event = facts.get(event_key)
    # A run's event is written once, so a run that is written has no rows yet.
    old_event = None if new_event is not None else get(event_key)
    if event_key not in facts:
        new_event = old_event
    old_run = get(run_key) if old_event is not None else None
    new_run = facts.get(run_key, old_run)
    if old_event is not None:
        event = codec.EVENT_ROWS.decode(old_event)
        run = codec.RUN_ROWS.decode(old_run) if old_run is not None else None
        derived.update(dict.fromkeys(run_rows(run_id, event, run)))
        if event_key in facts:
            _restore_occurrences(get, event, run_id, derived, present=False)
            runs_of[event.slug, event.version] -= 1
    if new_event is not None:
        event = codec.EVENT_ROWS.decode(new_event)
        run = codec.RUN_ROWS.decode(new_run) if new_run is not None else None
        derived.update(run_rows(run_id, event, run))
        if event_key in facts:
            _restore_occurrences(get, event, run_id, derived, present=True)
            runs_of[event.slug, event.version] += 1


def _restore_occurrences(
    get: Get, event: EventRow, run_id: bytes, derived: Rows, *, present: bool
) -> None:
    key = occurrences_key(event, run_id, event.identity)
    before = derived[key] if key in derived else get(key)
    derived[key] = occurrences(before, run_id, present=present)
