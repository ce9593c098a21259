"""The checks of `countermand doctor` that ask the brokers; they leave no readable record behind."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.doctor.checks import Check, Result, Verdict
from streams.errors import UnreachableError
from streams.kafka import aiokafka_client, clients
from streams.kafka.admin import admin_client, describe_topics, list_brokers
from streams.kafka.deadline import NEVER, Deadline
from streams.kafka.findings import grouped
from streams.kafka.topics import inspect_topics
from streams.settings import Settings
from topology import limits, topics

Delivered: TypeAlias = Callable[[KafkaError | None, Message], None]
# By the number of a request, its lowest and highest version.
Versions: TypeAlias = dict[int, tuple[int, int]]
_PRODUCE: Final = 0
# Releases by the highest version of the Produce request that they serve.
_RELEASES: Final = {9: "2.4 to 3.6", 10: "3.7", 11: "3.8 or 3.9", 12: "4.0", 13: "4.1 or later"}
_OLDEST_PRODUCE: Final = 9
_TOO_OLD: Final = "older than 2.4"
_PROBE_S: Final = 10.0
_TIMESTAMP_APPEND: Final = 2
_SKEW_WARNING_S: Final = 0.5
_SKEW_FAILURE_S: Final = limits.IDLE_SLACK_MS / 1000


def broker(settings: Settings) -> Result:
    """Whether librdkafka reaches the brokers."""
    found = list_brokers(admin_client(settings))
    return Result("broker", Verdict.OK, f"{len(found)} reached: {', '.join(found.values())}")


def protocol(settings: Settings) -> Result:
    """Whether the joiner's other client reaches the brokers, too, and which release they have."""
    try:
        found = release(settings)
    except UnreachableError as error:
        remedy = "Check the COUNTERMAND_KAFKA_* settings: the joiner needs both clients"
        return Result("version", Verdict.FAILED, str(error), remedy)
    if found == _TOO_OLD:
        return Result("version", Verdict.FAILED, found, "Use Kafka 3.9 or later")
    return Result("version", Verdict.OK, f"Kafka {found}, reached by aiokafka too")


def release(settings: Settings, deadline: Deadline = NEVER) -> str:
    """The releases of Kafka of which a broker may be, such as `4.1 or later`.

    Raises:
        UnreachableError: the joiner's client can't connect.
    """
    within_s = deadline.seconds()
    try:
        highest = asyncio.run(asyncio.wait_for(_highest_produce(settings), within_s))
    except Exception as error:  # aiokafka raises much that has no common base
        found = f"aiokafka can't connect: {type(error).__name__}: {error}"
        raise UnreachableError(found) from error
    return _TOO_OLD if highest < _OLDEST_PRODUCE else _RELEASES.get(highest, "4.1 or later")


def topics_exist(settings: Settings) -> Result:
    """Whether the processes would start on these topics."""
    report = inspect_topics(settings)
    wrong = report.errors or report.warnings
    if wrong:
        verdict = Verdict.FAILED if report.errors else Verdict.WARNING
        return Result("topics", verdict, f"{len(wrong)} wrong", "\n    ".join(grouped(wrong)))
    found = f"all {len(report.topics)} there, events up to {report.event_bytes:,} bytes"
    return Result("topics", Verdict.OK, found)


def clocks(settings: Settings) -> Result:
    """How far the broker's clock is from this machine's; the record for that is never committed."""
    topic = settings.topic(topics.CANCELLED)
    if topic not in describe_topics(admin_client(settings), [topic]):
        return Result("clocks", Verdict.WARNING, "not measured", "Run: countermand topics create")
    try:
        skew = _skew(settings, topic)
    except KafkaException as error:
        reason = error.args[0].str()
        return Result("clocks", Verdict.WARNING, f"not measured: {reason}", "Check with: ntpq -p")
    if skew is None:
        return Result("clocks", Verdict.WARNING, f"not measured: {topic} is not LogAppendTime")
    found = f"the broker's clock is {abs(skew) * 1000:.0f} ms {'ahead' if skew > 0 else 'behind'}"
    remedy = "Synchronise the clocks of brokers and routers (NTP)"
    if abs(skew) > _SKEW_FAILURE_S:
        return Result("clocks", Verdict.FAILED, found, remedy)
    if abs(skew) > _SKEW_WARNING_S:
        return Result("clocks", Verdict.WARNING, found, remedy)
    return Result("clocks", Verdict.OK, found)


KAFKA_CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("version", protocol),
    ("topics", topics_exist),
    ("clocks", clocks),
)


def _skew(settings: Settings, topic: str) -> float | None:
    """The broker's clock minus this machine's, in s; None if the topic isn't LogAppendTime.

    The record lies in a transaction that is aborted, so `read_committed` consumers never see it.
    """
    stamped: list[int] = []
    refused: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(error)
            return
        kind, timestamp = message.timestamp()
        stamped.extend([timestamp] if kind == _TIMESTAMP_APPEND else [])

    producer = Producer(
        clients.librdkafka(
            settings,
            transactional_id=f"{settings.application_id}-doctor",
            transaction_timeout_ms=5_000,
            delivery_timeout_ms=5_000,
            linger_ms=0,
            log_level=0,
        )
    )
    producer.init_transactions(_PROBE_S)
    producer.begin_transaction()
    _probe(producer, topic, delivered)  # the first record also opens connections
    stamped.clear()
    before = time.time()
    _probe(producer, topic, delivered)
    after = time.time()
    producer.abort_transaction(_PROBE_S)
    if refused:
        raise KafkaException(refused[0])
    return stamped[0] / 1000 - (before + after) / 2 if stamped else None


def _probe(producer: Producer, topic: str, delivered: Delivered) -> None:
    producer.produce(topic, b"", partition=0, on_delivery=delivered)
    producer.flush(_PROBE_S)


async def _highest_produce(settings: Settings) -> int:
    client = AIOKafkaClient(**aiokafka_client.aiokafka(settings))
    try:
        await client.bootstrap()
        node = next(iter(client.cluster.brokers())).nodeId
        versions: Versions = (await client._get_conn(node))._versions  # noqa: SLF001  # nothing public tells, and the version is pinned
        return versions[_PRODUCE][1]
    finally:
        await client.close()
