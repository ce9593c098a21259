"""The joiner's real partition processor, stepped by its caller: no thread, no client, no broker."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, cast

from streams.crash import crash_at
from streams.joiner.changelog import Changelog, Log, Progress
from streams.joiner.decide.functions import Functions
from streams.joiner.decide.view import Bounds, Output, Partition, View
from streams.joiner.figures import Figures
from streams.joiner.inbox import Inbox, Record
from streams.joiner.intake import Places
from streams.joiner.processor import PartitionProcessor, Parts, TopicIds, _applied
from streams.joiner.store import Memory, Store
from streams.joiner.transaction import encoded_forwards
from streams.metrics import Metrics
from tests.support.logs import Cluster, LogTransactions, Message, topic_id
from tests.support.rows import MemoryRows
from topology import topics
from topology.tables import AppliedRow

Source = tuple[bytes, int]
TOPICS = {spec.name: spec.name for spec in topics.TOPICS}
TOMBSTONES_MS = 24 * 60 * 60 * 1000


class Idle(BaseException):
    """The partition has done all that it could; no handler of errors may take it for one."""


class Clock:
    """The time of a test, in ms; what takes a `streams.clock.Clock` can read it."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        """The time now."""
        return self.now


class Setting(NamedTuple):
    """What the partitions of one test share."""

    cluster: Cluster
    clock: Clock
    partitions: int
    sources: Callable[[], frozenset[Source]]
    memory: Memory | None = None
    crash_at: Callable[[str], None] = crash_at
    bounds: Bounds = Bounds()
    topic_ids: Callable[[], frozenset[bytes]] = frozenset


class LogInbox(Inbox):
    """Gives the records of a partition's logs, each once, and ends the work when there are none."""

    def __init__(self, setting: Setting, partition: int, applied: AppliedRow) -> None:
        super().__init__()
        self._logs = [setting.cluster.log(topic, partition) for topic in ("commands", "forwards")]
        self._next = [applied.commands + 1, applied.forwards + 1]

    def take(self, room: int, timeout_s: float) -> tuple[list[Record], list[Record]]:
        """The next records of each."""
        taken = []
        for which, log in enumerate(self._logs):
            records = log.read(self._next[which], room)
            if records:
                self._next[which] = records[-1].offset + 1
            taken.append([Record(record.offset, record.value or b"") for record in records])
        if timeout_s and not any(taken):
            raise Idle
        return taken[0], taken[1]

    def has_room(self) -> bool:
        """Always: nothing waits in memory."""
        return True


class LogChangelog(Changelog):
    """The changelog of a partition on a cluster; restores rows in memory, or a real store."""

    def __init__(self, setting: Setting, partition: int, batch: Callable[[], int]) -> None:
        """`batch` says how many records the next read gives."""
        log = Log("state", topic_id("state"), partition, TOMBSTONES_MS)
        super().__init__({}, log, Lock(), Places(partition, ()), setting.clock)
        self._log = setting.cluster.log("state", partition)
        self._batch = batch
        self.rows: MemoryRows | None = None

    def restore(
        self,
        path: Path,
        memory: Memory | None,
        barrier: int,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> Store:
        """The rows as of the barrier."""
        if memory is not None:
            return super().restore(path, memory, barrier, progress, stop)
        store = cast("Any", self._kept(barrier))
        self._read(store, barrier, progress, stop)
        return cast("Store", store)

    def _kept(self, barrier: int) -> MemoryRows:
        checkpoint = None if self.rows is None else self.rows.checkpoint()
        if checkpoint is None or not self._fits(checkpoint, barrier):
            self.rows = self._empty()
        assert self.rows is not None
        return self.rows

    def _empty(self) -> MemoryRows:
        return MemoryRows()

    def _read(
        self, store: Store, barrier: int, progress: Progress, stop: Callable[[], bool]
    ) -> None:
        checkpoint = store.checkpoint()
        position = 0 if checkpoint is None else checkpoint.offset
        while position <= barrier and not stop():
            messages = [Message(record) for record in self._log.read(position, self._batch())]
            position = self._apply(store, cast("Any", messages))
            progress(max(0, barrier + 1 - position))


class Committed(NamedTuple):
    """What one transaction wrote, and what its evaluations cost."""

    outputs: list[Output]
    rows: int
    size: int
    cost: float


class RecordedFigures(Figures):
    """The real figures, and all that they were told."""

    def __init__(self, metrics: Metrics, partition: int, clock: Clock) -> None:
        super().__init__(metrics, partition, clock)
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.transactions: list[Committed] = []

    def committed(self, view: View, *rest: Any, **named: Any) -> None:
        """A transaction is committed and written."""
        super().committed(view, *rest, **named)
        self.counts.update(view.counts)
        size = sum(len(key) + len(value or b"") for key, value in view.changed.items())
        size += sum(len(output.value or b"") for output in view.outputs)
        size += sum(
            len(value)
            for commands in view.forwards.values()
            for value in encoded_forwards(commands)
        )
        self.transactions.append(Committed(view.outputs, len(view.changed), size, view.meter.spent))


class StepwisePartition(PartitionProcessor):
    """One partition of the joiner; `begin` is steps 1 to 3 of the durable order, `work` 4 to 6."""

    store: Any
    transactions: Any

    def __init__(
        self,
        setting: Setting,
        partition: int,
        changelog: LogChangelog,
        transactions: Callable[[], Any],
        path: Path | None = None,
    ) -> None:
        """Process `partition` of the setting's cluster."""
        self.recorded = RecordedFigures(Metrics(), partition, setting.clock)
        self._setting = setting
        parts = Parts(
            client={},
            topics=TOPICS,
            ids=TopicIds(topic_id("commands"), topic_id("forwards")),
            path=path or Path(),
            changelog=changelog,
            memory=cast("Memory", setting.memory),
            transactions=transactions,
            turn=Lock(),
            functions=Functions(),
            topic_ids=setting.topic_ids,
            clock=setting.clock,
            crash_at=setting.crash_at,
        )
        which = Partition(partition, setting.partitions, bounds=setting.bounds)
        super().__init__(which, parts, cast("Any", self), self.recorded, None)

    @property
    def applied(self) -> AppliedRow:
        """How far the partition is."""
        return _applied(self.store)

    @property
    def applied_transactions(self) -> int:
        """How many transactions it has committed and written."""
        return len(self.recorded.transactions)

    def begin(self) -> None:
        """Fence, restore, and find out where to go on."""
        self.transactions = self._parts.transactions()
        self.transactions.begin_life()
        self.store = self._restore(self.transactions)
        self.inbox = self._inbox()

    def work(self) -> None:
        """Decide, commit and write until there is nothing more to do."""
        with suppress(Idle):
            self._work(self.store, self.transactions, self.applied, lambda: None)

    def end(self) -> None:
        """Close everything."""
        self.transactions.close()
        self.store.close()

    def sources(self) -> frozenset[Source]:
        """The sources whose minimum is the watermark."""
        return self._setting.sources()

    def _inbox(self) -> LogInbox:
        return LogInbox(self._setting, self._partition.number, self.applied)


def in_memory(setting: Setting, partition: int, path: Path | None = None) -> StepwisePartition:
    """A partition that never crashes; with a path its rows lie in a real store."""
    changelog = LogChangelog(setting, partition, lambda: 1_000)
    made = StepwisePartition(
        setting,
        partition,
        changelog,
        lambda: LogTransactions(setting.cluster, partition),
        path,
    )
    made.begin()
    return made
