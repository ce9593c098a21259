"""Copies records to rows: the one place that says in which order all is read and written.

1. ask the brokers for the topics' ids and ends, and the database for the positions to read from
2. read records for some ms
3. make rows of the records, and gather the changes
4. in one transaction move the positions, if they are still where they were, and write the rows

After a crash before the commit of step 4 the same records are read again; after the commit the
positions are behind them. After any failure the copier begins again at step 1.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka.admin import AdminClient
from sqlalchemy import Engine

from streams.clock import now_ms
from streams.kafka.admin import TopicState, partition_ends
from streams.read_model import brokers, counted
from streams.read_model.batch import Batch, Record, Steps, adders
from streams.read_model.figures import Figures
from streams.read_model.position import Move, Moves, Position
from streams.read_model.positions import Positions
from streams.read_model.source import Intake, Source
from streams.read_model.writer import MovedError, Writer
from streams.settings import Settings
from topology.codec import CodecError
from topology.topics import TopicPlace

# Records per transaction: enough to share its cost, few enough that it takes some 50 ms.
_ROUND: Final = 2_000


@dataclass
class _Cursor:
    """How far one partition is read.

    Attributes:
        position: Its position in the database.
        reached: The offset up to which it was read, also past markers of transactions.
        as_of: The time (ms) up to which it was read.
        counted: The offset up to which its changes are counted as activity.
    """

    position: Position
    reached: int
    as_of: int
    counted: int

    def move(self) -> Move:
        """The move of the position to where reading is."""
        return Move(self.position, Position(self.reached, max(self.as_of, self.position.as_of)))


class Copier:
    """Copies what a source reads; used by one thread.

    Raises (start, copy):
        DBAPIError: the database can't be used for now.
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
        """Read these partitions from their positions in the database.

        Raises:
            DatabaseError: the database holds rows of other topics.
        """
        self.topics = brokers.describe(self._admin, self._adders)
        topics = {name: brokers.topic_now(state) for name, state in self.topics.items()}
        positions = self._positions.start(partition_ends(self._admin, places), topics, now_ms())
        self._cursors = {
            place: _Cursor(
                position,
                position.next_offset,
                position.as_of,
                self._positions.counted.get(place, 0),
            )
            for place, position in positions.items()
        }
        self._source.start({place: position.next_offset for place, position in positions.items()})

    def copy(self, timeout_s: float) -> int:
        """Copy the records that come within some ms; gives their number."""
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
        """The offset up to which each partition was read; the database has the records before."""
        return {place: cursor.reached for place, cursor in self._cursors.items()}

    def saw_end(self, place: TopicPlace, at: int, high: int) -> None:
        """Note that a partition ended at `high` at a time (ms); read so far, it is up to date."""
        cursor = self._cursors.get(place)
        if cursor is not None:
            if cursor.reached >= high:
                cursor.as_of = max(cursor.as_of, at)
            self._figures.lag(place, cursor.reached, high)

    def refresh(self, after_ms: int) -> None:
        """Write anew how old the positions are that didn't move for longer than `after_ms`."""
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

    def _gather(self, intake: Intake) -> tuple[Batch, Moves]:
        """Gather the rows of a read and the moves of positions, in memory.

        Raises:
            MovedError: a record lies before the position, so the log is another one.
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
            is_counted = offset < cursor.counted
            self._take(
                place[0], Record(message.key(), message.value(), received, is_counted), batch
            )
        for place, end in intake.ends.items():
            cursors[place].reached = max(cursors[place].reached, end)
        moves = {place: cursors[place].move() for place in touched}
        batch.doubt(counted.doubtful(moves, self._positions.counted, now))
        return batch, moves

    def _take(self, topic: str, record: Record, batch: Batch) -> None:
        try:
            self._adders[topic](batch, record)
        except CodecError as error:
            self._figures.refused(topic, error)

    def _write(self, moves: Moves, steps: Steps) -> None:
        began = time.perf_counter()
        ids = {name: state.id.hex() for name, state in self.topics.items()}
        refused = self._writer.write(moves, steps, ids)
        for place, move in moves.items():
            self._cursors[place].position = move.after
        self._figures.wrote(steps, time.perf_counter() - began, refused)
