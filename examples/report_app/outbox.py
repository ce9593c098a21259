"""The outbox: events written with what they tell of, and the relay that brings them to Kafka.

A row is marked only when the brokers have acknowledged its event, so an event can be sent twice but
never get lost; it keeps its id, by which Countermand knows a repeat. Events of one report are
sent one after the other.
"""

import json
import logging
import threading
from collections import deque
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from examples.report_app.database import Database
from examples.report_app.models import OutboxEvent
from streams import settings as countermand
from streams.kafka import clients

EVENTS: Final = "events"
CANCELS: Final = "cancels"

_BATCH: Final = 100
_LOOK_S: Final = 0.5
_POLL_S: Final = 0.02
_RETRY_S: Final = 1.0
_DELIVERY_MS: Final = 10_000
# A cancel also meets an event received in the same ms: a report's next event comes later.
_APART_S: Final = 0.005
_LOCK: Final = 0x6F7574626F78

log = logging.getLogger(__name__)


def add(session: Session, topic: str, name: str, event_id: str, data: dict[str, Any]) -> None:
    """Write an event about `data["reportId"]` in the caller's transaction."""
    event = {"name": name, "id": event_id, "data": data, "user": {"id": data["userId"]}}
    session.add(
        OutboxEvent(
            report_id=data["reportId"],
            topic=topic,
            event_id=event_id,
            event=json.dumps(event),
            created_at=datetime.now(UTC),
        )
    )


class Relay:
    """A thread that sends what is in the outbox, in its order; a context manager."""

    def __init__(self, engine: Engine, settings: countermand.Settings) -> None:
        """Nothing is sent before the block is entered."""
        self._engine = engine
        self._settings = settings
        self._topics = {name: settings.topic_prefix + name for name in (EVENTS, CANCELS)}
        self._wake = threading.Event()
        self._stop = threading.Event()
        # The rows that Kafka hasn't acknowledged yet, by id, with their reports.
        self._sent: dict[int, str] = {}
        self._acknowledged: deque[int] = deque()
        self._refused: deque[tuple[int, str]] = deque()
        self._thread = threading.Thread(target=self._run, name="outbox relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """Look into the outbox now: something was written."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._engine.connect() as connection:
                    if self._is_alone(connection):
                        self._relay(sessionmaker(connection))
                self._stop.wait(_LOOK_S)
            except (DBAPIError, KafkaException) as error:
                log.warning("The outbox waits: %s", error)
                self._stop.wait(_RETRY_S)

    def _is_alone(self, connection: Connection) -> bool:
        """Whether this is the only relay: several web apps on one PostgreSQL have one between them.

        The lock goes with the connection, on which all of the relay's work is done. SQLite is for
        one web app.
        """
        if connection.dialect.name != "postgresql":
            return True
        locked = bool(connection.scalar(select(func.pg_try_advisory_lock(_LOCK))))
        connection.commit()
        if locked:
            connection.detach()
        return locked

    def _relay(self, database: Database) -> None:
        """Send until something fails or the app ends."""
        producer = Producer(
            clients.librdkafka(
                self._settings,
                enable_idempotence=True,
                acks="all",
                partitioner="murmur2_random",
                delivery_timeout_ms=_DELIVERY_MS,
                log_level=0,
            )
        )
        try:
            while not self._stop.is_set():
                # Cleared before looking, so that what is written while we look wakes us.
                self._wake.clear()
                for row in self._waiting(database):
                    self._send(producer, row)
                producer.poll(_POLL_S if self._sent else 0)
                self._settle(database)
                if not self._sent:
                    self._wake.wait(_LOOK_S)
        finally:
            producer.flush(1)
            self._settle(database)
            producer.purge()
            producer.flush(1)
            self._sent.clear()
            self._acknowledged.clear()
            self._refused.clear()

    def _waiting(self, database: Database) -> list[OutboxEvent]:
        """The oldest unsent row of each report of which nothing is under way."""
        unsent = select(OutboxEvent).where(OutboxEvent.sent_at.is_(None)).order_by(OutboxEvent.id)
        busy = set(self._sent.values())
        found = []
        with database() as session:
            for row in session.scalars(unsent.limit(_BATCH)):
                if row.report_id not in busy:
                    busy.add(row.report_id)
                    found.append(row)
        return found

    def _send(self, producer: Producer, row: OutboxEvent) -> None:
        number = row.id

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                self._acknowledged.append(number)
            else:
                self._refused.append((number, str(error)))

        key, value = row.report_id.encode(), row.event.encode()
        producer.produce(self._topics[row.topic], value, key, on_delivery=delivered)
        self._sent[number] = row.report_id

    def _settle(self, database: Database) -> None:
        """Mark what was acknowledged; what was refused stays unsent, and is tried again."""
        if self._acknowledged:
            numbers = list(self._acknowledged)
            mark = update(OutboxEvent).where(OutboxEvent.id.in_(numbers))
            with database.begin() as session:
                session.execute(mark.values(sent_at=datetime.now(UTC)))
            self._stop.wait(_APART_S)
            for number in numbers:
                self._acknowledged.popleft()
                del self._sent[number]
        if self._refused:
            _, reason = self._refused[-1]
            log.warning("%d events wait for Kafka: %s", len(self._refused), reason)
            while self._refused:
                del self._sent[self._refused.popleft()[0]]
            self._stop.wait(_RETRY_S)
