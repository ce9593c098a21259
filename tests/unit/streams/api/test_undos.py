"""Undos: one replay for each cancellation, whoever asks and whatever happens in between."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, func, insert, select

from streams.api import undos
from streams.api.call.api_key import ApiKey
from streams.api.call.call import Call
from streams.api.call.idempotency import LEASE_MS
from streams.api.call.roles import Role
from streams.api.problems import ProblemError
from streams.clock import now_ms
from streams.database.engine import open_database, writing
from streams.database.schema import REQUESTS, UNDOS
from streams.settings import load
from topology import limits

pytest_plugins = ["tests.support.postgres"]
CANCELLATION = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
UNDO = undos.undo_id(CANCELLATION)
FIRST = "01HMRMPE5ZQ4AMNJ3S2N79QGRA"
SECOND = "01HMRMPE5ZQ4AMNJ3S2N79QGRB"
NOW = 1_700_000_000_000
AT_ONCE = 8


@pytest.fixture
def engine(clean_environment: None, database_url: str) -> Iterator[Engine]:
    """An empty database of each kind."""
    found = open_database(load(database_url=database_url))
    yield found
    found.dispose()


def reserve(engine: Engine, owner: str, now: int = NOW) -> str | None:
    """Ask for the undo as a call; None if it may write, else the id that the refusal names."""
    try:
        with writing(engine) as connection:
            undos.reserve(connection, UNDO, owner, now)
    except ProblemError as refused:
        found = refused
    else:
        return None
    assert (found.status, found.code) == (409, "already_replayed")
    assert found.members["replay_id"] in found.detail
    return found.members["replay_id"]


def written(engine: Engine, owner: str, error: Exception | None = None) -> str:
    """Write the request of a call, or fail to; the id that the request has."""
    call = Call(ApiKey("k", "me", Role.OPERATOR, 0, None), "createReplay", owner, owner, NOW)
    with undos.written_once(engine, call, CANCELLATION):
        if error is not None:
            raise error
    return call.id


def read_back(engine: Engine) -> None:
    """Let the read model have read the request."""
    row = {"request_id": UNDO, "type": "replay", "target": UNDO, "requested_by": "me"}
    with writing(engine) as connection:
        values = row | {"at": NOW, "received_at": NOW, "body": "{}"}
        connection.execute(insert(REQUESTS).values(values))


def undone(engine: Engine, *cancellation_ids: str) -> dict[str, str]:
    """Which cancellations are undone, by which replays."""
    with engine.connect() as connection:
        return dict(undos.undone(connection, cancellation_ids))


def test_the_id_of_an_undo_sorts_at_the_time_of_its_cancellation() -> None:
    """It is another id of that ms, and each cancellation has its own."""
    assert UNDO[:10] == CANCELLATION[:10]
    assert len({CANCELLATION, UNDO, undos.undo_id(FIRST), undos.undo_id(UNDO)}) == 4


def test_of_calls_at_one_moment_one_writes(engine: Engine) -> None:
    """All others learn which replay it is."""
    together = Barrier(AT_ONCE)

    def ask(number: int) -> str | None:
        together.wait()
        return reserve(engine, f"{FIRST[:-1]}{number}")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(AT_ONCE)))
    assert answers.count(None) == 1
    assert answers.count(UNDO) == AT_ONCE - 1


def test_what_is_written_stays_written(engine: Engine) -> None:
    """A year later no run of the cancellation is left, and its row goes."""
    assert written(engine, FIRST) == UNDO
    for later in (0, LEASE_MS + 1, 30 * limits.DAY_MS):
        assert reserve(engine, SECOND, now_ms() + later) == UNDO
    assert reserve(engine, SECOND, now_ms() + limits.LONGEST_MS + 1) is None


def test_a_try_that_failed_leaves_it_to_anybody(engine: Engine) -> None:
    """At once; joiners know the id if its record was on its way."""
    with pytest.raises(ProblemError, match="away"):
        written(engine, FIRST, ProblemError(503, "kafka_unavailable", "away"))
    assert undone(engine, CANCELLATION) == {}
    assert written(engine, SECOND) == UNDO
    assert reserve(engine, FIRST, now_ms()) == UNDO


def test_a_try_whose_process_died_holds_it_for_a_while(engine: Engine) -> None:
    """Its record may be on its way."""
    assert reserve(engine, FIRST) is None
    assert reserve(engine, SECOND, NOW + LEASE_MS - 1) == UNDO
    assert reserve(engine, SECOND, NOW + LEASE_MS) is None


def test_a_record_that_arrived_after_all_is_the_undo(engine: Engine) -> None:
    """For everybody but the call that wrote it: sent again, it shall get its answer."""
    with pytest.raises(ProblemError):
        written(engine, FIRST, ProblemError(503, "kafka_unavailable", "away"))
    read_back(engine)
    assert reserve(engine, SECOND, now_ms()) == UNDO
    assert written(engine, FIRST) == UNDO


def test_undone_is_what_kafka_has(engine: Engine) -> None:
    """Whether the read model has read it, or not yet, or not again; a topic may hold any id."""
    assert undone(engine, CANCELLATION, FIRST, "x", "") == {}
    written(engine, FIRST)
    assert undone(engine, CANCELLATION, FIRST, "x", "") == {CANCELLATION: UNDO}
    read_back(engine)
    assert undone(engine, FIRST, CANCELLATION) == {CANCELLATION: UNDO}
    with writing(engine) as connection:
        connection.execute(UNDOS.delete())
    assert undone(engine, CANCELLATION) == {CANCELLATION: UNDO}
    assert reserve(engine, SECOND) == UNDO


def test_an_undo_has_one_row(engine: Engine) -> None:
    """Whoever asks how often."""
    for owner in (FIRST, SECOND, FIRST):
        reserve(engine, owner)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(UNDOS)) == 1
