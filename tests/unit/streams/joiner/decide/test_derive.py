"""Rows that are derived from runs: which of an event's runs are in one list."""

from streams.joiner.decide import derive
from topology import keys, tables
from topology.records import Listener, Position
from topology.tables import EventRow

EVENT = b"e" * 16
FIRST, SECOND, THIRD = (bytes([number]) * 16 for number in (1, 2, 3))


def an_event(*match_keys: bytes, replay_id: bytes = b"") -> EventRow:
    """What is known of a run that listens under some keys."""
    return EventRow(
        *("app-function", 1, 0, Position("events", bytes(16), 0, 0), EVENT, b"{}", 0),
        listeners=tuple(Listener(key, 0, 0) for key in match_keys),
        replay_id=replay_id,
    )


def test_a_list_has_each_run_once_in_the_order_of_ids() -> None:
    """Whatever the order in which they come, so that a restore makes the same list."""
    listed = None
    for run_id in (THIRD, FIRST, SECOND, FIRST):
        listed = derive.occurrences(listed, run_id, present=True)
    assert listed == FIRST + SECOND + THIRD


def test_a_list_without_runs_is_no_row() -> None:
    """The last run takes its list with it; one that isn't in the list changes nothing."""
    assert derive.occurrences(FIRST + SECOND, FIRST, present=False) == SECOND
    assert derive.occurrences(SECOND, FIRST, present=False) == SECOND
    assert derive.occurrences(SECOND, SECOND, present=False) is None
    assert derive.occurrences(None, SECOND, present=False) is None


def test_runs_of_one_event_and_home_key_share_a_list() -> None:
    """S3: the first match key is the home key if it is indexed, else the event's key is."""
    match_key = b"m" * 16
    indexed = keys.run_id(0, match_key, EVENT)
    other = keys.run_id(0, EVENT, EVENT)

    assert derive.occurrences_key(an_event(match_key), indexed, b"") == tables.occurrences_key(
        EVENT, match_key
    )
    for event in (an_event(match_key), an_event()):
        assert derive.occurrences_key(event, other, b"") == tables.occurrences_key(EVENT, EVENT)


def test_at_level_2_a_list_has_one_identity_and_home_key() -> None:
    """S3: both are in a run's id, but for its time; a replay's id has the replay, too."""
    ids = [
        keys.run_id(time, home, EVENT, replay, identity)
        for time in (0, 1)
        for home in (b"m" * 16, b"m" * 15 + b"n")
        for identity in (b"i" * 16, b"j" * 16)
        for replay in (b"", b"r" * 32)
    ]
    event = an_event(b"m" * 16)
    lists = {derive.occurrences_key(event, run_id, b"i" * 16) for run_id in ids}
    assert len(set(ids)) == 16
    assert len(lists) == 8
    assert all(one.startswith(tables.by_event_prefix(EVENT)) for one in lists)


def test_a_replay_is_alone_in_its_list() -> None:
    """S3: a replay is no occurrence of its event, and any number of them makes no list longer."""
    match_key = b"m" * 16
    lists = {
        derive.occurrences_key(
            an_event(match_key, replay_id=request), keys.run_id(0, match_key, EVENT, request), b""
        )
        for request in (b"", FIRST, SECOND)
    }
    assert len(lists) == 3
