"""`bulk_1m`: a cancellation over 1,000,000 pending runs of which a condition takes half.

`runs_per_s`: runs decided, from the request's record until all partitions have told that every run
was met. `live_p99_ms`: the wait of cancel events of another function that are produced meanwhile.
"""

import time
from collections.abc import Iterator
from typing import Any, Final, Self

import orjson
from confluent_kafka import Consumer, TopicPartition

from streams.clock import now_ms
from streams.functions import definition
from tests.bench import load, outputs
from tests.bench.bench import Bench
from tests.bench.deployment import PARTITIONS, BenchError, Deployment, Joiners, say, until
from tests.bench.probe import Pace, Probe, percentile
from topology import keys, topics

RUNS: Final = 1_000_000
OTHERS: Final = 60_000
LIVE: Final = Pace(0, 200, 0.5)
_WARM_UP_SLICES: Final = 6
_LIMIT_S: Final = 240.0
_LOAD_S: Final = 300.0
_REQUESTED: Final = "bulk/work.requested"
# The best that others state of themselves (peers.md: Temporal, Step Functions, Trigger.dev).
PEERS_PER_S: Final = {"temporal": 50, "step_functions": 200, "trigger_dev": 500}
FUNCTIONS: Final = (
    *load.FUNCTIONS,
    *definition.read_text(
        f"""
functions:
  - {{id: bulk-work, app: bench, triggers: [{{event: {_REQUESTED}}}]}}
""",
        "bench",
    ),
)


def measure(bench: Bench, runs: int = RUNS, others: int = OTHERS) -> dict[str, object]:
    """The rate of the one, and the waits of the others."""
    with bench.deployment(FUNCTIONS) as app:
        joiner, router = app.joiners(), app.router()
        joiner.wait_ready()
        router.wait_ready()
        _fill(bench, app, joiner, runs, others)
        victims = (load.report_id(number) for number in range(others))
        with Probe(bench.broker, app) as probe, _Progress(bench.broker, app) as progress:
            for _ in range(_WARM_UP_SLICES):
                probe.run(LIVE, victims, iter(()))
            request_id = keys.run_id_text(time.time_ns().to_bytes(16, "big"))
            started = time.perf_counter()
            _ask(bench, app, request_id, runs)
            while (scanned := progress.scanned(request_id)) < runs:
                joiner.check()
                if time.perf_counter() - started > _LIMIT_S:
                    raise BenchError(f"only {scanned} of {runs} runs were met")
                probe.run(LIVE, victims, iter(()))
            ended = progress.last
            probe.wait_answered(joiner.check)
        counts = progress.totals(request_id)
        if counts["cancelled"] != runs // 2 or counts["failed"]:
            raise BenchError(f"half of {runs} should be cancelled: {counts}")
    waits = probe.waits_ms(started, ended)
    rate = round(runs / (ended - started))
    say(
        "bulk",
        seconds=round(ended - started, 1),
        others=len(waits),
        p50=round(percentile(waits, 50), 1),
        longest=round(waits[-1]),
        peers_per_s=PEERS_PER_S,
    )
    return {"runs_per_s": rate, "live_p99_ms": round(percentile(waits, 99), 1)}


class _Progress:
    """Reads `request-progress` from its end at the start on; a context manager."""

    def __init__(self, broker: str, app: Deployment) -> None:
        self.last = 0.0
        self._told: dict[tuple[str, int], dict[str, Any]] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": "bench-progress",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        topic = app.settings.topic(topics.REQUEST_PROGRESS)
        places = [TopicPartition(topic, number, 0) for number in range(PARTITIONS)]
        self._consumer.assign(places)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def scanned(self, request_id: str) -> int:
        """How many runs a request has met so far."""
        while (record := self._consumer.poll(0)) is not None:
            told = orjson.loads(outputs.value(record))
            before = self.totals(told["request_id"])["scanned"]
            self._told[told["request_id"], told["partition"]] = told
            if self.totals(told["request_id"])["scanned"] > before:
                self.last = time.perf_counter()
        return self.totals(request_id)["scanned"]

    def totals(self, request_id: str) -> dict[str, int]:
        """The sums over the partitions."""
        parts = [one for (id_, _), one in self._told.items() if id_ == request_id]
        return {
            name: sum(one[name] for one in parts) for name in ("scanned", "cancelled", "failed")
        }


def _ask(bench: Bench, app: Deployment, request_id: str, runs: int) -> None:
    body = {
        "app_id": "bench",
        "function_id": "bulk-work",
        "started_before": now_ms(),
        "if": f"event.data.job < {runs // 2}",
    }
    record = {"request_id": request_id, "type": "cancel_runs", "requested_by": "bench"}
    sender = load.producer(bench.broker)
    value = orjson.dumps(record | {"body": body})
    sender.produce(app.settings.topic(topics.REQUESTS), value, request_id)
    load.flush(sender)


def _fill(bench: Bench, app: Deployment, joiner: Joiners, runs: int, others: int) -> None:
    """Register all runs, in an order that has nothing to do with the condition."""
    sender = load.producer(bench.broker)
    load.send(sender, app.triggers_topic, _work(runs))
    load.send(
        sender,
        app.triggers_topic,
        (load.trigger(number, load.report_id(number)) for number in range(others)),
    )
    load.flush(sender)

    def filled() -> bool:
        joiner.check()
        return joiner.metric("countermand_pending_runs") == runs + others

    until(filled, f"{runs + others} runs are pending", _LOAD_S, pause_s=0.5)


def _work(runs: int) -> Iterator[load.Message]:
    for number in range(runs):
        job = number // 2 if number % 2 else runs - 1 - number // 2
        yield load.of_tenant(job, _REQUESTED, f"03J{number:020d}", "everybody")
