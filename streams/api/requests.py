"""Writes requests to Kafka: first who wants what, then the record, then its row to be read."""

from typing import Any, Final

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql, sqlite

from streams.api import audit
from streams.api.calls import Call
from streams.api.problems import unavailable
from streams.api.producer import AckedProducer, Outgoing
from streams.database.engine import writing
from streams.database.schema import REQUESTS
from streams.errors import KafkaRefusedError, UnreachableError
from streams.settings import Settings
from topology import topics

_VERSION: Final = 1


class RequestWriter:
    """Writes one record per call, and answers only after Kafka has acknowledged it."""

    def __init__(self, settings: Settings, engine: Engine, producer: AckedProducer) -> None:
        self._topic = settings.topic(topics.REQUESTS)
        self._engine = engine
        self._producer = producer

    def write(
        self, call: Call, kind: str, key: str, body: dict[str, Any], *, function: str | None = None
    ) -> None:
        """Write a request; `function` is the slug that it is about.

        Raises:
            ProblemError: 503; the record wasn't acknowledged.
        """
        record = request_record(call, kind, body)
        self.announce(call)
        (received_at,) = self.produce([Outgoing(self._topic, key.encode(), orjson.dumps(record))])
        call.row = request_row(record, key, function, received_at)

    def announce(self, call: Call) -> None:
        """Write down that a call is about to write."""
        with writing(self._engine) as connection:
            audit.open_row(connection, call)

    def produce(self, records: list[Outgoing]) -> list[int]:
        """Produce records; their timestamps.

        Raises:
            ProblemError: 503 or 502; they weren't all acknowledged.
        """
        try:
            return self._producer.send(records)
        except UnreachableError as error:
            raise unavailable("kafka_unavailable", unacknowledged(error)) from error
        except KafkaRefusedError as error:
            raise unavailable("kafka_refused", str(error)) from error


def unacknowledged(error: UnreachableError) -> str:
    """What to tell the caller of a record that may or may not be in Kafka."""
    return (
        f"{error}. If the record was on its way it may still take effect: send the call again with "
        "the same Idempotency-Key, which repeats the same request, or look whether it is there"
    )


def request_record(call: Call, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """The record of a request, as design 2.4 has it."""
    return {
        "v": _VERSION,
        "request_id": call.id,
        "type": kind,
        "requested_by": call.key.name,
        "reason": call.reason,
        "at": call.at,
        "body": body,
    }


def request_row(
    record: dict[str, Any], key: str, function: str | None, received_at: int
) -> dict[str, Any]:
    """The row that the read model will make of a record: it is there before the answer is."""
    return {
        "request_id": record["request_id"],
        "type": record["type"],
        "target": key,
        "function_id": function,
        "requested_by": record["requested_by"],
        "reason": record["reason"],
        "at": record["at"],
        "received_at": received_at,
        "body": orjson.dumps(record["body"]).decode(),
    }


def add_request(connection: Connection, row: dict[str, Any]) -> None:
    """Add a request's row, unless the read model was faster."""
    kind = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(kind.insert(REQUESTS).values(row).on_conflict_do_nothing())
