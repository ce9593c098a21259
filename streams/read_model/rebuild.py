"""`countermand read-model rebuild`: deletes the copies of Kafka's records, and copies them again.

Data that is nowhere else stays: API keys, idempotency keys, the audit trail. A read model that runs
at the same time does no harm: each notices that the other has moved a position, and reads it again.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from streams.collector import rare_collections
from streams.database.engine import open_database, translated
from streams.errors import RefusedError, UnreachableError
from streams.health import Health
from streams.kafka.admin import admin_client, partition_ends
from streams.kafka.groups import describe_group
from streams.kafka.topics import check_topics
from streams.metrics import Metrics
from streams.read_model import brokers
from streams.read_model.batch import adders
from streams.read_model.copier import Copier
from streams.read_model.figures import Figures
from streams.read_model.positions import Positions
from streams.read_model.source import Source
from streams.settings import Settings
from topology.topics import TopicPlace

_IDLE_S: Final = 0.1
_SILENCE_S: Final = 60.0

# Called with the number of offsets that are copied, and the number of all.
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Rebuilt:
    """The result of a rebuild: how many records it copied, and how long it took."""

    records: int
    seconds: float


def rebuild(settings: Settings, told: Told = lambda _done, _of: None) -> Rebuilt:
    """Copy all records that Kafka has now into empty tables.

    Raises:
        RefusedError: a read model runs on the same topics.
        UnreachableError: Kafka doesn't answer; run it again.
        DatabaseError: the database can't be used; run it again.
    """
    check_topics(settings)
    admin = admin_client(settings)
    others = len(describe_group(admin, settings.read_model_group).members)
    if others:
        raise RefusedError(
            f"{others} read model process(es) are at work on these topics: stop them first. One "
            "that was killed, or has a COUNTERMAND_GROUP_INSTANCE_ID, counts for another "
            f"{settings.session_timeout.total_seconds():.0f} s"
        )
    engine = open_database(settings)
    try:
        with translated(engine), rare_collections():
            return _rebuild(settings, engine, told)
    finally:
        engine.dispose()


def _rebuild(settings: Settings, engine: Engine, told: Told) -> Rebuilt:
    began = time.monotonic()
    admin = admin_client(settings)
    topics = brokers.describe(admin, adders(settings))
    places = [
        (name, partition) for name, topic in topics.items() for partition in range(topic.partitions)
    ]
    ends = partition_ends(admin, places)
    Positions(settings, engine).clear()
    figures = Figures(settings, Metrics(), Health())
    source = Source(settings, logging.getLogger(f"{__name__}.kafka"), figures.metrics)
    try:
        copier = Copier(settings, engine, admin, source, figures)
        records, moved_at = 0, time.monotonic()
        while not source.is_started or _left(copier.reached, ends):
            if not source.is_started:
                copier.start(places)
            copied = copier.copy(_IDLE_S)
            records += copied
            if copied:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > _SILENCE_S:
                raise UnreachableError("Kafka sends nothing more: run it again when it is up")
            told(sum(ends.values()) - _left(copier.reached, ends), sum(ends.values()))
    finally:
        source.close()
    return Rebuilt(records, time.monotonic() - began)


def _left(reached: Mapping[TopicPlace, int], ends: Mapping[TopicPlace, int]) -> int:
    return sum(max(0, end - reached.get(place, 0)) for place, end in ends.items())
