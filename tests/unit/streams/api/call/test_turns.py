"""Searches have threads of their own: whatever they wait for, every other call is answered."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.requests import Request
from starlette.types import Message

from streams.api.call.keys import create_key
from streams.api.call.roles import Role
from streams.api.call.turns import AT_ONCE, Turns
from streams.api.problems import ProblemError
from streams.database.engine import open_database
from streams.settings import load
from tests.support.api import NOWHERE, Api, open_api, run_id
from tests.support.deadline import eventually
from tests.support.postgres import PostgresServer

AT = 1_700_000_000_000
SEARCHES = 60
# More than there are threads for all other calls. Some searches may be over before the last begins:
# the database waits half a minute for a lock.
WAITING = 45
pytest_plugins = ["tests.support.postgres"]


def request(*, is_there: bool = True) -> Request:
    """A call whose caller waits, or is gone."""

    async def receive() -> Message:
        if is_there:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


# Reads that may be slow, each with a table that it looks at.
SLOW = {
    "/v1/runs": "runs",
    "/v1/events/e/runs": "runs",
    f"/v1/cancellations/{run_id(AT)}/runs": "requests",
    "/v1/audit": "audit",
    "/v1/activity": "activity",
}


@pytest.mark.parametrize(("path", "table"), SLOW.items())
def test_every_other_call_is_answered_beside_searches(
    clean_environment: None, postgres: PostgresServer, tmp_path: Path, path: str, table: str
) -> None:
    """With all searches held in the database, probes and keys are looked at as ever."""
    settings = load(
        kafka_bootstrap_servers=NOWHERE, state_dir=tmp_path, database_url=postgres.new_database()
    )
    holder = open_database(settings)
    with open_api(settings, turn_within_s=60) as api, ThreadPoolExecutor(SEARCHES) as callers:
        api.know()
        with holder.connect() as connection:
            connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))

            def held() -> int:
                query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                return int(connection.execute(text(query)).scalar_one())

            searches = [callers.submit(api.call, "GET", path) for _ in range(SEARCHES)]
            eventually(lambda: len(api.state.tasks) >= WAITING and held() == AT_ONCE)
            assert api.call("GET", "/healthz/live", role=None).status_code == 200
            assert api.call("GET", "/v1/audit", role=Role.OPERATOR).status_code == 403
            assert called_with_a_new_key(api) == 404
            assert held() <= AT_ONCE
        # 503 is what waited too long for the lock.
        assert {search.result().status_code for search in searches} <= {200, 404, 503}
    holder.dispose()


def called_with_a_new_key(api: Api) -> int:
    """The status of a call whose key the database has to be asked for."""
    _, key = create_key(api.service.engine, "ann", Role.ADMIN, 0, actor=None)
    headers = {"Authorization": f"Bearer {key}"}
    return api.call("GET", "/v1/functions/x", role=None, headers=headers).status_code


async def waited(turns: Turns, *, is_there: bool) -> str:
    """The problem of a read that waits while another one has the only turn."""
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        over.wait()

    def fail() -> None:
        raise AssertionError("it was read")

    first = asyncio.create_task(turns.take(request(), hold))
    await asyncio.to_thread(begun.wait)
    second = asyncio.create_task(turns.take(request(is_there=is_there), fail))
    if not is_there:
        await asyncio.sleep(0)  # it asks for its turn
        over.set()
    try:
        await second
    except ProblemError as problem:
        return problem.code
    finally:
        over.set()
        await first
    raise AssertionError("it was answered")


def test_a_search_whose_turn_does_not_come_is_503() -> None:
    """Its caller is told when to try again."""
    assert asyncio.run(waited(Turns(1, wait_s=0.01), is_there=True)) == "searches_busy"


def test_nothing_is_read_for_callers_who_have_gone() -> None:
    """Those who gave up and ask again must not make the line longer."""
    assert asyncio.run(waited(Turns(1, wait_s=60), is_there=False)) == "caller_gone"


def test_as_many_as_there_are_turns_read_at_once() -> None:
    """Both threads are used: each of two reads waits for the other."""
    meet = threading.Barrier(2, timeout=60)

    async def both() -> list[int]:
        turns = Turns(2)
        return await asyncio.gather(*(turns.take(request(), meet.wait) for _ in range(2)))

    assert sorted(asyncio.run(both())) == [0, 1]
