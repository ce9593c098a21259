"""`inngest`: apps of Inngest's SDK for TypeScript on `countermand inngest`, Node on the same cores.

- `steps_per_s`: empty steps through HTTP, with 100 runs at once.
- `plain_steps_per_s`: the same with an app that does nothing but answer, and so what is the
  bridge's; `own_steps_per_s`: the same functions on Countermand's own SDK; `sdk_steps_per_s`: the
  first app called by this process, without Countermand, and so what Inngest's SDK can do in Node.
- `stop_p50_ms`, `stop_p99_ms`: from the cancel event produced to `stopped_at` in `runs`, of runs
  that the bridge holds in a short sleep; `parked_p99_ms`: to `cancelled`, of runs that it doesn't.
"""

import asyncio
import itertools
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import httpx
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from streams.broker.ports import free_port
from streams.inngest.caller import new_client
from streams.inngest.calls import Asked, Ended, body_of
from streams.inngest.drive import DISCOVER
from tests.bench import load, sdk_app
from tests.bench.bench import Bench
from tests.bench.deployment import BenchError, Deployment, Service, say, until
from tests.bench.probe import percentile
from tests.support.trees import ROOT
from topology import topics

AT_ONCE: Final = 100
RUNS: Final = 600
CANCELS: Final = 300
_CANCELS_PER_S: Final = 25
_PACKAGES: Final = ROOT / "examples/inngest/app/node_modules"
_WITHIN_S: Final = 300.0
_POLL_S: Final = 0.1


def measure(bench: Bench, runs: int = RUNS, cancels: int = CANCELS) -> dict[str, float]:
    """The rates of steps, and the waits of runs that are cancelled."""
    functions = [function.definition for function in sdk_app.app.functions.values()]
    with bench.deployment(functions) as app:
        for process in (app.joiner(), app.router()):
            process.wait_ready()
        bridge, front = app.bridge(worker_concurrency=str(AT_ONCE))
        log = app.folder / "sdk.log"
        log.touch()
        worker = app.worker(
            f"{sdk_app.__name__}:app",
            worker_concurrency=str(AT_ONCE),
            **{sdk_app.VARIABLE: str(log)},
        )
        sdk, plain = (NodeApp(name, app.folder, front) for name in ("inngest_app", "plain_app"))
        for process in (bridge, worker):
            process.wait_ready()
        for node in (sdk, plain):
            node.register(app)
        with Watched(bench.broker, app) as watched:
            rates = {
                f"{name}steps_per_s": round(_steps(watched, event, runs))
                for name, event in (
                    ("", "sdk/stepper"),
                    ("plain_", "plain/stepper"),
                    ("own_", "stepper/requested"),
                )
            }
            rates["sdk_steps_per_s"] = round(asyncio.run(_alone(sdk.url, runs)))
            held = _stops(watched, "20s", cancels, lambda run: bool(run.get("stopped_at")))
            parked = _stops(watched, "2h", cancels, lambda run: run["status"] == "cancelled")
        for node in (sdk, plain):
            node.stop()
    figures = {
        "stop_p50_ms": percentile(held, 50),
        "stop_p99_ms": percentile(held, 99),
        "parked_p99_ms": percentile(parked, 99),
    }
    say("inngest", runs=runs, steps=runs * sdk_app.STEPS, stops=len(held) + len(parked))
    return rates | {name: round(ms, 1) for name, ms in figures.items()}


class NodeApp(Service):
    """An app of Node's."""

    def __init__(self, name: str, within: Path, front: str) -> None:
        """Start it, in a folder that has the SDK."""
        if not _PACKAGES.is_dir():
            raise BenchError("bash deploy/npm.sh examples/inngest/app installs Inngest's SDK")
        folder, port = within / name, free_port()
        folder.mkdir()
        (folder / "node_modules").symlink_to(_PACKAGES)
        source = str(shutil.copy(Path(__file__).with_name(f"{name}.mjs"), folder))
        self.url = f"http://127.0.0.1:{port}/api/inngest"
        env = {"PORT": str(port), "STEPS": str(sdk_app.STEPS), "INNGEST_DEV": front}
        super().__init__(name, [shutil.which("node") or "node", source], folder, env)

    def register(self, app: Deployment) -> None:
        """Register it, as soon as it answers."""
        until(self._answers, f"{self.name} answers")
        app.run("inngest", "sync", self.url)

    def _answers(self) -> bool:
        self.check()
        try:
            return httpx.get(self.url).is_success
        except httpx.HTTPError:
            return False


class Watched:
    """Sends events whose data has a number, and reads what becomes of their runs."""

    def __init__(self, broker: str, app: Deployment) -> None:
        """From the end of `runs` on; a context manager."""
        self.sent: dict[int, float] = {}
        # By number: the newest record of the run, and when it was read.
        self.runs: dict[int, tuple[Mapping[str, Any], float]] = {}
        self._topic = app.triggers_topic
        self._producer: Producer = load.producer(broker, **{"linger.ms": 0})
        self._numbers = itertools.count()
        self._closing = threading.Event()
        options = {"bootstrap.servers": broker, "group.id": "bench-runs"}
        self._consumer = Consumer({**options, "isolation.level": "read_committed"})
        topic = app.settings.topic(topics.RUNS)
        self._consumer.assign(
            [TopicPartition(topic, number, 0) for number in range(app.settings.partitions)]
        )
        self._reader = threading.Thread(target=self._read, name="runs")

    def request(self, name: str, count: int, **data: object) -> list[int]:
        """Start so many runs; their numbers."""
        numbers = list(itertools.islice(self._numbers, count))
        for number in numbers:
            self.send(name, number, **data)
        load.flush(self._producer)
        return numbers

    def send(self, name: str, number: int, **data: object) -> None:
        """Send an event, timed."""
        event = {"name": name, "id": f"{name}-{number}", "data": {"number": number, **data}}
        self.sent[number] = time.perf_counter()
        self._producer.produce(self._topic, orjson.dumps(event), str(number))
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until all are acknowledged."""
        load.flush(self._producer)

    def reach(
        self, numbers: list[int], reached: Callable[[Mapping[str, Any]], bool], what: str
    ) -> list[float]:
        """Wait until these runs have a record like this; when each was read."""

        def all_have() -> list[float]:
            found = [self.runs.get(number) for number in numbers]
            ats = [at for one in found if one is not None and reached(one[0]) for at in one[1:]]
            return ats if len(ats) == len(numbers) else []

        return until(all_have, f"{len(numbers)} runs {what}", _WITHIN_S, pause_s=0.05)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._reader.join()
        self._consumer.close()

    def _read(self) -> None:
        while not self._closing.is_set():
            record = self._consumer.poll(_POLL_S)
            if record is None or record.error() is not None:
                continue
            run, now = orjson.loads(record.value() or b"{}"), time.perf_counter()
            number = run.get("event", {}).get("data", {}).get("number")
            if number is not None:
                self.runs[number] = run, now


def _steps(watched: Watched, event: str, runs: int) -> float:
    """Steps per second, from the first event sent to the last run's end."""
    watched.reach(watched.request(event, runs // 10), _has_completed, "warm up")
    numbers = watched.request(event, runs)
    began = min(watched.sent[number] for number in numbers)
    ended = max(watched.reach(numbers, _has_completed, "have completed"))
    return runs * sdk_app.STEPS / (ended - began)


async def _alone(url: str, runs: int) -> float:
    """Steps per second of an app of the SDK that nobody calls but this."""
    event = {"name": "sdk/stepper", "id": "e", "ts": 1, "data": {}}
    query = {"fnId": "sdk-stepper", "stepId": DISCOVER}

    async def run(client: aiohttp.ClientSession) -> None:
        ended: dict[str, Ended] = {}
        while True:
            asked = Asked("r", event, ended, 0, 5, planned_only=False, version=2)
            async with client.post(url, params=query, json=body_of(asked)) as answer:
                told = await answer.json()
            if answer.status != HTTPStatus.PARTIAL_CONTENT:
                break
            ended |= {one["id"]: Ended(len(ended), {"data": None}) for one in told}
        if len(ended) != sdk_app.STEPS:
            raise BenchError(f"{len(ended)} steps, not {sdk_app.STEPS}: {told}")

    async with new_client(timedelta(minutes=5)) as client:
        await asyncio.gather(*(run(client) for _ in range(AT_ONCE)))  # warms up
        began = time.perf_counter()
        for _ in range(max(1, runs // AT_ONCE)):
            await asyncio.gather(*(run(client) for _ in range(AT_ONCE)))
        elapsed = time.perf_counter() - began
    return max(1, runs // AT_ONCE) * AT_ONCE * sdk_app.STEPS / elapsed


def _has_completed(run: Mapping[str, Any]) -> bool:
    return bool(run["status"] == "completed")


def _stops(
    watched: Watched, sleep: str, cancels: int, reached: Callable[[Mapping[str, Any]], bool]
) -> list[float]:
    """Cancel runs in their sleep, one by one; the waits in ms, in order of length.

    Fewer are asleep at once than a bridge holds.
    """
    waits: list[float] = []
    pause = threading.Event()
    while len(waits) < cancels:
        numbers = watched.request("sdk/sleeper", AT_ONCE // 2, sleep=sleep)
        steps = watched.reach(numbers, lambda run: run["status"] != "scheduled", "have begun")
        assert steps
        pause.wait(2)  # their first calls are answered, and they sleep
        started = time.perf_counter()
        for count, number in enumerate(numbers):
            pause.wait(max(0.0, started + count / _CANCELS_PER_S - time.perf_counter()))
            watched.send("sdk/cancelled", number)
        watched.flush()
        ats = watched.reach(numbers, reached, "have stopped")
        waits += [
            (at - watched.sent[number]) * 1000 for number, at in zip(numbers, ats, strict=True)
        ]
    return sorted(waits)
