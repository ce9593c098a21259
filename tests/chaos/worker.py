"""A worker as the design wants it: it claims what is dispatched, and completes what is claimed."""

import threading
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from streams.kafka import clients
from streams.settings import Settings
from tests.chaos.traffic import WORK
from topology import topics

_NAME: Final = "w1"


class Worker:
    """Reads `runs` as committed, from the beginning, and answers on `run-updates`."""

    def __init__(self, settings: Settings) -> None:
        self._updates = settings.topic(topics.RUN_UPDATES)
        self._stop = threading.Event()
        self._consumer = Consumer(
            clients.librdkafka(
                settings,
                group_id="chaos-worker",
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                log_level=0,
            )
        )
        runs = settings.topic(topics.RUNS)
        self._consumer.assign([TopicPartition(runs, one, 0) for one in range(settings.partitions)])
        self._producer = Producer(
            clients.librdkafka(settings, enable_idempotence=True, message_timeout_ms=0, log_level=0)
        )
        self._thread = threading.Thread(target=self._run, name="worker")
        self._thread.start()

    def stop(self) -> None:
        """Stop working."""
        self._stop.set()
        self._thread.join()
        self._producer.flush(60)
        self._consumer.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(500, 0.1):
                headers = dict(message.headers() or []) if message.error() is None else {}
                value = message.value()
                if headers.get("function-id") == WORK.encode() and isinstance(value, bytes):
                    self._work(orjson.loads(value))
            self._producer.poll(0)

    def _work(self, run: dict[str, Any]) -> None:
        if run["dispatch"]:
            status = "running"
        elif run["status"] == "running" and run.get("worker") == _NAME:
            status = "completed"
        else:
            return
        update = {"run_id": run["run_id"], "attempt": run["attempt"], "status": status}
        value = orjson.dumps({**update, "worker": _NAME})
        self._producer.produce(self._updates, value, run["run_id"])
