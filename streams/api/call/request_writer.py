"""Writes requests to Kafka: first an audit row, then the record; the request's row comes last."""

import msgspec
from sqlalchemy import Engine

from streams.api.call import audit_rows
from streams.api.call.call import Call
from streams.api.fields import Row
from streams.api.problems import kafka_problem
from streams.api.producer import AckedProducer, Outgoing
from streams.database.engine import writing
from streams.database.schema import REQUESTS
from streams.errors import UnreachableError
from streams.read_model.rows import request_row
from streams.settings import Settings
from topology import topics
from topology.requests import REQUEST_NAMES, RequestRecord


class RequestWriter:
    """Writes what calls ask for, and returns only after Kafka has acknowledged it."""

    def __init__(self, settings: Settings, engine: Engine, producer: AckedProducer) -> None:
        self._topic = settings.topic(topics.REQUESTS)
        self._engine = engine
        self._producer = producer

    def write(self, call: Call, key: str, body: msgspec.Struct) -> Row:
        """Write a request under the key of what it addresses; its row.

        Raises:
            ProblemError: 503; the record wasn't acknowledged.
        """
        value = request_record(call, body)
        self.announce(call)
        (received_at,) = self.produce([Outgoing(self._topic, key.encode(), value)])
        # The read model will make the same row of the record: here it is there before the answer.
        row = request_row(key.encode(), value, received_at)
        call.row = dict(zip(REQUESTS.c.keys(), row, strict=True))
        return call.row

    def announce(self, call: Call) -> None:
        """Add the audit row of a call that is about to write."""
        with writing(self._engine) as connection:
            audit_rows.open_row(connection, call)

    def produce(self, records: list[Outgoing]) -> list[int]:
        """Produce records; their timestamps.

        Raises:
            ProblemError: 503; they weren't all acknowledged.
        """
        try:
            return self._producer.send(records)
        except UnreachableError as error:
            raise kafka_problem(error, _unacknowledged(error)) from error


def request_record(call: Call, body: msgspec.Struct) -> bytes:
    """The record of a request."""
    record = RequestRecord(
        request_id=call.id,
        type=REQUEST_NAMES[type(body)],
        requested_by=call.key.name,
        reason=call.reason,
        at=call.at,
        body=msgspec.Raw(msgspec.json.encode(body)),
    )
    return msgspec.json.encode(record)


def _unacknowledged(error: UnreachableError) -> str:
    """What to tell the caller of a record that may or may not be in Kafka."""
    return (
        f"{error}. If the record was on its way it may still take effect: send the call again with "
        "the same Idempotency-Key, which repeats the same request, or look whether it is there"
    )
