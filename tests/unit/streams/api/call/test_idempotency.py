"""Idempotency-Key: one answer, one request id, whatever happens in between."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from streams.api.call import idempotency
from streams.api.call.idempotency import KEPT_MS, LEASE_MS, Asked, Kept
from streams.api.problems import ProblemError
from streams.database.engine import open_database, writing
from streams.database.schema import IDEMPOTENCY_KEYS
from streams.settings import load

pytest_plugins = ["tests.support.postgres"]
FIRST = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
SECOND = "01HMRMPE5ZQ4AMNJ3S2N79QGRY"
NOW = 1_700_000_000_000
ASKED = idempotency.asked("me", "k", "/v1/replays", b"{}")


@pytest.fixture
def engine(clean_environment: None, database_url: str) -> Iterator[Engine]:
    """An empty database of each kind."""
    found = open_database(load(database_url=database_url))
    yield found
    found.dispose()


def reserve(engine: Engine, asked: Asked = ASKED, id_: str = SECOND, now: int = NOW) -> str | Kept:
    """Ask for the id of a call, in a transaction of its own."""
    with writing(engine) as connection:
        return idempotency.reserve(connection, asked, id_, now)


def refusal(engine: Engine, asked: Asked = ASKED, now: int = NOW) -> ProblemError:
    """Why a call is refused."""
    with pytest.raises(ProblemError) as refused:
        reserve(engine, asked, now=now)
    return refused.value


def test_a_twin_has_to_wait(engine: Engine) -> None:
    """While the first is under way, the second is told to come again."""
    assert reserve(engine, id_=FIRST) == FIRST
    twin = refusal(engine)
    assert (twin.status, twin.code) == (409, "idempotency_key_in_use")
    assert int(twin.headers["Retry-After"]) > 0


def test_the_answer_is_kept(engine: Engine) -> None:
    """The same call again gets the same bytes, for a day."""
    reserve(engine, id_=FIRST)
    with writing(engine) as connection:
        idempotency.keep(connection, "me", "k", Kept(200, b"answer"))
    assert reserve(engine, now=NOW + KEPT_MS) == Kept(200, b"answer")
    assert reserve(engine, now=NOW + KEPT_MS + 1) == SECOND


def test_a_call_that_died_is_repeated_with_its_id(engine: Engine) -> None:
    """Its record may be in Kafka: the joiner knows it by its id."""
    reserve(engine, id_=FIRST)
    assert refusal(engine, now=NOW + LEASE_MS - 1).code == "idempotency_key_in_use"
    assert reserve(engine, now=NOW + LEASE_MS) == FIRST
    assert refusal(engine, now=NOW + LEASE_MS + 1).code == "idempotency_key_in_use"


def test_a_call_without_acknowledgement_is_repeated_at_once(engine: Engine) -> None:
    """Nobody waits for a lease whose holder has answered 503."""
    reserve(engine, id_=FIRST)
    with writing(engine) as connection:
        idempotency.give_up(connection, "me", "k", NOW)
    assert reserve(engine, now=NOW + 1) == FIRST


def test_a_refused_call_keeps_nothing(engine: Engine) -> None:
    """Put right, it may come with the same key."""
    reserve(engine, id_=FIRST)
    with writing(engine) as connection:
        idempotency.forget(connection, "me", "k")
    assert reserve(engine) == SECOND


@pytest.mark.parametrize(
    "other",
    [
        idempotency.asked("me", "k", "/v1/replays", b'{"a": 1}'),
        idempotency.asked("me", "k", "/v1/events", b"{}"),
    ],
)
def test_another_call_is_refused(engine: Engine, other: Asked) -> None:
    """A key stands for one route and one body."""
    reserve(engine, id_=FIRST)
    found = refusal(engine, other)
    assert (found.status, found.code) == (422, "idempotency_key_reused")


def test_callers_have_keys_of_their_own(engine: Engine) -> None:
    """What one calls "1" is not what another one calls "1"."""
    reserve(engine, id_=FIRST)
    assert reserve(engine, idempotency.asked("you", "k", "/v1/replays", b"{}")) == SECOND


def test_old_keys_are_removed(engine: Engine) -> None:
    """The table doesn't grow for ever."""
    for number in range(3):
        reserve(engine, idempotency.asked("me", f"{number}", "/v1/replays", b"{}"))
    reserve(engine, now=NOW + KEPT_MS + 1)
    with engine.connect() as connection:
        assert len(connection.execute(select(IDEMPOTENCY_KEYS)).all()) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "k\tk", "ключ"])
def test_what_is_no_key(key: str) -> None:
    """1 to 255 printable ASCII characters."""
    with pytest.raises(ProblemError) as refused:
        idempotency.asked("me", key, "/v1/replays", b"{}")
    assert refused.value.errors[0].parameter == "Idempotency-Key"
