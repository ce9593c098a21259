"""`dashboard`: what people wait for pages, and what it costs to keep fifty browsers up to date.

In SQLite are 1,000,000 runs of 1,000 functions, in Kafka 100,000 dead letters.

- `page_p99_ms`: the slowest address, asked one after the other on one connection.
- `search_p99_ms`: the slowest of CEL searches, among them one that nothing fits.
- `kafka_p99_ms`: the slowest of the pages that ask Kafka.
- `first_view_kib`: the overview with all that a browser loads for it.
- `live_delay_p99_s`: from the commit of a change until a browser has the part that shows it, with
  100 changes a second and 50 browsers; `live_core_percent`: what the API's process takes meanwhile.
"""

import asyncio
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import httpx
import psutil
from confluent_kafka import Producer
from sqlalchemy import Engine, insert, update

from streams.api.call.keys import create_key
from streams.api.call.roles import Role
from streams.clock import now_ms
from streams.database.engine import open_database, writing
from streams.database.schema import POSITIONS, PROGRESS, REQUESTS
from streams.read_model.batch import Batch, Record
from streams.read_model.statements import Statements
from tests.bench import activity, api, read_model
from tests.bench.bench import Bench
from tests.bench.deployment import PARTITIONS, BenchError, Deployment, say
from tests.bench.probe import percentile
from topology import topics
from topology.records import CancelRule, Function, Trigger

RUNS: Final = 1_000_000
FUNCTIONS: Final = 1_000
LETTERS: Final = 100_000
REQUESTS_EACH: Final = 500
PAGES: Final = 200
SEARCHES: Final = 40
BROWSERS: Final = 50
CHANGES_PER_S: Final = 100
LIVE_S: Final = 30
_AT_ONCE: Final = 20_000
_SETTLE_S: Final = 3.0
_SEED: Final = 7
_COOKIE: Final = "countermand_session"
_LIVE: Final = "bench-live"
_FIGURE: Final = re.compile(r'class="figure">([\d,]+)</span> scheduled')
_ASSET: Final = re.compile(r'(?:src|href)="(/static/[^"]+)"')
# Addresses by their names, each made anew for each look.
Addresses: TypeAlias = Iterator[tuple[str, Callable[[], str]]]
# What one browser has seen: the time, and the number of runs that it showed then.
Seen: TypeAlias = list[tuple[float, int]]


def measure(bench: Bench, runs: int = RUNS) -> Mapping[str, float]:
    """What people wait, and what it costs."""
    functions = [_function(number) for number in range(FUNCTIONS - 1)]
    functions.append(Function(app="bench", id="live"))
    with bench.deployment(functions) as app:
        engine = open_database(app.settings)
        try:
            _fill(engine, runs)
            _, key = create_key(engine, "bench", Role.ADMIN, 0, actor=None)
            _letters(app)
            service, url = app.api()
            service.wait_ready()
            with httpx.Client(base_url=url, headers={"Origin": url}, timeout=60) as client:
                client.post("/sign-in", data={"key": key})
                found = _pages(client, runs)
                cookie = client.cookies[_COOKIE]
            found |= asyncio.run(_live(engine, url, cookie, service.pid))
        finally:
            engine.dispose()
    return found | {"read_model_ratio": activity.read_model_ratio(bench)}


def _pages(client: httpx.Client, runs: int) -> dict[str, float]:
    chance = random.Random(_SEED)
    return {
        "page_p99_ms": _slowest(client, PAGES, _stored(chance, runs)),
        "search_p99_ms": _slowest(client, SEARCHES, _searches(chance)),
        "kafka_p99_ms": _slowest(client, SEARCHES, _asking_kafka(client)),
        "first_view_kib": _first_view(client),
    }


def _slowest(client: httpx.Client, number: int, addresses: Addresses) -> float:
    """The p99 of the slowest address."""
    slowest = 0.0
    for name, address in addresses:

        def page(address: Callable[[], str] = address) -> None:
            answer = client.get(address())
            if answer.status_code != httpx.codes.OK:
                raise BenchError(f"{answer.status_code} of {answer.url}: {answer.text[:500]}")

        waits = api.timed(number, page)
        p99 = percentile(waits, 99)
        say("page", address=name, p50=round(percentile(waits, 50), 1), p99=round(p99, 1))
        slowest = max(slowest, p99)
    return round(slowest, 1)


def _stored(chance: random.Random, runs: int) -> Addresses:
    """Pages that are made from the database alone."""

    def slug() -> str:
        return _slug(chance.randrange(FUNCTIONS - 1))

    def run() -> str:
        return read_model.run_id(chance.randrange(runs))

    def time_of() -> str:
        return api.instant(read_model.scheduled(chance.randrange(runs))["at"])

    def ended() -> str:
        at = read_model.cancelled(chance.randrange(runs))["at"]
        return f"/runs?ended_after={api.instant(at)}&ended_before={api.instant(at + 1_000)}"

    def request() -> str:
        return _request_id(chance.randrange(REQUESTS_EACH))

    yield "overview", lambda: "/"
    yield "runs", lambda: "/runs"
    yield "runs of a function", lambda: f"/runs?function_id={slug()}"
    yield "runs with a status", lambda: f"/runs?status={chance.choice(['Cancelled', 'Scheduled'])}"
    yield "both", lambda: f"/runs?status=Cancelled&function_id={slug()}"
    yield "a rare status", lambda: "/runs?status=Failed&status=Sleeping"
    yield "runs of an event", lambda: f"/runs?event_id=01J{chance.randrange(runs):020d}"
    yield "runs of a cancellation", lambda: f"/runs?cancellation_id={request()}"
    yield "runs of a replay", lambda: f"/runs?replay_id={request()}"
    yield "runs before", lambda: f"/runs?received_before={time_of()}"
    yield "runs ended between", ended
    yield "a run", lambda: f"/runs/{run()}"
    yield "functions", lambda: "/functions"
    yield "a function", lambda: f"/functions/{slug()}"
    yield "cancel many", lambda: f"/functions/{slug()}/cancel"
    yield "cancellations", lambda: "/cancellations"
    yield "cancellations of a function", lambda: f"/cancellations?function_id={slug()}"
    yield "a cancellation", lambda: f"/cancellations/{request()}"
    yield "replays", lambda: "/replays"
    yield "audit", lambda: "/audit"
    yield "audit of somebody", lambda: "/audit?actor=nobody"
    yield "keys", lambda: "/keys"


def _searches(chance: random.Random) -> Addresses:
    def of(expression: str) -> str:
        return f"/runs?if={expression}"

    yield "a common expression", lambda: of("event.name != 'x'")
    yield "a rare one", lambda: of(f"event.data.reportId == 'r{chance.randrange(1 << 30)}'")
    yield "a rare one of a function", lambda: of("event.data.n == 1") + f"&function_id={_slug(7)}"


def _asking_kafka(client: httpx.Client) -> Addresses:
    letter = re.findall(r'href="(/dead-letters/\d+/\d+)"', client.get("/dead-letters").text)[0]
    yield "dead letters", lambda: "/dead-letters"
    yield "dead letters of a reason", lambda: "/dead-letters?class=no_json"
    yield "a rare reason", lambda: "/dead-letters?class=rare"
    yield "a dead letter", lambda: letter
    yield "system", lambda: "/system"


def _first_view(client: httpx.Client) -> float:
    page = client.get("/")
    assets = [client.get(address) for address in dict.fromkeys(_ASSET.findall(page.text))]
    return round(sum(len(answer.content) for answer in [page, *assets]) / 1024, 1)


async def _live(engine: Engine, url: str, cookie: str, pid: int) -> dict[str, float]:
    """Browsers look on while runs come; half of them at the function that these are of."""
    pages = ("/", "/runs", "/functions/bench-live", "/cancellations", "/replays")
    seen: list[Seen] = [[] for _ in range(BROWSERS // 2)]
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=url, cookies={_COOKIE: cookie}, timeout=60, limits=limits
    ) as client:
        looking = [asyncio.create_task(_look(client, f"/functions/{_LIVE}", mine)) for mine in seen]
        looking += [
            asyncio.create_task(_look(client, pages[number % len(pages)], []))
            for number in range(BROWSERS - len(looking))
        ]
        await asyncio.wait(looking, timeout=_SETTLE_S)
        began = _cpu_s(pid)
        committed = await asyncio.to_thread(_change, engine)
        used = _cpu_s(pid) - began
        await asyncio.wait(looking, timeout=_SETTLE_S)
        for task in looking:
            task.cancel()
        ended = await asyncio.gather(*looking, return_exceptions=True)
    failed = [one for one in ended if not isinstance(one, asyncio.CancelledError)]
    if failed:
        raise BenchError(f"A browser was cut off: {failed[0]!r}")
    delays = sorted(delay for mine in seen for delay in _delays(committed, mine))
    took = committed[-1] - committed[0]
    say("live", changes=len(committed), changes_per_s=round(len(committed) / took))
    return {
        "live_delay_p99_s": round(percentile(delays, 99), 2),
        "live_core_percent": round(100 * used / took, 1),
    }


async def _look(client: httpx.AsyncClient, page: str, seen: Seen) -> None:
    """Note when which number of scheduled runs was shown; a browser of its own."""
    async with client.stream("GET", "/live", params={"page": page}) as answer:
        async for line in answer.aiter_lines():
            found = _FIGURE.search(line)
            if found:
                seen.append((time.monotonic(), int(found[1].replace(",", ""))))
    raise BenchError(f"The stream of {page} ended")


def _change(engine: Engine) -> list[float]:
    """Register a run every so often, as the read model does; when each was committed."""
    statements = Statements(engine.dialect.name).steps
    committed = []
    pause = threading.Event()
    began = time.monotonic()
    for number in range(CHANGES_PER_S * LIVE_S):
        pause.wait(max(began + number / CHANGES_PER_S - time.monotonic(), 0))
        batch = Batch()
        change = read_model.scheduled(RUNS + number) | {"function_id": _LIVE, "at": now_ms()}
        batch.add_run(Record(None, read_model.encoded(change), 0))
        with writing(engine) as connection:
            for step, rows in batch.steps():
                connection.exec_driver_sql(statements[step], rows)
            connection.execute(update(POSITIONS).values(next_offset=number, as_of=now_ms()))
        committed.append(time.monotonic())
    return committed


def _delays(committed: list[float], seen: Seen) -> Iterator[float]:
    """How long after the commit of each change one browser had a part that shows it."""
    shown = iter(seen)
    at, count = 0.0, 0
    for number, when in enumerate(committed, 1):
        while count < number:
            try:
                at, count = next(shown)
            except StopIteration:
                raise BenchError(f"Change {number} was never shown") from None
        yield at - when


def _fill(engine: Engine, runs: int) -> None:
    """Runs of which every second one was cancelled, and requests with their progress."""
    statements = Statements(engine.dialect.name).steps
    for first in range(0, runs, _AT_ONCE):
        batch = Batch()
        for number in range(first, min(first + _AT_ONCE, runs)):
            change = read_model.cancelled(number) if number % 2 else read_model.scheduled(number)
            change |= {"function_id": _slug(number % (FUNCTIONS - 1))}
            if number % 2 and number % 1_000 < 10:
                change |= {"cancellation_id": _request_id(number % REQUESTS_EACH)}
            batch.add_run(Record(None, read_model.encoded(change), 0))
        with writing(engine) as connection:
            for step, rows in batch.steps():
                connection.exec_driver_sql(statements[step], rows)
    with writing(engine) as connection:
        connection.execute(insert(REQUESTS), [_request(number) for number in range(REQUESTS_EACH)])
        connection.execute(insert(PROGRESS), list(_progress()))
        row = {"topic": "runs", "partition": 0, "topic_id": "", "next_offset": 0, "as_of": now_ms()}
        connection.execute(insert(POSITIONS).values(row))


def _letters(app: Deployment) -> None:
    """Dead letters as routers write them."""
    producer = Producer({"bootstrap.servers": app.settings.kafka_bootstrap_servers})
    topic = app.settings.topic(topics.DEAD_LETTERS)
    origin = {"stage": "router", "topic": app.settings.topic(topics.EVENTS), "partition": "0"}
    for number in range(LETTERS):
        kind = "rare" if number == LETTERS // 2 else "no_json"
        error = origin | {"class": kind, "offset": str(number), "message": "it is no JSON"}
        about = [(f"countermand.error.{name}", value.encode()) for name, value in error.items()]
        while producer.poll(0) or len(producer) > LETTERS // 2:
            producer.poll(0.1)
        producer.produce(topic, b"{" * 200, headers=list(about))
    producer.flush()


def _function(number: int) -> Function:
    trigger = Trigger(event="report/requested")
    rule = CancelRule(event="report/cancelled", match="data.id")
    return Function(app="bench", id=f"f-{number}", triggers=(trigger,), cancel_on=(rule,))


def _slug(number: int) -> str:
    return f"bench-f-{number}"


def _request_id(number: int) -> str:
    return read_model.run_id(RUNS * 2 + number)


def _request(number: int) -> dict[str, Any]:
    slug = _slug(number)
    body = f'{{"app_id":"bench","function_id":"f-{number}","started_before":{now_ms()}}}'
    return {
        "request_id": _request_id(number),
        "type": "cancel_runs",
        "target": _request_id(number),
        "function_id": slug,
        "requested_by": "ann",
        "at": now_ms(),
        "received_at": now_ms(),
        "body": body,
    }


def _progress() -> Iterator[dict[str, Any]]:
    names = ("scanned", "matched", "cancelled", "replayed", "already_ended", "failed")
    for number in range(REQUESTS_EACH):
        for partition in range(PARTITIONS):
            yield {
                "request_id": _request_id(number),
                "partition": partition,
                "state": "done",
                "sample": "[]",
                "updated_at": now_ms(),
                **dict.fromkeys(names, 10),
            }


def _cpu_s(pid: int) -> float:
    """What a process and its children have used."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in [process, *process.children(recursive=True)]]
    return sum(one.user + one.system for one in times)
