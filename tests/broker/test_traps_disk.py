"""Disks and topics that no longer fit each other: nothing rises again, nothing is skipped."""

import re
import threading
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from msgspec.structs import replace

from streams.cli.exits import ExitCode
from streams.clock import now_ms
from streams.errors import DamagedStoreError
from streams.joiner.changelog import Changelog, Log
from streams.joiner.intake import Places
from streams.joiner.store import Memory, Store
from streams.joiner.transaction import Transactions
from streams.kafka import clients
from streams.kafka.topics import check_topics, create_topics
from streams.kafka.transactional import producer_config
from tests.support.deadline import eventually
from tests.support.feed import Feed
from tests.support.joining import FUNCTIONS, PATIENCE_S, Joining, ids
from tests.support.services import Service
from topology import codec, limits, tables, topics
from topology.tables import AppliedRow, Checkpoint

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(300)]


def recreate(joining: Joining, *names: str) -> None:
    """Delete topics, with all that they hold, and make them anew."""
    full = [joining.settings.topic_prefix + name for name in names]
    for future in joining.admin.delete_topics(full).values():
        future.result(30)
    eventually(lambda: not set(full) & joining.admin.list_topics(timeout=10).topics.keys())
    create_topics(joining.settings)


def truncate(joining: Joining, name: str) -> None:
    """Remove every record that a topic has now, as its retention would."""
    topic = joining.settings.topic_prefix + name
    everything = [TopicPartition(topic, number, -1) for number in (0, 1)]
    for future in joining.admin.delete_records(everything).values():
        future.result(30)


def await_stopped(joiner: Service, reason: str) -> None:
    """Wait until both partitions say why they stopped."""
    said = re.compile(rf"partition 0: .*{reason}.*partition 1: .*{reason}")
    eventually(lambda: said.search(joiner.readiness), PATIENCE_S)


def worked(joining: Joining, *names: str) -> Service:
    """A joiner that has registered these runs and ended in order, its disk complete."""
    joiner = joining.joiner(static=False)
    joiner.start()
    joining.feed.start(*names)
    joining.await_applied()
    assert joiner.end() == 0
    return joiner


def test_recreated_commands(joining: Joining) -> None:
    """Trap 9: other records under the same offsets are not taken for those that were applied."""
    joiner = worked(joining, *ids("a", 20))
    recreate(joining, "commands")
    joining.feed.stop(*ids("a", 20))
    joiner.start()
    await_stopped(joiner, "was recreated")
    assert joining.cancelled() == {}


def test_truncated_commands(joining: Joining) -> None:
    """Trap 9: where records were removed before they were applied, nobody goes on behind them."""
    joiner = worked(joining, *ids("a", 20))
    joining.feed.stop(*ids("a", 10))
    truncate(joining, "commands")
    joining.feed.stop(*ids("a", 20)[10:])
    joiner.start()
    await_stopped(joiner, "records in between are gone")
    assert joining.cancelled() == {}


def markers_passed(joining: Joining) -> bool:
    """Whether joiners noted all of `forwards` as read, which takes a transaction."""
    joining.feed.complete()  # as a router does all the time
    joining.await_applied()
    name = joining.settings.topic(topics.FORWARDS)
    ends = joining.watch.ends([(name, number) for number in (0, 1)])
    return all(joining.watch.applied(one).forwards == end - 1 for (_, one), end in ends.items())


def test_truncated_forwards(joining: Joining) -> None:
    """What retention takes behind the last forwarded command are markers: nothing is lost."""
    joiner = joining.joiner(static=False)
    joiner.start()
    pairs = [{"id": f"p{one}", "a": f"a{one}", "b": f"b{one}"} for one in range(40)]
    joining.feed.send(joining.feed.batches("pair", *pairs))
    drops = [{"id": f"d{one}", "b": f"b{one}"} for one in range(20)]
    joining.feed.send(joining.feed.batches("drop-b", *drops))
    joining.await_applied()
    eventually(lambda: markers_passed(joining), PATIENCE_S)
    assert joiner.end() == 0
    assert len(list(joining.watch.read_topic("forwards"))) > 1
    truncate(joining, "forwards")
    joiner.start()
    drops = [{"id": f"d{one}", "b": f"b{one}"} for one in range(20, 40)]
    joining.feed.send(joining.feed.batches("drop-b", *drops))
    joining.await_applied()
    names = [str(one["id"]) for one in pairs]
    joining.check(names, names)


def test_recreated_state(joining: Joining) -> None:
    """Trap 9: a disk that follows another life of the changelog is wiped."""
    joiner = worked(joining, *ids("a", 20))
    recreate(joining, "state", "forwards", "commands")
    joining.feed = Feed(joining.settings, FUNCTIONS)
    joiner.start()
    joining.feed.stop(*ids("a", 20))
    joining.feed.start("new")
    joining.feed.stop("new")
    joining.await_applied()
    assert joining.cancelled() == {"new": 1}


def rewrite_applied(joining: Joining, partition: int, **changes: int) -> None:
    """Write how far a partition is anew, changed."""
    row = replace(joining.watch.applied(partition), **changes)
    producer = Producer(clients.librdkafka(joining.settings))
    producer.produce(
        joining.settings.topic(topics.STATE),
        key=tables.APPLIED_KEY,
        value=codec.APPLIED_ROWS.encode(row),
        partition=partition,
    )
    assert producer.flush(30) == 0


def test_rows_of_another_partition_count(joining: Joining) -> None:
    """A partition whose rows were made for another count stops; the others, and the process, go on.

    No process starts where partition 0, which is there whatever the count is, has another one.
    """
    joiner = worked(joining, *ids("a", 20))
    assert {joining.watch.applied(number).partitions for number in (0, 1)} == {2}
    rewrite_applied(joining, 1, partitions=4)
    joiner.start()
    eventually(lambda: "rows were made for 4 partitions" in joiner.readiness, PATIENCE_S)
    joining.feed.stop(*ids("a", 20))
    joining.await_applied(partitions=[0])
    assert joiner.end() == 0
    rewrite_applied(joining, 0, partitions=4)
    joiner.start()
    assert joiner.wait(PATIENCE_S) == ExitCode.TOPICS
    assert joiner.said("countermand topics create --partitions 2")


def test_rows_that_note_no_partition_count(joining: Joining) -> None:
    """An older release's: the count is noted with the next transaction."""
    joiner = worked(joining, *ids("a", 20))
    for number in (0, 1):
        rewrite_applied(joining, number, partitions=0)
    joiner.start()
    joining.feed.stop(*ids("a", 20))
    joining.await_applied()
    assert joining.cancelled() == dict.fromkeys(ids("a", 20), 1)
    assert {joining.watch.applied(number).partitions for number in (0, 1)} == {2}


def damage(disk: Path, pattern: str) -> None:
    """Overwrite most of some files."""
    files = list(disk.glob(pattern))
    assert files, "nothing to damage"
    for file in files:
        body = file.read_bytes()
        file.write_bytes(bytes(len(body) * 3 // 4) + body[len(body) * 3 // 4 :])


def test_damaged_disk(joining: Joining) -> None:
    """A store that can't be opened, or read later, is wiped: the changelog has its rows."""
    names = ids("a", 1_000)
    joiner = worked(joining, *names)
    damage(joiner.disk, "partitions/0/CURRENT")
    damage(joiner.disk, "partitions/1/*.sst")
    joiner.start()
    joining.feed.stop(*names)
    joining.await_applied()
    joining.check(names, names)
    assert not list(joining.watch.read_topic("dead-letters"))


def test_damage_ends_a_scan(tmp_path: Path) -> None:
    """Rows behind a damaged block are not taken for rows that aren't there."""
    memory = Memory(16)
    store = Store(tmp_path, memory)
    listeners = tables.LISTENERS
    rows: dict[bytes, bytes | None] = {
        listeners + b"%06d" % one: b"%d" % one * 9 for one in range(50_000)
    }
    store.write(store.batch(rows, {}, Checkpoint(bytes(16), 0, 0)))
    store.close()
    [file] = tmp_path.glob("*.sst")
    body = bytearray(file.read_bytes())
    body[len(body) // 2 : len(body) // 2 + 2_000] = bytes(2_000)
    file.write_bytes(body)
    store = Store(tmp_path, memory)
    with pytest.raises(DamagedStoreError):
        list(store.scan(listeners, listeners))
    store.close()


class Disk:
    """A partition's changelog and disk, with the real parts."""

    def __init__(self, joining: Joining, path: Path) -> None:
        settings = joining.settings
        state = check_topics(settings).topics[settings.topic(topics.STATE)]
        names = {spec.name: settings.topic(spec) for spec in topics.TOPICS}
        config = clients.librdkafka(settings) | producer_config(settings.transactional_id(0))
        self.transactions = Transactions(config, names, 0, threading.Lock())
        self.transactions.begin_life()
        self.path = path
        self.memory = Memory(16)
        self.changelog = Changelog(
            clients.librdkafka(settings),
            Log(state.name, state.id, 0, limits.DAY_MS),
            threading.Lock(),
            Places(0, ()),
        )

    def restore(self) -> Store:
        """The rows as a new owner of the partition sees them."""
        barrier = self.transactions.commit({tables.BARRIER_KEY: b"here"})
        return self.changelog.restore(
            self.path, self.memory, barrier, lambda _: None, lambda: False
        )

    def leave(self, age_ms: int) -> None:
        """A row that the log has forgotten since, on a disk that was last written so long ago."""
        store = self.restore()
        checkpoint = store.checkpoint()
        assert checkpoint is not None
        then = now_ms() - age_ms
        store.write(store.batch({b"f-forgotten": b"1"}, {}, replace(checkpoint, time=then)))
        store.close()


def test_disk_older_than_tombstones(joining: Joining, tmp_path: Path) -> None:
    """Trap 8: a row whose tombstone may be gone from the log must not rise again from a disk."""
    disk = Disk(joining, tmp_path / "rows")
    applied = codec.APPLIED_ROWS.encode(AppliedRow())
    disk.transactions.commit({b"f-kept": b"1", tables.APPLIED_KEY: applied})
    found = []
    for age_ms in (limits.DAY_MS // 2 - limits.HOUR_MS, limits.DAY_MS // 2):
        disk.leave(age_ms)
        store = disk.restore()
        found.append((store.get(b"f-kept"), store.get(b"f-forgotten")))
        store.close()
    disk.transactions.close()
    assert found == [(b"1", b"1"), (b"1", None)]
