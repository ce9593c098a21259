"""Joiners on hosts of their own: they die at every step, lose what was not flushed, and linger."""

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, NamedTuple

from streams.errors import AbortedError, FencedError
from streams.joiner.decide.view import Output
from streams.joiner.store import Store
from tests.simulation.faults import Crash, Faults
from tests.support.logs import LogTransactions
from tests.support.partition import LogChangelog, LogInbox, Setting, StepwisePartition
from tests.support.rows import Batch, MemoryRows
from topology.records import Forward
from topology.tables import Checkpoint

Died = (Crash, AbortedError, FencedError)


class DiskRows(MemoryRows):
    """Rows of which a crash takes what was not flushed; a flush keeps the order of the writes."""

    def __init__(self, faults: Faults) -> None:
        """Begin with an empty disk."""
        super().__init__()
        self._faults = faults
        self._flushed: tuple[dict[bytes, bytes], Checkpoint | None] = ({}, None)

    def write(self, batch: Batch) -> None:
        """Write to memory, and now and then to disk."""
        super().write(batch)
        if self._faults.random.random() < 0.1:
            self.close()

    def close(self) -> None:
        """Bring everything to disk."""
        self._flushed = (dict(self.rows), self._checkpoint)

    def after_crash(self) -> "DiskRows":
        """What is found on the disk."""
        found = DiskRows(self._faults)
        found._flushed = self._flushed
        MemoryRows.__init__(found, self._flushed[0])
        found._checkpoint = self._flushed[1]
        return found


class CrashingChangelog(LogChangelog):
    """A changelog whose reader dies between batches of any size."""

    def __init__(self, setting: Setting, partition: int, faults: Faults) -> None:
        """Read the changelog of `partition`."""
        super().__init__(setting, partition, lambda: faults.random.choice((1, 2, 7, 50, 1_000)))
        self._faults = faults

    def _empty(self) -> MemoryRows:
        return DiskRows(self._faults)

    def _apply(self, store: Store, messages: list[Any]) -> int:
        self._faults.crash_at("restore_before_batch")
        position = super()._apply(store, messages)
        self._faults.crash_at("restore_after_batch")
        return position


class CrashingTransactions(LogTransactions):
    """Transactions that abort, are fenced without a rival, or end with the process."""

    def __init__(self, setting: Setting, partition: int, faults: Faults) -> None:
        """Write to `partition`."""
        super().__init__(setting.cluster, partition)
        self._faults = faults

    def commit(
        self,
        facts: Mapping[bytes, bytes | None],
        outputs: Iterable[Output] = (),
        forwards: Mapping[int, list[Forward]] | None = None,
    ) -> int:
        """Write everything or nothing; and perhaps say nothing of it."""
        self._faults.crash_at("before_commit")
        if self._faults.happens("abort"):
            self._log("state").mark()
            raise AbortedError("a broker was slow")
        if self._faults.happens("fenced_before_commit"):
            raise FencedError("the coordinator timed out")
        offset = super().commit(facts, outputs, forwards)
        self._faults.crash_at("after_commit")
        if self._faults.happens("fenced_after_commit"):
            raise FencedError("the coordinator timed out, but committed")
        return offset


class ShortInbox(LogInbox):
    """An inbox to which only so many records come for now."""

    def __init__(self, partition: StepwisePartition, setting: Setting, random: Random) -> None:
        """Give what a partition has not applied yet."""
        super().__init__(setting, partition._partition.number, partition.applied)
        self._random = random

    def take(self, room: int, timeout_s: float) -> tuple[list[Any], list[Any]]:
        """At most a few records."""
        return super().take(self._random.randint(1, room), timeout_s)


class Owner(NamedTuple):
    """A partition's processor on a host."""

    host: int
    processor: StepwisePartition


class Joiners:
    """All partitions, each with one owner and perhaps one that doesn't know yet that it is none."""

    def __init__(
        self,
        setting: Setting,
        faults: Faults,
        make: Callable[..., StepwisePartition] = StepwisePartition,
        hosts: int = 3,
    ) -> None:
        """Nobody owns anything at first; `make` makes the processors."""
        self.setting = setting
        self.owners: dict[int, Owner | None] = dict.fromkeys(range(setting.partitions))
        self._zombies: list[tuple[int, Owner]] = []
        self._changelogs: dict[tuple[int, int], CrashingChangelog] = {}
        self._faults = faults
        self._make = make
        self._hosts = hosts

    def step(self, partition: int) -> bool:
        """Let a partition's owner work; whether it was alive all the time."""
        owner = self.owners[partition]
        if owner is None:
            return self._start(partition)
        if self._faults.happens("rebalance", 0.5):
            self._replace(partition, owner)
            return False
        return self._work(partition, owner)

    def linger(self) -> None:
        """Let one that lost its partition go on working: it is fenced, or was not yet."""
        if not self._zombies:
            return
        at = self._faults.random.randrange(len(self._zombies))
        partition, zombie = self._zombies[at]
        try:
            zombie.processor.work()
        except Died as error:
            self._faults.happened["zombie_fenced"] += isinstance(error, FencedError)
            self._died(partition, zombie)
            del self._zombies[at]

    def settle(self) -> None:
        """Nothing fails any more: everybody who lingers goes, everything is worked off."""
        while self._zombies:
            self._died(*self._zombies.pop())
        before = -1
        while before != (before := sum(self.setting.cluster.epochs.values()) + self.transactions()):
            for partition in self.owners:
                self.step(partition)

    def transactions(self) -> int:
        """How many transactions the owners have committed."""
        return sum(one.processor.applied_transactions for one in self.owners.values() if one)

    def _start(self, partition: int) -> bool:
        busy = {owner.host for number, owner in self._zombies if number == partition}
        host = self._faults.random.choice(sorted(set(range(self._hosts)) - busy))
        changelog = self._changelogs.setdefault(
            (host, partition), CrashingChangelog(self.setting, partition, self._faults)
        )
        processor = self._make(
            self.setting,
            partition,
            changelog,
            lambda: CrashingTransactions(self.setting, partition, self._faults),
        )
        owner = Owner(host, processor)
        try:
            processor.begin()
        except Died:
            self._died(partition, owner)
            return False
        processor.inbox = ShortInbox(processor, self.setting, self._faults.random)
        self.owners[partition] = owner
        return True

    def _work(self, partition: int, owner: Owner) -> bool:
        try:
            owner.processor.work()
        except Died:
            self._died(partition, owner)
            self.owners[partition] = None
            return False
        return True

    def _replace(self, partition: int, owner: Owner) -> None:
        """Another host is to take over: the owner closes, or goes on as if nothing had happened."""
        others = sum(number == partition for number, _ in self._zombies)
        if others < self._hosts - 1 and self._faults.random.random() < 0.5:
            self._zombies.append((partition, owner))
        else:
            owner.processor.end()
        self.owners[partition] = None

    def _died(self, partition: int, owner: Owner) -> None:
        changelog = self._changelogs[owner.host, partition]
        if isinstance(changelog.rows, DiskRows):
            changelog.rows = changelog.rows.after_crash()
