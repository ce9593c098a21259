"""`doors`: how long probes and keys wait at the API beside 60 callers who search.

Each of them searches runs by an expression that fits none, again as soon as it is answered, be it
that its turn didn't come. `live_p99`: `GET /healthz/live`. `key_p99`: a call whose key is known but
may not make it, so that nothing but the key is looked at. `new_key_p99`: the same with a key that
the database has to be asked for. Each on a connection of its own, in ms.
"""

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final

import httpx

from streams.api.call.keys import create_key
from streams.api.call.roles import Role
from streams.database.engine import open_database
from tests.bench.api import fill
from tests.bench.bench import Bench
from tests.bench.deployment import BenchError, say
from tests.bench.probe import percentile

RUNS: Final = 50_000
SEARCHERS: Final = 60
CALLS: Final = 400
_EVERY_S: Final = 0.05
_TIMEOUT_S: Final = 120.0
_REFUSED: Final = "/v1/audit"
# One looks at 10,000 runs, the other evaluates until the budget of the call is used up.
_FITS_NONE: Final = (
    "event.data.nothing == 1",
    "[[[event.name]]]" + ".map(x,x+x)" * 9 + "[0]" + ".map(x,x+x)" * 12 + ".size() < 0",
)


def measure(
    bench: Bench, runs: int = RUNS, searchers: int = SEARCHERS, calls: int = CALLS
) -> dict[str, float]:
    """The slowest percent of each."""
    with bench.deployment() as app:
        engine = open_database(app.settings)
        try:
            fill(engine, runs)
            _, viewer = create_key(engine, "bench", Role.VIEWER, 0, actor=None)
            new = [
                create_key(engine, f"bench-{number}", Role.VIEWER, 0, actor=None)[1]
                for number in range(calls)
            ]
        finally:
            engine.dispose()
        api, url = app.api()
        api.wait_ready()
        over = threading.Event()
        with ThreadPoolExecutor(searchers + 3) as threads:
            searches = [
                threads.submit(_search, url, viewer, number, over) for number in range(searchers)
            ]
            try:
                live = threads.submit(_waits, url, "/healthz/live", [""] * calls)
                key = threads.submit(_waits, url, _REFUSED, [viewer] * calls)
                asked = threads.submit(_waits, url, _REFUSED, new)
                found = {"live": live.result(), "key": key.result(), "new_key": asked.result()}
            finally:
                over.set()
            say("doors", searches=sum(search.result() for search in searches))
    return {f"{name}_p99": round(percentile(waits, 99), 1) for name, waits in found.items()}


def _search(url: str, key: str, number: int, over: threading.Event) -> int:
    """Search until it is over; how many calls were answered with runs."""
    params = {"if": _FITS_NONE[number % len(_FITS_NONE)]}
    done = 0
    with _client(url) as client:
        while not over.is_set():
            answer = client.get("/v1/runs", params=params, headers=_bearer(key))
            if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                over.wait(int(answer.headers["Retry-After"]))
                continue
            answer.raise_for_status()
            done += 1
    return done


def _waits(url: str, path: str, keys: Iterable[str]) -> list[float]:
    """The sorted waits of a call with each key, at a steady pace."""
    waits, pace = [], threading.Event()
    with _client(url) as client:
        for key in keys:
            pace.wait(_EVERY_S)
            began = time.perf_counter()
            status = client.get(path, headers=_bearer(key)).status_code
            waits.append((time.perf_counter() - began) * 1_000)
            if status != (HTTPStatus.FORBIDDEN if key else HTTPStatus.OK):
                raise BenchError(f"{path} answers {status}")
    return sorted(waits)


def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=_TIMEOUT_S)


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}
