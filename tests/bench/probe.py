"""Cancels at a steady pace, each timed until its cancelled event is read, all on one clock."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.bench import load, outputs
from tests.bench.deployment import Deployment, until
from topology import topics

_TICK_S: Final = 0.01
_POLL_S: Final = 0.1
_ANSWERED_S: Final = 60.0
_BY_EVENT: Final = b'"cause":{"type":"event"'


class Answer(NamedTuple):
    """A cancel event: when it was sent and how long its cancelled event took."""

    sent: float
    ms: float


class Pace(NamedTuple):
    """How much is sent per second, and for how long."""

    triggers: int
    cancels: int
    seconds: float


class Probe:
    """Sends events and reads `cancelled`, read_committed, from its end at the start on."""

    def __init__(self, broker: str, app: Deployment) -> None:
        """Connect to an application whose processes run; a context manager."""
        self.answers: list[Answer] = []
        # How many runs each cancel event cancelled, and when the last one was read.
        self.cancelled: dict[str, int] = {}
        self.last: dict[str, float] = {}
        self._app = app
        self._sent: dict[str, float] = {}
        self._producer = load.producer(broker, **{"linger.ms": 0})
        self._numbers = iter(range(10**9, 2 * 10**9))
        self._closing = threading.Event()
        self._problem: Exception | None = None
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": "bench-probe",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        topic = app.settings.topic(topics.CANCELLED)
        places = [TopicPartition(topic, number) for number in range(app.settings.partitions)]
        for place in places:
            place.offset = self._consumer.get_watermark_offsets(place, timeout=30)[1]
        self._consumer.assign(places)
        self._reader = threading.Thread(target=self._read, name="probe")

    def run(self, pace: Pace, victims: Iterator[str], reports: Iterator[str]) -> None:
        """Send at a pace: cancels of `victims`, triggers of `reports`."""
        start = time.perf_counter()
        triggers = cancels = 0
        pause = threading.Event()
        while (passed := time.perf_counter() - start) < pace.seconds:
            while triggers < pace.triggers * passed:
                triggers += 1
                self._produce(
                    self._app.triggers_topic, load.trigger(next(self._numbers), next(reports))
                )
            while cancels < pace.cancels * passed:
                cancels += 1
                self.send_cancels(1, victims)
            self._producer.poll(0)
            pause.wait(_TICK_S)

    def send_cancels(self, number: int, victims: Iterator[str]) -> None:
        """Send cancels of so many victims, timed."""
        for one in itertools.islice(self._numbers, number):
            self.send_cancel(load.cancel_id(one), load.cancel(one, next(victims)))

    def send_cancel(self, event_id: str, message: load.Message) -> float:
        """Send one cancel event, timed; when that was."""
        now = self._sent[event_id] = time.perf_counter()
        self._produce(self._app.cancels_topic, message)
        return now

    def wait_answered(self, check: Callable[[], None]) -> None:
        """Wait until every cancel event sent has cancelled something."""
        load.flush(self._producer)

        def answered() -> bool:
            check()
            if self._problem is not None:
                raise self._problem
            return len(self.cancelled) >= len(self._sent)

        until(answered, "every cancel is answered", _ANSWERED_S)

    def waits_ms(self, since: float, to: float = float("inf")) -> list[float]:
        """The waits of the cancels sent in a span of time, in order of length."""
        return sorted(answer.ms for answer in self.answers if since <= answer.sent < to)

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

    def _produce(self, topic: str, message: load.Message) -> None:
        self._producer.produce(topic, message.value, message.key)

    def _read(self) -> None:
        try:
            while not self._closing.is_set():
                # One at a time: a batch would be handed out only when its time is over.
                record = self._consumer.poll(_POLL_S)
                if record is not None:
                    self._note(outputs.value(record), time.perf_counter())
        except (KafkaException, AssertionError, ValueError, KeyError) as error:
            self._problem = error

    def _note(self, value: bytes, now: float) -> None:
        if _BY_EVENT not in value:
            return  # half a million others are not worth reading
        event_id = orjson.loads(value)["data"]["cause"]["event"]["id"]
        if event_id not in self._sent:
            return  # somebody else's
        self.last[event_id] = now
        count = self.cancelled[event_id] = self.cancelled.get(event_id, 0) + 1
        if count == 1:
            sent = self._sent[event_id]
            self.answers.append(Answer(sent, (now - sent) * 1000))


def percentile(waits_ms: list[float], percent: float) -> float:
    """A percentile of sorted figures."""
    return waits_ms[min(len(waits_ms) - 1, int(len(waits_ms) * percent / 100))]
