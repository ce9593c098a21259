"""A read model without Kafka: what it copies and counts, a batch at a time."""

from sqlalchemy import Engine

from streams.read_model.batch import Batch, Record
from streams.read_model.positions import Move, Position, Positions, TopicNow
from streams.read_model.writer import Writer
from streams.settings import Settings
from tests.support import records

TOPIC = "t.runs"
# When every record was written.
WRITTEN = records.RECEIVED + 60_000


class Feed:
    """Partitions of `runs` that are read a batch at a time, as the copier does."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        """Empty partitions; `start` comes next."""
        self.engine = engine
        self._positions = Positions(settings, engine)
        self._writer = Writer(engine)
        self._at: dict[tuple[str, int], Position] = {}
        self.topic_id = "id"
        self.logs: dict[int, list[bytes]] = {0: [], 1: []}

    def start(self, now: int) -> None:
        """Look where to go on."""
        places = {(TOPIC, n): len(log) for n, log in self.logs.items()}
        self._at = self._positions.start(places, {TOPIC: TopicNow(self.topic_id, 1 << 40)}, now)

    def read(self, most: int = 1 << 30, *, as_of: int) -> None:
        """Copy some records of each partition.

        Raises:
            MovedError: another process has copied them.
        """
        batch, moves = Batch(), {}
        for place, position in self._at.items():
            first = position.next_offset
            some = self.logs[place[1]][first : first + most]
            for offset, value in enumerate(some, first):
                is_counted = offset < self._positions.counted[place]
                batch.add_run(Record(b"", value, WRITTEN, is_counted))
            moves[place] = Move(position, Position(first + len(some), as_of))
        self._writer.write(moves, batch.steps(), {TOPIC: self.topic_id})
        self._at = {place: move.after for place, move in moves.items()}

    def rebuild(self) -> None:
        """Forget what was copied."""
        self._positions.clear()
