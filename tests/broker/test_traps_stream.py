"""From `commands` to the processors: every batch once and in order, whatever Faust and Kafka do."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import orjson
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from msgspec.structs import replace

from streams.errors import AbortedError
from streams.kafka import clients
from streams.kafka.admin import describe_topics
from streams.kafka.transactional import TransactionalProducer, producer_config
from tests.support.deadline import eventually
from tests.support.joining import PATIENCE_S, Joining, ids
from topology import codec, limits, topics
from topology.records import CommandBatch, Definition, Entry, Register

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(300)]

REBALANCES = "countermand_rebalances_total"
PAUSES = "countermand_pauses_total"
ABORTED = 'countermand_transactions_total{outcome="aborted"}'
# Long enough for a busy machine to keep a session of it.
SESSION_S = 15


def test_committed_offsets_mean_nothing(joining: Joining) -> None:
    """Trap 1: the group's offsets may be behind or ahead of what is applied; applied counts."""
    first, second = ids("a", 400), ids("b", 400)
    joining.feed.start(*first)
    joiner = joining.joiner(static=False)
    joiner.start()
    joining.await_applied()
    assert joiner.end() == 0
    joining.feed.stop(*first)
    joining.feed.start(*second)
    [(behind, _), (ahead, end)] = joining.watch.ends(joining.watch.commands((0, 1))).items()
    wrong = [TopicPartition(*behind, 3), TopicPartition(*ahead, end)]
    group = ConsumerGroupTopicPartitions(joining.settings.joiner_group, wrong)
    for answer in joining.admin.alter_consumer_group_offsets([group]).values():
        answer.result(30)
    joiner.start()
    joining.await_applied()
    joining.check([*first, *second], first)


@contextmanager
def refused_runs(joining: Joining) -> Iterator[None]:
    """No transaction that tells of a run can be committed in the block: each is decided again."""
    name = joining.settings.topic(topics.RUNS)
    before = describe_topics(joining.admin, [name])[name].config["max.message.bytes"]
    _limit(joining, name, "150")  # enough for the marker of an abort
    config = clients.librdkafka(joining.settings, log_level=0)
    probe = TransactionalProducer(config | producer_config(f"{name}-probe"), "probe")
    probe.begin_life()
    # Brokers heed it a little later.
    eventually(lambda: _refuses(probe, name), PATIENCE_S)
    probe.close()
    yield
    _limit(joining, name, before)


def _refuses(probe: TransactionalProducer, topic: str) -> bool:
    """Whether a topic refuses what is as large as the record of a run; it is never committed."""
    try:
        probe.rehearse(topic, os.urandom(300))
    except AbortedError:
        return True
    return False


def _limit(joining: Joining, topic: str, size: str) -> None:
    entry = ConfigEntry("max.message.bytes", size, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    [answer] = joining.admin.incremental_alter_configs([resource]).values()
    answer.result(30)


def test_full_inbox(joining: Joining) -> None:
    """Trap 3: what comes while a partition has no room is not lost, and order is kept."""
    joiner = joining.joiner()
    joiner.start()
    joining.await_ready(joiner)
    # Each partition gets a start and a stop per run of its half: more than a transaction that is
    # decided again and an inbox take together.
    names = ids("r", limits.INTAKE_COMMANDS + 2 * limits.QUEUE_BATCHES)
    with refused_runs(joining):
        joining.feed.start("first")
        eventually(lambda: joiner.metric(ABORTED), PATIENCE_S)
        joining.feed.start(*names, at_once=1)
        joining.feed.stop(*names, at_once=1)
        eventually(lambda: joiner.metric(PAUSES), PATIENCE_S)
    joining.await_applied()
    joining.check(["first", *names], names)


def test_restore_behind_a_hung_transaction(joining: Joining) -> None:
    """Traps 2 and 10: a restore that takes longer than the session waits, and keeps the membership.

    The changelog's end that a reader sees lies before the hung transaction, and so before rows that
    count; the barrier behind it is not reached until it is decided.
    """
    names = ids("r", 40)
    joining.feed.start(*names)
    joiner = joining.joiner()
    joiner.start()
    joining.await_applied()
    joiner.kill()
    hung = Producer(
        clients.librdkafka(
            joining.settings,
            transactional_id=f"{joining.settings.application_id}-stranger",
            transaction_timeout_ms=600_000,  # longer than anybody waits
            log_level=0,
        )
    )
    hung.init_transactions(30)
    hung.begin_transaction()
    hung.produce(joining.settings.topic(topics.STATE), b"", b"zz", partition=0)
    assert hung.flush(30) == 0
    heir = joining.joiner(2, SESSION_TIMEOUT=f"{SESSION_S}s")
    heir.start()
    joining.feed.stop(*names)
    joining.await_applied([1], outputs=())
    began = monotonic()
    eventually(lambda: monotonic() - began > SESSION_S + 2)
    eventually(lambda: "partition 0: restoring" in heir.readiness, PATIENCE_S)
    hung.abort_transaction(30)
    joining.await_applied()
    joining.check(names, names)
    assert heir.metric(REBALANCES) == 1


def test_terminated_under_load(joining: Joining) -> None:
    """Trap 20: SIGTERM amid work ends the joiner in order, and the next goes on behind it."""
    first, names = ids("a", 40), ids("r", 600)
    joiner = joining.joiner(static=False)
    joiner.start()
    joining.feed.start(*first)
    joining.await_applied()
    with refused_runs(joining):
        joining.feed.start(*names, at_once=1)
        joining.feed.stop(*names[::2])
        eventually(lambda: joiner.metric(ABORTED), PATIENCE_S)
        assert joiner.end() == 0
    assert joining.registered().total() < len(first) + len(names), "some were refused to the end"
    joiner.start()
    joining.await_applied()
    joining.check([*first, *names], names[::2])


def test_largest_event(joining: Joining) -> None:
    """Trap 19: what registers can also be cancelled, though that is twice as large."""
    data = {"id": "big", "k": "big", "text": ""}
    frame = len(orjson.dumps({"name": "start", "data": data, "id": "big", "ts": 1_800_000_000_000}))
    noise = "".join(f"{number:x}" for number in range(limits.EVENT_BYTES // 4))
    data["text"] = noise[: limits.EVENT_BYTES - frame]
    joining.feed.send(joining.feed.batches("start", data))
    joining.feed.stop("big")
    joining.joiner().start()
    joining.await_applied()
    [cancelled] = list(joining.watch.read_topic("cancelled"))
    assert len(cancelled.value()) > 2 * limits.EVENT_BYTES - 1_000
    joining.check(["big"], ["big"])


def test_unknown_version(joining: Joining) -> None:
    """A batch of a later release stops its partition, which says why; nothing is skipped."""
    joining.feed.start("before")
    joiner = joining.joiner()
    joiner.start()
    joining.await_applied()
    home = joining.home("before")
    applied = joining.watch.applied(home).commands
    [(_, batch)] = joining.feed.batches("stop", {"id": "s", "k": "before"}, topic="cancels")
    joining.feed.send([(home, b"\xfe" + batch[1:]), (home, batch)])
    reason = re.compile(rf"partition {home}: .*version 254.*upgrade every joiner")
    eventually(lambda: reason.search(joiner.readiness), PATIENCE_S)
    assert joining.watch.applied(home).commands == applied
    assert joining.cancelled() == {}


def undecidable(batch: CommandBatch) -> CommandBatch:
    """The batch, but the second of its runs is of a function version that nobody can read."""
    bad = Definition("trap-one", 7, b'{"app": 7}')
    entries: list[Entry] = list(batch.entries)
    register = entries[1].commands[0]
    assert isinstance(register, Register)
    entries[1] = replace(entries[1], commands=(replace(register, definition=1),))
    return replace(batch, definitions=(*batch.definitions, bad), entries=tuple(entries))


def test_undecidable_command(joining: Joining) -> None:
    """A command that can't be decided is a dead letter of its transaction; the rest goes on."""
    parts = joining.feed.batches("start", *({"id": one, "k": "same"} for one in ("a", "b", "c")))
    decoded = [codec.COMMANDS.decode(value) for _, value in parts]
    whole = replace(decoded[0], entries=tuple(entry for one in decoded for entry in one.entries))
    home = parts[0][0]
    joining.feed.send([(home, codec.COMMANDS.encode(undecidable(whole)))])
    joining.feed.stop("same")
    joining.joiner().start()
    joining.await_applied()
    joining.check(["a", "c"], ["a", "c"])
    [letter] = list(joining.watch.read_topic("dead-letters"))
    headers = dict(letter.headers())
    assert headers["countermand.error.class"] == b"undecidable"
    assert headers["countermand.error.stage"] == b"joiner"
    assert headers["countermand.error.topic"] == joining.settings.topic(topics.EVENTS).encode()
    assert headers["countermand.error.offset"] == b"1"
    assert orjson.loads(letter.value())["id"] == "b"
