"""The events of the benchmarks, and how they get into topics."""

import base64
import random
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import orjson
from confluent_kafka import Producer

from streams.functions import definition
from topology.records import Function

REQUESTED: Final = "report/generation.requested"
CANCELLED: Final = "report/generation.cancelled"
USERS: Final = 1_000
# One cancel event for so many triggers, of the first of them.
PER_CANCEL: Final = 10
# All in the past, so that no dispatch waits.
_FIRST_MS: Final = 1_760_000_000_000
_BLOCK: Final = 10_000
_POLL_EVERY: Final = 1_000
_FLUSH_S: Final = 120
# What large events are filled with: random letters, which no compression makes much smaller.
_TEXT: Final = base64.b64encode(random.Random(17).randbytes(768 * 1024)).decode("ascii")

FUNCTIONS: Final[tuple[Function, ...]] = definition.read_text(
    f"""
functions:
  - id: generate-report
    app: bench
    triggers: [{{event: {REQUESTED}}}]
    cancel_on: [{{event: {CANCELLED}, match: data.reportId}}]
""",
    "bench",
)


class Work(NamedTuple):
    """How many trigger events, of which every tenth is cancelled; what they are like and start."""

    triggers: int
    # What a trigger event is filled up to, in bytes; 0 leaves it as it is, 230 bytes.
    size: int = 0
    # Each has a run of each trigger event, which each cancel event of the report cancels.
    functions: tuple[Function, ...] = FUNCTIONS

    @property
    def cancels(self) -> int:
        """How many cancel events."""
        return self.triggers // PER_CANCEL

    @property
    def events(self) -> int:
        """All events."""
        return self.triggers + self.cancels

    @property
    def runs(self) -> int:
        """How many runs are scheduled."""
        return self.triggers * len(self.functions)

    @property
    def cancelled(self) -> int:
        """How many runs are cancelled."""
        return self.cancels * len(self.functions)


class Message(NamedTuple):
    """A record to produce: keyed by user, so not by what is matched."""

    key: str
    value: bytes


def trigger(number: int, report: str, size: int = 0) -> Message:
    """The trigger event of a report, filled up to `size` bytes."""
    user = f"user-{number % USERS}"
    data: dict[str, Any] = {
        "reportId": report,
        "userId": user,
        "plan": "pro",
        "range": {"from": "2026-01-01", "to": "2026-06-30"},
        "format": "pdf",
    }
    event_id = f"01J{number:020d}"
    if size:
        data["text"] = ""
        missing = size - len(_event(event_id, REQUESTED, data, number))
        first = number * size % (len(_TEXT) - missing)
        data["text"] = _TEXT[first : first + missing]
    return Message(user, _event(event_id, REQUESTED, data, number))


def cancel(number: int, report: str) -> Message:
    """The cancel event of a report."""
    user = f"user-{number % USERS}"
    data = {"reportId": report, "userId": user}
    return Message(user, _event(cancel_id(number), CANCELLED, data, number))


def of_tenant(number: int, name: str, event_id: str, tenant: str) -> Message:
    """An event that concerns all the work of a tenant."""
    data = {"tenant": tenant, "job": number, "format": "pdf", "plan": "pro"}
    return Message(f"job-{number}", _event(event_id, name, data, number))


def cancel_id(number: int) -> str:
    """The id of a cancel event."""
    return f"02J{number:020d}"


def report_id(number: int) -> str:
    """The report of a trigger."""
    return f"report-{number}"


def producer(bootstrap_servers: str, **more: Any) -> Producer:
    """A producer for loads: large batches, in order, partitions as Java chooses them."""
    return Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 20,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 1_000_000,
            **more,
        }
    )


def preload(bootstrap_servers: str, work: Work, triggers: str, cancels: str) -> None:
    """Put the work into two topics; each cancel event is received after its trigger event.

    Brokers stamp whole batches with their time of append, so a block of triggers is acknowledged
    before its cancels are sent.
    """
    sender = producer(bootstrap_servers)
    for start in range(0, work.triggers, _BLOCK):
        numbers = range(start, min(start + _BLOCK, work.triggers))
        send(sender, triggers, (trigger(n, report_id(n), work.size) for n in numbers))
        flush(sender)
        send(sender, cancels, (cancel(n, report_id(n)) for n in numbers if n % PER_CANCEL == 0))
    flush(sender)


def preload_joined(bootstrap_servers: str, work: Work, topic: str) -> None:
    """Put the same work into one topic, each cancel event behind its trigger event.

    Both have one key, so they stay in order through a repartition: the joins of the peers wait for
    no trigger that comes after its cancel.
    """
    sender = producer(bootstrap_servers)
    send(sender, topic, _joined(work))
    flush(sender)


def send(sender: Producer, topic: str, messages: Iterable[Message]) -> None:
    """Hand messages to a producer."""
    for number, message in enumerate(messages):
        sender.produce(topic, message.value, message.key)
        if number % _POLL_EVERY == 0:
            sender.poll(0)


def flush(sender: Producer) -> None:
    """Wait until everything sent is acknowledged."""
    left = sender.flush(_FLUSH_S)
    assert left == 0, f"{left} records were not acknowledged"


def _joined(work: Work) -> Iterator[Message]:
    for number in range(work.triggers):
        yield trigger(number, report_id(number), work.size)
        if number % PER_CANCEL == PER_CANCEL - 1:
            first = number - (PER_CANCEL - 1)
            yield cancel(first, report_id(first))


def _event(event_id: str, name: str, data: dict[str, Any], number: int) -> bytes:
    return orjson.dumps({"id": event_id, "name": name, "data": data, "ts": _FIRST_MS + number})
