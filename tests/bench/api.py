"""`api_ms`: what callers of the REST API wait, one after the other on one connection.

`create_p99`: `POST /v1/cancellations`, answered once Kafka has the request. `list_p99`: pages of
100 runs of 1,000,000 in SQLite, of the slowest filter; pages from the newest on, from random
places, and over the whole time.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
from sqlalchemy import Engine

from streams.api.call.keys import create_key
from streams.api.call.roles import Role
from streams.clock import now_ms
from streams.database.engine import open_database, writing
from streams.read_model.batch import Batch, Record
from streams.read_model.statements import Statements
from tests.bench import read_model
from tests.bench.bench import Bench
from tests.bench.deployment import say
from tests.bench.probe import percentile

RUNS: Final = 1_000_000
CREATES: Final = 500
LISTS: Final = 300
_AT_ONCE: Final = 20_000
_WARM_UP: Final = 20
_SEED: Final = 4
_DAY_MS: Final = 86_400_000
_FUNCTION: Final = "bench-generate-report-3"
Params = dict[str, str]


def measure(bench: Bench, runs: int = RUNS) -> dict[str, float]:
    """The slowest percent of each."""
    with bench.deployment() as app:
        engine = open_database(app.settings)
        try:
            fill(engine, runs)
            _, key = create_key(engine, "bench", Role.ADMIN, 0, actor=None)
        finally:
            engine.dispose()
        api, url = app.api()
        for service in (app.joiner(), app.router(), app.read_model(), api):
            service.wait_ready()
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            create = timed(CREATES, lambda: _create(client))
            slowest = _list(client, runs)
    say("api", create_p50=round(percentile(create, 50), 1))
    return {"create_p99": round(percentile(create, 99), 1), "list_p99": round(slowest, 1)}


def fill(engine: Engine, runs: int) -> None:
    """Write runs by the read model's own statements; every second one was cancelled."""
    statements = Statements(engine.dialect.name).steps
    for first in range(0, runs, _AT_ONCE):
        batch = Batch()
        for number in range(first, min(first + _AT_ONCE, runs)):
            change = read_model.cancelled(number) if number % 2 else read_model.scheduled(number)
            batch.add_run(Record(None, read_model.encoded(change), 0))
        with writing(engine) as connection:
            for step, rows in batch.steps():
                connection.exec_driver_sql(statements[step], rows)


def _list(client: httpx.Client, runs: int) -> float:
    """The p99 of the slowest filter."""
    chance = random.Random(_SEED)
    slowest = 0.0
    for name, filters in _filters(chance, runs):

        def page(filters: Callable[[], Params] = filters) -> None:
            _get(client, {"limit": "100", **_somewhere(chance, runs), **filters()})

        waits = timed(LISTS, page)
        p99 = percentile(waits, 99)
        say("list", filter=name, p50=round(percentile(waits, 50), 1), p99=round(p99, 1))
        slowest = max(slowest, p99)
    return slowest


def _filters(chance: random.Random, runs: int) -> Iterator[tuple[str, Callable[[], Params]]]:
    yield "none", dict
    yield "function", lambda: {"function_id": _FUNCTION}
    yield "status", lambda: {"status": chance.choice(["Cancelled", "Scheduled"])}
    yield "function and status", lambda: {"function_id": _FUNCTION, "status": "Cancelled"}
    yield "event", lambda: {"event_id": f"01J{chance.randrange(runs):020d}"}
    yield "cancellation", lambda: {"cancellation_id": read_model.run_id(chance.randrange(runs))}
    yield "replay", lambda: {"replay_id": read_model.run_id(chance.randrange(runs))}


def _somewhere(chance: random.Random, runs: int) -> Params:
    """Pages before a random time, of the newest, or of all time."""
    first = read_model.scheduled(0)["at"]
    last = read_model.scheduled(runs - 1)["at"]
    if chance.random() < 0.5:
        return {}
    before = chance.randint(first, last)
    return {"received_before": instant(before)}


def instant(ms: int) -> str:
    """A time (ms) as the API reads it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1_000)) + f".{ms % 1_000:03d}Z"


def _create(client: httpx.Client) -> None:
    body: dict[str, Any] = {"app_id": "bench", "function_id": "generate-report"}
    body |= {"started_before": instant(now_ms() - _DAY_MS)}
    client.post("/v1/cancellations", json=body | {"if": "event.data.x == 1"}).raise_for_status()


def _get(client: httpx.Client, params: Params) -> None:
    client.get("/v1/runs", params=params).raise_for_status()


def timed(number: int, call: Callable[[], Any]) -> list[float]:
    """The sorted waits of so many calls, in ms, after a few that don't count."""
    for _ in range(_WARM_UP):
        call()
    waits = []
    for _ in range(number):
        began = time.perf_counter()
        call()
        waits.append((time.perf_counter() - began) * 1_000)
    return sorted(waits)
