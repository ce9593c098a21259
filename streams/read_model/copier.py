"""Copies records to rows: the one place that says in which order things are read and written.

1. ask the brokers for the topics' ids and ends, and the database for the positions: read from there
2. read records for some ms
3. translate them, and gather what they change
4. one transaction: positions, if they are still where they were, and rows

A crash before the commit of 4 reads the same records again; after it, they are behind the
positions. Whatever fails, it begins again at 1.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka.admin import AdminClient
from sqlalchemy import Engine

from streams.clock import now_ms
from streams.kafka.admin import TopicState
from streams.kafka.consumers import Fetched
from streams.read_model import brokers
from streams.read_model.batch import Batch, Found, Steps, adders
from streams.read_model.figures import Figures
from streams.read_model.positions import Move, Position, Positions
from streams.read_model.source import Intake, Source
from streams.read_model.writer import MovedError, Writer
from streams.settings import Settings
from topology.codec import CodecError
from topology.topics import TopicPlace

# Records per transaction: enough to share its cost, few enough that it takes some 50 ms.
_ROUND: Final = 2_000


@dataclass
class _Cursor:
    """One partition: its position in the database, and how far it was read beyond that.

    `reached` may lie further by markers of transactions; `as_of`: all until then was read.
    """

    position: Position
    reached: int
    as_of: int

    def move(self) -> Move:
        """What to write of it."""
        return Move(self.position, Position(self.reached, max(self.as_of, self.position.as_of)))


class Copier:
    """Copies what a source reads; used by one thread.

    Raises (start, copy):
        DBAPIError: the database can't be used now.
        UnreachableError: Kafka doesn't answer.
        KafkaRefusedError: Kafka refuses.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        admin: AdminClient,
        source: Source,
        figures: Figures,
    ) -> None:
        self._admin = admin
        self._source = source
        self._figures = figures
        self._positions = Positions(settings, engine)
        self._writer = Writer(engine)
        self._adders = adders(settings)
        self._cursors: dict[TopicPlace, _Cursor] = {}
        self.topics: dict[str, TopicState] = {}

    def start(self, places: Collection[TopicPlace]) -> None:
        """Find out where these partitions are in the database, and read them from there.

        Raises:
            DatabaseError: the database holds what was read of other topics.
        """
        self.topics = brokers.describe(self._admin, self._adders)
        found = {name: brokers.topic_now(state) for name, state in self.topics.items()}
        positions = self._positions.start(brokers.ends(self._admin, places), found, now_ms())
        self._cursors = {
            place: _Cursor(position, position.next_offset, position.as_of)
            for place, position in positions.items()
        }
        self._source.start({place: one.next_offset for place, one in positions.items()})

    def copy(self, timeout_s: float) -> int:
        """Copy whatever comes within some ms; how many records that were."""
        intake = self._source.read(_ROUND, timeout_s)
        if not self._source.is_started:
            return 0
        try:
            batch, moves = self._gather(intake)
            if moves:
                self._write(moves, batch.steps())
        except MovedError:
            self._figures.dropped()
            self._source.halt()
            return 0
        return len(intake.messages)

    @property
    def reached(self) -> Mapping[TopicPlace, int]:
        """How far each partition was read; all but markers of transactions is in the database."""
        return {place: cursor.reached for place, cursor in self._cursors.items()}

    def saw_end(self, place: TopicPlace, at: int, high: int) -> None:
        """Note where a partition ended at a time; what was read until there is up to date."""
        cursor = self._cursors.get(place)
        if cursor is not None:
            if cursor.reached >= high:
                cursor.as_of = max(cursor.as_of, at)
            self._figures.lag(place, cursor.reached, high)

    def refresh(self, after_ms: int) -> None:
        """Write that positions are up to date that didn't move for longer than `after_ms`."""
        old = {
            place: cursor.move()
            for place, cursor in self._cursors.items()
            if cursor.as_of - cursor.position.as_of > after_ms
        }
        if old and self._source.is_started:
            try:
                self._write(old, [])
            except MovedError:
                self._figures.dropped()
                self._source.halt()

    def _gather(self, intake: Intake) -> tuple[Batch, dict[TopicPlace, Move]]:
        """What was read, as rows; in memory alone.

        Raises:
            MovedError: A record lies before the position: it is another log.
        """
        batch, touched, cursors, now = Batch(), set(), self._cursors, now_ms()
        for message in intake.messages:
            place = message.topic(), message.partition()
            cursor, offset, received = cursors[place], message.offset(), message.timestamp()[1]
            if offset < cursor.reached:
                raise MovedError
            cursor.reached = offset + 1
            if cursor.as_of < received <= now:
                cursor.as_of = received
            touched.add(place)
            self._take(message, place[0], received, batch)
        for place, end in intake.ends.items():
            cursors[place].reached = max(cursors[place].reached, end)
        return batch, {place: cursors[place].move() for place in touched}

    def _take(self, message: Fetched, topic: str, received: int, batch: Batch) -> None:
        try:
            self._adders[topic](batch, Found(message.key(), message.value(), received))
        except CodecError as error:
            self._figures.refused(topic, error)

    def _write(self, moves: Mapping[TopicPlace, Move], steps: Steps) -> None:
        began = time.perf_counter()
        ids = {name: state.id.hex() for name, state in self.topics.items()}
        refused = self._writer.write(moves, steps, ids)
        for place, move in moves.items():
            self._cursors[place].position = move.after
        self._figures.wrote(steps, time.perf_counter() - began, refused)
