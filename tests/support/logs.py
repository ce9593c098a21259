"""Topics without a broker: logs whose transactions are there as a whole or not at all."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from streams.errors import FencedError
from streams.joiner.decide.view import Output
from streams.joiner.transaction import encoded_forwards
from topology.records import Forward

Headers = Sequence[tuple[str, str | bytes | None]]


class LogRecord(NamedTuple):
    """One record; `error`, `key` and so on of confluent-kafka's messages are `Message`'s."""

    offset: int
    key: bytes | None
    value: bytes | None
    received: int
    headers: Headers


class Message(NamedTuple):
    """A record in the shape in which confluent-kafka gives it."""

    record: LogRecord

    def error(self) -> None:
        """No error."""

    def key(self) -> bytes | None:
        """The record's key."""
        return self.record.key

    def value(self) -> bytes | None:
        """The record's value."""
        return self.record.value

    def offset(self) -> int:
        """Where it lies."""
        return self.record.offset


class Log:
    """One partition of a topic. Transactions leave a marker, so offsets have gaps."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.end = 0

    def append(
        self,
        value: bytes | None,
        *,
        key: bytes | None = None,
        received: int = 0,
        headers: Headers | None = None,
    ) -> int:
        """Append a record; its offset."""
        self.records.append(LogRecord(self.end, key, value, received, headers or []))
        self.end += 1
        return self.end - 1

    def mark(self) -> None:
        """Append a transaction's marker."""
        self.end += 1

    def read(self, offset: int, most: int | None = None) -> list[LogRecord]:
        """The records from an offset on, at most so many."""
        begin = bisect_left(self.records, offset, key=lambda record: record.offset)
        return self.records[begin : None if most is None else begin + most]

    def compact(self, before: int, tombstones_before: int) -> None:
        """Keep the last record of each key below an offset; old tombstones go too."""
        last = {record.key: record.offset for record in self.records}
        self.records = [
            record
            for record in self.records
            if record.offset >= before
            or (
                last[record.key] == record.offset
                and (record.value is not None or record.offset >= tombstones_before)
            )
        ]


class Cluster:
    """All logs by topic and partition, and who may write in transactions to a partition."""

    def __init__(self, now: Callable[[], int] = lambda: 0) -> None:
        """An empty cluster; records of transactions are received `now`."""
        self.now = now
        self._logs: defaultdict[tuple[str, int], Log] = defaultdict(Log)
        self.epochs: defaultdict[int, int] = defaultdict(int)

    def log(self, topic: str, partition: int) -> Log:
        """One partition of a topic."""
        return self._logs[topic, partition]

    def records(self, topic: str) -> list[LogRecord]:
        """All records of a topic, partition by partition."""
        names = sorted(place for place in self._logs if place[0] == topic)
        return [record for place in names for record in self._logs[place].records]


class LogTransactions:
    """`streams.joiner.transaction.Transactions` on a cluster."""

    def __init__(self, cluster: Cluster, partition: int) -> None:
        self._cluster = cluster
        self._partition = partition
        self._epoch = -1

    def begin_life(self) -> None:
        """Fence every earlier producer of the partition."""
        self._cluster.epochs[self._partition] += 1
        self._epoch = self._cluster.epochs[self._partition]

    def commit(
        self,
        facts: Mapping[bytes, bytes | None],
        outputs: Iterable[Output] = (),
        forwards: Mapping[int, list[Forward]] | None = None,
    ) -> int:
        """Write everything, or nothing; the offset of the last record in `state`."""
        if self._epoch != self._cluster.epochs[self._partition]:
            raise FencedError("another producer has taken over")
        touched = [self._log("state")]
        for output in outputs:
            touched.append(self._log(output.topic))
            touched[-1].append(
                output.value, key=output.key, headers=output.headers, received=self._cluster.now()
            )
        for target, commands in (forwards or {}).items():
            touched.append(self._cluster.log("forwards", target))
            for value in encoded_forwards(commands):
                touched[-1].append(value)
        for key, row in facts.items():
            touched[0].append(row, key=key)
        last = touched[0].end - 1
        for log in {id(log): log for log in touched}.values():
            log.mark()
        return last

    def close(self) -> None:
        """Nothing is open between calls."""

    def _log(self, topic: str) -> Log:
        return self._cluster.log(topic, self._partition)


def topic_id(topic: str) -> bytes:
    """The id of a topic's one life."""
    return blake2b(topic.encode(), digest_size=16).digest()
