"""Brings records from Faust's consumer to the processors: each record once and in order.

Faust may commit, pause and drop records at any time
(`docs/decisions/0001-faust-carries-the-stream.md`). So each partition knows the offset that it
expects next. It takes that record and skips records with smaller offsets. On a larger offset, the
consumer seeks back in all partitions, since stopping the flow drops fetched records of all of them.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final, Protocol, TypeAlias

from faust.types import TP

from streams import logs
from streams.joiner.decide.sources import Source
from streams.joiner.inbox import Record
from streams.joiner.processor import PartitionProcessor

_SETTLE_S: Final = 0.05
_WATCH_S: Final = 0.5
_STUCK_S: Final = 1.0
_PATIENCE_S: Final = 16.0

log = logs.get(__name__)


class FaustConsumer(Protocol):
    """The part of Faust's consumer that the flow uses.

    `tests/broker/test_faust_contract.py` compares it with Faust.
    """

    def assignment(self) -> set[TP]:
        """The partitions that the group has assigned to this process."""

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """The offsets after the partitions' last records, from the broker."""

    def stop_flow(self) -> None:
        """Deliver no more records."""

    def resume_flow(self) -> None:
        """Deliver records again."""

    def pause_partitions(self, tps: set[TP]) -> None:
        """Fetch no more records of these partitions."""

    def resume_partitions(self, tps: set[TP]) -> None:
        """Fetch records of these partitions again."""

    async def seek_wait(self, partitions: dict[TP, int]) -> None:
        """Seek to these offsets."""


Start: TypeAlias = Callable[[int, "Flow", threading.Thread | None], PartitionProcessor]


class Slot:
    """An assigned partition: its processor and the offset it expects next (None: not ready).

    `end` is the offset after its last record; a partition that has stood still with a lag since
    `moved_at` for `patience_s` is sought.
    """

    def __init__(self, processor: PartitionProcessor) -> None:
        self.processor = processor
        self.expected: int | None = None
        self.end = 0
        self.moved_at = monotonic()
        self.patience_s = _STUCK_S


class Flow:
    """The assigned partitions and their positions; runs on the event loop."""

    def __init__(self, topic: str, consumer: Callable[[], FaustConsumer], start: Start) -> None:
        """Bring records of `topic` to the processors that `start` creates.

        It gets the partition, this flow, and the thread of an earlier processor that still closes.
        """
        self._topic = topic
        self._consumer = consumer
        self._start = start
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots: dict[int, Slot] = {}
        self._leaving: dict[int, PartitionProcessor] = {}
        self._repositioning = False
        self._wanted = False
        self._sources: frozenset[Source] = frozenset()
        self._tasks: set[asyncio.Task[None]] = set()

    # From Faust, on the loop

    def assign(self, partitions: set[int]) -> None:
        """Own exactly these partitions: start new processors, stop others; returns at once."""
        self._loop = asyncio.get_running_loop()
        self.revoke(set(self._slots) - partitions)
        for partition in sorted(partitions - set(self._slots)):
            predecessor = self._leaving.pop(partition, None)
            processor = self._start(partition, self, predecessor.thread if predecessor else None)
            self._slots[partition] = Slot(processor)
            processor.start()

    def revoke(self, partitions: set[int]) -> None:
        """Stop the processors of these partitions; returns at once."""
        for partition in partitions & set(self._slots):
            processor = self._slots.pop(partition).processor
            processor.stop()
            self._leaving[partition] = processor

    def offer(self, partition: int, offset: int, value: bytes) -> None:
        """Take a record that Faust delivers, if its partition expects this offset next."""
        slot = self._slots.get(partition)
        if slot is None or slot.processor.full:
            return
        if slot.expected is None:
            # The record isn't lost: once the partition is ready, it is sought to its position.
            self._consumer().pause_partitions({TP(self._topic, partition)})
        elif offset > slot.expected:
            self._reposition(f"offset {offset} came where {slot.expected} was next")
        elif offset == slot.expected:
            if slot.processor.inbox.put_command(Record(offset, value)):
                slot.expected = offset + 1
                slot.moved_at = monotonic()
                slot.patience_s = _STUCK_S
            else:
                slot.processor.has_no_room()
                log.debug("Pausing", why=f"partition {partition} has no room at {offset}")
                self._consumer().pause_partitions({TP(self._topic, partition)})

    def positions(self) -> dict[TP, int]:
        """The offset that each ready partition expects next."""
        ours = self._consumer().assignment()
        return {
            tp: slot.expected
            for partition, slot in self._slots.items()
            if slot.expected is not None and (tp := TP(self._topic, partition)) in ours
        }

    # From processors, in their threads

    def ready(self, partition: int, offset: int) -> None:
        """The partition takes its records from `offset` on."""
        self._call(self._ready, partition, offset)

    def has_room(self, partition: int) -> None:
        """The partition takes records again."""
        self._call(self._has_room, partition)

    def sources(self) -> frozenset[Source]:
        """The sources whose minimum is the watermark."""
        return self._sources

    def set_sources(self, sources: frozenset[Source]) -> None:
        """Note the sources that exist now."""
        self._sources = sources

    # The life of the whole

    async def watch(self) -> None:
        """Seek partitions that stand still with a lag: Faust may have dropped their records."""
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                await self._look_for_stuck()
            except Exception as error:  # noqa: BLE001  # a broker is away or a rebalance goes on: it looks again
                log.debug("Ends of partitions can't be asked now", error=str(error))

    def lag(self, partition: int) -> int:
        """The number of records that a partition hasn't taken yet."""
        slot = self._slots.get(partition)
        if slot is None or slot.expected is None:
            return 0
        return max(0, slot.end - slot.expected)

    async def _look_for_stuck(self) -> None:
        """Ask the broker for the ends, since those that the consumer knows stand still with it."""
        positions = self.positions()
        if not positions:
            return
        ends = await self._consumer().highwaters(*positions)
        for tp, end in ends.items():
            slot = self._slots.get(tp.partition)
            if slot is None or slot.expected is None or slot.processor.full:
                continue
            slot.end = end
            if slot.expected < end and monotonic() - slot.moved_at > slot.patience_s:
                slot.moved_at = monotonic()
                # A seek drops records that are being fetched: on a busy machine, frequent seeks
                # would keep any record from arriving.
                slot.patience_s = min(2 * slot.patience_s, _PATIENCE_S)
                self._reposition(f"partition {tp.partition} stood still at {slot.expected}")

    def close(self) -> None:
        """Stop all processors and wait for their threads."""
        self.revoke(set(self._slots))
        for processor in self._leaving.values():
            processor.thread.join()

    def _call(self, function: Callable[..., None], *arguments: int) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(function, *arguments)

    def _ready(self, partition: int, offset: int) -> None:
        slot = self._slots.get(partition)
        if slot is not None:
            slot.expected = offset
            slot.moved_at = monotonic()
            slot.processor.full = False
            self._reposition(f"partition {partition} is ready at {offset}")

    def _has_room(self, partition: int) -> None:
        slot = self._slots.get(partition)
        if slot is not None and slot.processor.full:
            slot.processor.full = False
            slot.moved_at = monotonic()
            self._reposition(f"partition {partition} has room again at {slot.expected}")

    def _reposition(self, why: str) -> None:
        """Seek all ready partitions to their positions.

        A call during a seek causes one more seek after it.
        """
        self._wanted = True
        if self._repositioning:
            return
        log.debug("Seeking", why=why)
        self._repositioning = True
        task = asyncio.get_running_loop().create_task(self._seek())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _seek(self) -> None:
        try:
            while self._wanted:
                self._wanted = False
                await self._seek_once()
        except Exception as error:  # noqa: BLE001  # a rebalance came between: it seeks again
            log.warning(
                "Seeking failed, it is tried again", error=f"{type(error).__name__}: {error}"
            )
        finally:
            self._repositioning = False

    async def _seek_once(self) -> None:
        consumer = self._consumer()
        consumer.stop_flow()
        try:
            # Faust drops its buffered records now; positions may change only after that.
            await asyncio.sleep(_SETTLE_S)
            positions = self.positions()
            open_again = {tp for tp in positions if not self._slots[tp.partition].processor.full}
            consumer.resume_partitions(open_again)
            if positions:
                await consumer.seek_wait(positions)
        finally:
            consumer.resume_flow()
