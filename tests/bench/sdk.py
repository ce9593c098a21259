"""`sdk`: how soon a cancelled run stops in its sleep, and how many steps a worker records.

`stop_p50_ms`, `stop_p99_ms`: from the cancel event produced until the function has left its sleep,
with at least 1,000 runs in the worker. `steps_per_s`: outcomes of empty steps made durable by one
worker process with 1,000 runs at once.
"""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson
from confluent_kafka import Producer

from tests.bench import load, sdk_app
from tests.bench.bench import Bench
from tests.bench.deployment import BenchError, Deployment, WebService, say, until
from tests.bench.probe import percentile

RUNNING: Final = 1_000
CANCELS: Final = 500
CANCELS_PER_S: Final = 25
STEPPERS: Final = 1_000
_WARM_UP: Final = 300
_WITHIN_S: Final = 120.0


def measure(
    bench: Bench, running: int = RUNNING, cancels: int = CANCELS, steppers: int = STEPPERS
) -> dict[str, float]:
    """The waits of runs that were asleep, and the rate of steps."""
    functions = [function.definition for function in sdk_app.app.functions.values()]
    with bench.deployment(functions) as app:
        joiner, router = app.joiner(), app.router()
        joiner.wait_ready()
        router.wait_ready()
        log = app.folder / "sdk.log"
        log.touch()
        worker = app.worker(
            f"{sdk_app.__name__}:app",
            worker_concurrency=str(running + 2 * cancels + steppers),
            worker_park_after="1h",
            **{sdk_app.VARIABLE: str(log)},
        )
        worker.wait_ready()
        events = _Events(bench, app)
        rate = _steps(events, worker, log, steppers)
        waits = _stops(events, worker, log, running, cancels)
    p50, p99 = percentile(waits, 50), percentile(waits, 99)
    say("sdk", stops=len(waits), longest=round(waits[-1], 1), steps=steppers * sdk_app.STEPS)
    return {
        "stop_p50_ms": round(p50, 1),
        "stop_p99_ms": round(p99, 1),
        "steps_per_s": round(rate),
    }


class _Events:
    """Sends events whose data is a number, and knows when."""

    def __init__(self, bench: Bench, app: Deployment) -> None:
        self.sent: dict[int, float] = {}
        self._topic = app.triggers_topic
        self._producer: Producer = load.producer(bench.broker, **{"linger.ms": 0})
        self._numbers = itertools.count()

    def request(self, name: str, count: int) -> list[int]:
        """Start so many runs."""
        numbers = list(itertools.islice(self._numbers, count))
        for number in numbers:
            self._send(name, number)
        self.flush()
        return numbers

    def cancel(self, number: int) -> None:
        """Cancel one run, timed."""
        self.sent[number] = time.perf_counter()
        self._send("sleeper/cancelled", number)

    def flush(self) -> None:
        """Wait until all are acknowledged."""
        load.flush(self._producer)

    def _send(self, name: str, number: int) -> None:
        event = {"name": name, "id": f"{name}-{number}", "data": {"number": number}}
        self._producer.produce(self._topic, orjson.dumps(event), str(number))
        self._producer.poll(0)


def _steps(events: _Events, worker: WebService, log: Path, steppers: int) -> float:
    """Steps recorded per second, from the first run's begin to the last run's end."""
    _finish(events, worker, log, _WARM_UP)
    lines = _finish(events, worker, log, steppers)
    began = min(at for what, _, at in lines if what == "began")
    ended = max(at for what, _, at in lines if what == "ended")
    return steppers * sdk_app.STEPS / (ended - began)


def _finish(
    events: _Events, worker: WebService, log: Path, count: int
) -> list[tuple[str, int, float]]:
    """Let so many runs end; what they said."""
    numbers = set(events.request("stepper/requested", count))

    def said() -> list[tuple[str, int, float]]:
        worker.check()
        lines = [line for line in _lines(log) if line[1] in numbers]
        return lines if sum(what == "ended" for what, _, _ in lines) == count else []

    return until(said, f"{count} runs have ended", _WITHIN_S, pause_s=0.5)


def _stops(
    events: _Events, worker: WebService, log: Path, running: int, cancels: int
) -> list[float]:
    """Cancel runs one by one while `running` others sleep; the waits in ms, in order of length."""
    before = worker.metric("countermand_worker_steps_total")
    warm_up = cancels // 5
    numbers = events.request("sleeper/requested", running + warm_up + cancels)
    until(
        lambda: worker.metric("countermand_worker_steps_total") >= before + len(numbers),
        "all runs sleep",
        _WITHIN_S,
        pause_s=0.5,
    )
    pause = threading.Event()
    started = time.perf_counter()
    for count, number in enumerate(numbers[: warm_up + cancels]):
        pause.wait(max(0.0, started + count / CANCELS_PER_S - time.perf_counter()))
        events.cancel(number)

    events.flush()

    def stopped() -> dict[int, float]:
        worker.check()
        found = {number: at for what, number, at in _lines(log) if what == "stopped"}
        return found if len(found) == warm_up + cancels else {}

    at = until(stopped, "all cancelled runs have stopped", _WITHIN_S, pause_s=0.2)
    if set(at) != set(events.sent):
        raise BenchError("others stopped than were cancelled")
    measured = numbers[warm_up : warm_up + cancels]
    return sorted((at[number] - events.sent[number]) * 1000 for number in measured)


def _lines(log: Path) -> Iterator[tuple[str, int, float]]:
    for line in log.read_text("ascii").splitlines(keepends=True):
        if line.endswith("\n"):
            what, number, at = line.split()
            yield what, int(number), float(at)
