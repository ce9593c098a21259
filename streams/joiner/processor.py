"""Processes one partition that this process owns, in a thread of its own.

The durable order is here and nowhere else:

1. fence earlier producers of the partition
2. commit a barrier row, then restore RocksDB until the barrier is passed
3. take `commands` from applied + 1, and `forwards` likewise
4. decide on a bounded batch, in memory
5. commit changelog rows, outputs, forwards, applied offsets and sources in one transaction
6. write the same rows, and those derived from them, to RocksDB in one batch, with the checkpoint
7. on revoke, stop or a fatal error: close; where the partition is still ours, start again at 1

A crash before 5 has no effect: the same input is decided again. After a crash between 5 and 6 the
changelog is ahead of the disk: the restore brings the rows and the applied offsets to the disk.
After 6 nothing is to be repeated.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol
from uuid import uuid4

from confluent_kafka import TopicPartition

from streams import logs
from streams.clock import Clock, now_ms
from streams.crash import crash_at
from streams.errors import (
    AbortedError,
    DamagedStoreError,
    FencedError,
    GaveUpError,
    LostInputError,
    UnreadableError,
)
from streams.joiner import letters
from streams.joiner.changelog import Changelog
from streams.joiner.decide.functions import Functions
from streams.joiner.decide.poison import PoisonError
from streams.joiner.decide.sources import Source
from streams.joiner.decide.transaction import Input, UndecidableError, decide_batch, room
from streams.joiner.decide.view import Partition, View
from streams.joiner.figures import Figures
from streams.joiner.forwards import ForwardReader
from streams.joiner.inbox import Inbox
from streams.joiner.intake import Intake, Places
from streams.joiner.store import Memory, Store, wipe
from streams.joiner.transaction import Transactions
from streams.joiner.upkeep import Upkeep
from streams.kafka.consumers import follower
from topology import codec, limits, tables
from topology.records import CommandBatch
from topology.tables import AppliedRow

_WAIT_S: Final = 0.2
_PAUSE_S: Final = 1.0
_LONG_PAUSE_S: Final = 30.0

log = logs.get(__name__)


class TopicIds(NamedTuple):
    """The ids that the topics had when this process started: a recreated topic has another id."""

    commands: bytes
    forwards: bytes


class Parts(NamedTuple):
    """What a partition's processor works with.

    `topics` has full names by names without prefix, `path` is the folder of the rows, and
    `transactions` creates the producer of one life. All partitions of a process share the lock
    `turn`, which each holds while it computes but never while it waits for a broker: threads of one
    interpreter that compute at the same time take twice as long as one after the other. Within its
    turn each uses the shared `functions`. `topic_ids` asks the cluster for the ids of its topics.
    `skipped` are records to leave out, as `topic/partition@offset`. `crash_at` is called with the
    name of each step at which tests let the process crash.
    """

    client: Mapping[str, Any]
    topics: Mapping[str, str]
    ids: TopicIds
    path: Path
    memory: Memory
    changelog: Changelog
    transactions: Callable[[], Transactions]
    turn: threading.Lock
    functions: Functions
    topic_ids: Callable[[], frozenset[bytes]]
    skipped: frozenset[str] = frozenset()
    clock: Clock = now_ms
    crash_at: Callable[[str], None] = crash_at


class Stream(Protocol):
    """Brings records of `commands` to a processor, which calls it from its thread."""

    def ready(self, partition: int, offset: int) -> None:
        """The partition is restored: it takes records from `offset` on."""

    def has_room(self, partition: int) -> None:
        """The partition's inbox was full and has room again."""

    def sources(self) -> frozenset[Source]:
        """The sources whose minimum is the watermark."""


class PartitionProcessor:
    """Processes one partition from its assignment to its revocation, in `thread`.

    `full` is set when `inbox` had no room for a record; the stream clears it later.
    """

    def __init__(
        self,
        partition: Partition,
        parts: Parts,
        stream: Stream,
        figures: Figures,
        predecessor: threading.Thread | None,
    ) -> None:
        """Process `partition`, once `predecessor` is gone."""
        self.inbox = Inbox()
        self.full = False
        self._partition = partition
        self._parts = parts
        self._stream = stream
        self._figures = figures
        self._predecessor = predecessor
        self._stopping = threading.Event()
        self._upkeep = Upkeep(self._view, parts.topic_ids, parts.turn, parts.clock)
        self.thread = threading.Thread(
            target=self._run, name=f"partition-{partition.number}", daemon=True
        )

    def start(self) -> None:
        """Start the thread; returns at once."""
        self.thread.start()

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        self._stopping.set()
        self.inbox.close()

    def has_no_room(self) -> None:
        """Note that the inbox took no record, so that the stream brings none until it does."""
        self.full = True
        self._figures.paused()

    def _run(self) -> None:
        if self._predecessor is not None:
            self._predecessor.join()
        while not self._stopping.is_set():
            pause = _PAUSE_S
            try:
                self._live()
            except GaveUpError:
                return
            except FencedError as error:
                log.warning(
                    "Partition was fenced: it starts again", **self._where(), error=str(error)
                )
                self._figures.fenced()
            except (LostInputError, UnreadableError, codec.UnknownLevelError) as error:
                self._stopped(str(error))
                pause = _LONG_PAUSE_S
            except DamagedStoreError as error:
                log.exception("Rows are damaged: restored anew", **self._where(), error=str(error))
                self._figures.stopped(str(error))
                wipe(self._parts.path)
            except Exception as error:  # the partition must not stop while its process runs
                log.exception(
                    "Partition failed: it starts again", **self._where(), error=str(error)
                )
                self._figures.stopped(str(error))
            self._stopping.wait(pause)

    def _live(self) -> None:
        """One life of the partition: steps 1 to 6, and 7 at its end."""
        self._figures.starting()
        with ExitStack() as life:  # 7: all callbacks run, whatever one of them raises
            life.callback(self._figures.closed)
            transactions: Transactions = self._parts.transactions()
            transactions.leaving = self._stopping
            life.callback(transactions.close)
            transactions.begin_life()  # 1
            store = self._restore(transactions)  # 2
            life.callback(store.close)
            if self._stopping.is_set():
                return
            applied = _applied(store)
            _check_count(applied.partitions, self._partition)
            self._check_input(applied)
            reader = self._forward_reader(applied)  # 3
            life.callback(reader.stop)
            life.callback(self._drop_inbox)
            reader.start()
            self._figures.ready(applied)
            self._stream.ready(self._partition.number, applied.commands + 1)
            self._work(store, transactions, applied, reader.check)  # 4 to 6

    def _stopped(self, problem: str) -> None:
        log.error("Partition stopped, nothing is skipped", **self._where(), error=problem)
        self._figures.stopped(problem)

    def _drop_inbox(self) -> None:
        self.inbox.close()
        if not self._stopping.is_set():
            self.inbox = Inbox()

    def _restore(self, transactions: Transactions) -> Store:
        barrier = transactions.commit({tables.BARRIER_KEY: uuid4().bytes})
        store = self._parts.changelog.restore(
            self._parts.path,
            self._parts.memory,
            barrier,
            self._figures.restoring,
            self._stopping.is_set,
        )
        self._parts.crash_at("joiner_after_restore")
        return store

    def _check_input(self, applied: AppliedRow) -> None:
        """Check that the input goes on right after what is applied.

        Raises:
            LostInputError: records in between are gone, or the topic was recreated.
        """
        consumer = follower(self._parts.client, "countermand-check")
        try:
            for name, offset, before, now in (
                ("commands", applied.commands, applied.commands_id, self._parts.ids.commands),
                ("forwards", applied.forwards, applied.forwards_id, self._parts.ids.forwards),
            ):
                topic = self._parts.topics[name]
                low, high = consumer.get_watermark_offsets(
                    TopicPartition(topic, self._partition.number), timeout=30
                )
                _check_offset(topic, offset, low, high, same=not before or before == now)
        finally:
            consumer.close()

    def _forward_reader(self, applied: AppliedRow) -> ForwardReader:
        topic = self._parts.topics["forwards"]
        return ForwardReader(
            self._parts.client, topic, self._partition.number, applied.forwards + 1, self.inbox
        )

    def _work(
        self,
        store: Store,
        transactions: Transactions,
        applied: AppliedRow,
        check: Callable[[], None],
    ) -> None:
        """Steps 4 to 6, again and again; `check` raises if the input has ended."""
        inputs: list[Input] = []
        intake = self._intake(applied)
        commit = partial(self._commit, transactions)
        applied = self._upkeep.end_misdated(store, applied, commit)
        while not self._stopping.is_set():
            check()
            applied = self._upkeep.forget_sources(store, applied, commit)
            due = store.due(applied.watermark, limits.TIMERS_PER_TRANSACTION)
            work = store.work()
            idle = not (inputs or due or work)
            if most := room(inputs):
                inputs += self._take(intake, most, _WAIT_S if idle else 0)
            if not (inputs or due or work):
                continue
            with self._parts.turn:
                view, reached = self._decide(intake, store, applied, inputs, due, work)
            next_applied = self._next(applied, view, inputs, reached, intake.marked)
            try:
                applied = commit(store, view, next_applied)
            except AbortedError as error:
                log.warning("Transaction aborted: decided again", **self._where(), error=str(error))
                self._figures.aborted()
                store.undo_due(due)
                continue
            store.had_turns(view.worked)
            _advance(inputs, reached)
            store.undo_due([timer for timer in due if timer not in view.derived])

    def _intake(self, applied: AppliedRow) -> Intake:
        names = self._parts.topics["commands"], self._parts.topics["forwards"]
        return Intake(names, Places(self._partition.number, self._parts.skipped), applied)

    def _take(self, intake: Intake, most: int, timeout_s: float) -> list[Input]:
        commands, forwards = self.inbox.take(most, timeout_s)
        if self.full and self.inbox.has_room():
            self._stream.has_room(self._partition.number)
        self._figures.queued(self.inbox.bytes)
        return intake.inputs(commands, forwards)

    def _decide(  # noqa: PLR0913, PLR0917  # what one transaction decides on
        self,
        intake: Intake,
        store: Store,
        applied: AppliedRow,
        inputs: list[Input],
        due: list[bytes],
        work: list[bytes],
    ) -> tuple[View, list[int]]:
        """Step 4: the view of the decisions, and the number of entries decided in each input.

        A command whose decision raises becomes a dead letter, a row whose decision raises is given
        up, and all others are decided.
        """
        given_up: dict[bytes, str] = {}
        while True:
            view = self._view(store, applied)
            try:
                reached = decide_batch(view, inputs, self._stream.sources(), due, work, given_up)
            except UndecidableError as error:
                if error.place in error.record.refused:
                    # Leaving the command out didn't help: nothing more may be skipped.
                    raise intake.unreadable(error.record, error) from error
                log.exception("A command can't be decided", **self._where(), error=str(error))
                error.record.refused[error.place] = str(error)
                continue
            except PoisonError as error:
                if error.key in given_up:
                    raise
                log.exception("A row can't be decided on", **self._where(), row=error.key.hex())
                given_up[error.key] = str(error)
                continue
            letters.emit(view, self._parts.topics["forwards"], inputs, reached)
            return view, reached

    def _view(self, store: Store, applied: AppliedRow) -> View:
        now = self._parts.clock()
        return View(store, self._partition, self._parts.functions, now, applied.watermark)

    def _next(
        self,
        applied: AppliedRow,
        view: View,
        inputs: list[Input],
        reached: list[int],
        marked: int,
    ) -> AppliedRow:
        """The applied offsets once this view is committed."""
        commands, forwards = applied.commands, applied.forwards
        done = [record for record, at in zip(inputs, reached, strict=False) if at == record.size]
        for record in done:
            if isinstance(record.body, CommandBatch):
                commands = record.offset
            else:
                forwards = record.offset
        if not any(isinstance(record.body, tuple) for record in inputs[len(done) :]):
            # Transaction markers have offsets too, and retention may remove them with the records.
            forwards = max(forwards, marked)
        return AppliedRow(
            commands=commands,
            forwards=forwards,
            watermark=view.watermark,
            commands_id=self._parts.ids.commands,
            forwards_id=self._parts.ids.forwards,
            pending=applied.pending + view.pending,
            partitions=self._partition.of,
        )

    def _commit(
        self, transactions: Transactions, store: Store, view: View, applied: AppliedRow
    ) -> AppliedRow:
        """Steps 5 and 6; the applied row that is committed."""
        view.put(tables.APPLIED_KEY, codec.APPLIED_ROWS.encode(applied))
        self._parts.crash_at("joiner_before_transaction")
        with self._figures.transaction():
            offset = transactions.commit(view.changed, view.outputs, view.forwards)  # 5
        with self._parts.turn:
            checkpoint = self._parts.changelog.checkpoint(offset + 1)
            batch = store.batch(view.changed, view.derived, checkpoint)
        store.write(batch)  # 6; without the turn, though rocksdict 0.3 keeps the interpreter
        self._parts.crash_at("joiner_after_write")
        self._figures.committed(view, applied, store)
        return applied

    def _where(self) -> dict[str, object]:
        return {"partition": self._partition.number}


def _applied(store: Store) -> AppliedRow:
    value = store.get(tables.APPLIED_KEY)
    return codec.APPLIED_ROWS.decode(value) if value is not None else AppliedRow()


def _check_count(noted: int, partition: Partition) -> None:
    """Check that the rows were made for as many partitions as this process knows of.

    Raises:
        LostInputError: they were not, so rows lie elsewhere than input would look for them.
    """
    if noted not in {0, partition.of} or partition.number >= partition.of:
        raise LostInputError(
            f"This partition's rows were made for {noted or partition.of} partitions, and the "
            "topics have another number: it is fixed for life. Run: countermand topics check"
        )


def _check_offset(topic: str, applied: int, low: int, high: int, *, same: bool) -> None:
    if not same:
        raise LostInputError(
            f"{topic} was recreated since this partition's state was written: its offsets mean "
            "other records now. Delete and create the topics `state` and `forwards` too, "
            f"or bring the old {topic} back."
        )
    if not low <= applied + 1 <= high:
        raise LostInputError(
            f"{topic} holds offsets {low} to {high}, this partition has applied {applied}: "
            "records in between are gone. Raise the topic's retention; "
            "to accept the loss, recreate all topics."
        )


def _advance(inputs: list[Input], reached: list[int]) -> None:
    for record, at in zip(inputs, reached, strict=False):
        record.done = at
    while inputs and inputs[0].done == inputs[0].size and reached:
        inputs.pop(0)
        reached.pop(0)
