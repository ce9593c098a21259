"""A read model without Kafka: what it copies and counts, a batch at a time."""

from typing import Final, NamedTuple

from sqlalchemy import Engine

from streams.read_model.batch import Batch, Record
from streams.read_model.counted import doubtful
from streams.read_model.position import Move, Position
from streams.read_model.positions import Positions, TopicNow
from streams.read_model.writer import Writer
from streams.settings import Settings
from tests.support import records

TOPIC: Final = "t.runs"
# When records were written, unless a test says otherwise.
WRITTEN: Final = records.RECEIVED + 60_000


class Written(NamedTuple):
    """A record and when it was written (ms); None: it was compacted away."""

    value: bytes | None
    at: int = WRITTEN


class Feed:
    """Partitions of `runs` that are read a batch at a time, as the copier does."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        """Empty partitions; `start` comes next."""
        self.engine = engine
        self._positions = Positions(settings, engine)
        self._writer = Writer(engine)
        self._at: dict[tuple[str, int], Position] = {}
        self.topic_id = "id"
        self.logs: dict[int, list[Written]] = {0: [], 1: []}

    def start(self, now: int) -> None:
        """Look where to go on."""
        places = {(TOPIC, n): len(log) for n, log in self.logs.items()}
        self._at = self._positions.start(places, {TOPIC: TopicNow(self.topic_id, 1 << 40)}, now)

    def read(self, most: int = 1 << 30, *, now: int) -> int:
        """Copy some records of each partition; gives their number.

        Raises:
            MovedError: another process has copied them.
        """
        batch, moves, number = Batch(), {}, 0
        for place, position in self._at.items():
            log, first = self.logs[place[1]], position.next_offset
            some = log[first : first + most]
            for offset, (value, written) in enumerate(some, first):
                if value is not None:
                    is_counted = offset < self._positions.counted[place]
                    batch.add_run(Record(b"", value, written, is_counted))
            last = first + len(some)
            times = [position.as_of, *(one.at for one in some if one.at <= now)]
            moves[place] = Move(position, Position(last, now if last == len(log) else max(times)))
            number += len(some)
        batch.doubt(doubtful(moves, self._positions.counted, now))
        self._writer.write(moves, batch.steps(), {TOPIC: self.topic_id})
        self._at = {place: move.after for place, move in moves.items()}
        return number

    def rebuild(self) -> None:
        """Forget what was copied."""
        self._positions.clear()
