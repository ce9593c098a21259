"""A thread that produces the traffic at a steady rate, whatever happens to the broker."""

import heapq
import threading
from random import Random
from time import monotonic
from typing import Final

import orjson
from confluent_kafka import KafkaError, Message, Producer

from streams.kafka import clients
from streams.settings import Settings
from tests.chaos.traffic import Sending, cells, global_events

_TICK_S: Final = 0.05
_GLOBAL_EVERY_S: Final = 0.25


class Load:
    """Unkeyed records over all partitions; behind its rate it catches up.

    After `finish` it can be started again, with further cells.
    """

    def __init__(self, settings: Settings, seed: int, records_per_s: float) -> None:
        self.sent = 0
        self.error: str | None = None
        self._settings = settings
        rng = Random(seed)
        self._small, self._large = cells(rng), global_events(rng)
        self._rate = records_per_s
        self._waiting: list[tuple[float, int, Sending]] = []
        self._stop = threading.Event()
        self._producer = Producer(
            clients.librdkafka(
                settings, enable_idempotence=True, message_timeout_ms=0, linger_ms=5, log_level=0
            )
        )
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to produce."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    def finish(self) -> None:
        """Send at once what waits still, and wait until the broker has all of it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        assert self._producer.flush(120) == 0, "the broker doesn't take the load"
        assert self.error is None, self.error

    def _run(self) -> None:
        started = monotonic()
        planned, globals_ = 0, 0
        while not self._stop.wait(_TICK_S):
            now = monotonic()
            while planned < self._rate * (now - started):
                records = next(self._small)
                planned += len(records)
                self._plan(now, records)
            while globals_ * _GLOBAL_EVERY_S < now - started:
                globals_ += 1
                self._plan(now, next(self._large))
            self._send(now)
        self._send(float("inf"))

    def _plan(self, now: float, records: list[Sending]) -> None:
        for record in records:
            self.sent += 1
            heapq.heappush(self._waiting, (now + record.delay_s, self.sent, record))

    def _send(self, until: float) -> None:
        while self._waiting and self._waiting[0][0] <= until:
            _, _, record = heapq.heappop(self._waiting)
            topic = self._settings.topic_prefix + record.topic
            partition = int(record.place * self._settings.partitions)
            while True:
                try:
                    value = orjson.dumps(record.value)
                    self._producer.produce(
                        topic, value, partition=partition, on_delivery=self._delivered
                    )
                    break
                except BufferError:
                    self._producer.poll(1)
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.error = error.str()
