"""Producers that are fenced, stalled or aborted: writers that lost their right write nothing."""

import asyncio

import orjson
import pytest
from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]
from confluent_kafka import Producer

from streams.joiner.faust_app import rejoin_if_refused
from streams.kafka import clients
from streams.settings import Settings
from tests.support.deadline import eventually
from tests.support.joining import PATIENCE_S, Joining, ids
from tests.support.services import Service
from topology import codec, keys, topics
from topology.records import CancelEvent, ForwardedMatch, Position

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(300)]

FENCED = 'countermand_transactions_total{outcome="fenced"}'


def transactional(settings: Settings, id_: str, timeout_ms: int = 60_000) -> Producer:
    """A producer that has fenced every earlier one of its id."""
    producer = Producer(
        clients.librdkafka(
            settings, transactional_id=id_, transaction_timeout_ms=timeout_ms, log_level=0
        )
    )
    producer.init_transactions(60)
    return producer


def test_fenced_from_outside(joining: Joining) -> None:
    """Traps 6 and 7: a partition whose producer is fenced, twice, starts again and misses nothing.

    No process dies and the group sees nothing. What lay in the fenced processor's queue comes
    again, before what the stream brings meanwhile.
    """
    joiner = joining.joiner(SESSION_TIMEOUT="120s")
    joiner.start()
    started, stopped = [], []
    for number in range(60):
        names = ids(f"r{number}-", 40)
        joining.feed.start(*names)
        joining.feed.stop(*names[::2])
        started += names
        stopped += names[::2]
        if number in (15, 35):
            joining.await_ready(joiner)
            for partition in (0, 1):
                transactional(joining.settings, joining.settings.transactional_id(partition))
    joining.await_applied()
    joining.check(started, stopped)
    assert joiner.metric(FENCED) >= 2
    assert joiner.metric("countermand_rebalances_total") == 1


def caught_in_transaction(joining: Joining, joiner: Service) -> list[str]:
    """Freeze a joiner while a transaction of it is open; the runs that were started meanwhile."""
    started: list[str] = []

    def caught() -> bool:
        names = ids(f"c{len(started)}-", 40)
        joining.feed.start(*names)
        started.extend(names)
        joiner.pause()
        # One that is just being committed is not open for long.
        if all(joining.watch.open_transactions("state") for _ in range(50)):
            return True
        joiner.resume()
        return False

    eventually(caught, PATIENCE_S)
    return started


def test_coordinator_timeout(joining: Joining) -> None:
    """Trap 6: a transaction that the coordinator gave up looks fenced, though there is no rival."""
    joiner = joining.joiner(SESSION_TIMEOUT="120s")
    joiner.start()
    joining.await_ready(joiner)
    started = caught_in_transaction(joining, joiner)
    eventually(lambda: not joining.watch.open_transactions("state"), PATIENCE_S)
    joiner.resume()
    joining.feed.stop(*started)
    joining.await_applied()
    joining.check(started, started)
    assert joiner.metric(FENCED) >= 1
    assert joiner.metric("countermand_rebalances_total") == 1


def test_zombie(joining: Joining) -> None:
    """A joiner that slept through its session wakes up and writes nothing: it is fenced."""
    victim, heir = joining.joiner(1, static=False), joining.joiner(2, static=False)
    victim.start()
    joining.await_ready(victim)
    started = caught_in_transaction(joining, victim)
    heir.start()
    eventually(lambda: len(heir.owned()) == 2 and heir.is_ready, PATIENCE_S)
    more = ids("later", 100)
    joining.feed.start(*more)
    joining.feed.stop(*started, *more[:50])
    joining.await_applied()
    victim.resume()
    eventually(lambda: len(heir.owned()) == len(victim.owned()) == 1, PATIENCE_S)
    joining.await_ready(victim, heir)
    joining.feed.stop(*more)
    joining.await_applied()
    joining.check([*started, *more], [*started, *more])


def test_a_member_that_is_refused_joins_again(joining: Joining) -> None:
    """A static member whose name somebody else has is fenced: it joins anew, and reads on."""
    settings = joining.settings

    async def scene() -> set[int]:
        consumer = AIOKafkaConsumer(
            settings.topic(topics.COMMANDS),
            bootstrap_servers=settings.kafka_bootstrap_servers,
            group_id=settings.application_id,
            group_instance_id="same",
        )
        await consumer.start()  # returns with the assignment
        coordinator = consumer._coordinator
        coordinator.member_id = "one-that-had-this-name-before"
        coordinator.request_rejoin()
        await asyncio.to_thread(eventually, lambda: coordinator._pending_exception)
        rejoin_if_refused(coordinator)
        await asyncio.to_thread(eventually, lambda: coordinator.generation > 0)
        await asyncio.to_thread(eventually, consumer.assignment)
        found = {place.partition for place in consumer.assignment()}
        await consumer.stop()
        return found

    assert asyncio.run(scene()) == {0, 1}


def test_aborted_forward(joining: Joining) -> None:
    """Traps 4 and 5: what a transaction forwarded and took back, the other partition never sees."""
    joiner = joining.joiner()
    joiner.start()
    joining.feed.start("kept", "gone")
    joining.await_applied()
    producer = transactional(joining.settings, f"{joining.settings.application_id}-stranger")
    for id_, end in (("kept", producer.abort_transaction), ("gone", producer.commit_transaction)):
        producer.begin_transaction()
        [run_id] = {
            keys.run_id_bytes(one["run_id"])
            for one in joining.values("runs")
            if one["event"]["id"] == id_
        }
        at = Position("elsewhere", bytes(16), 0, 0)
        body = orjson.dumps({"name": "stop", "id": "x", "ts": 0, "data": {"k": id_}})
        match = ForwardedMatch(CancelEvent(2**42, at, body, at), ((run_id, 0),))
        forward = codec.FORWARDS.encode((match,))
        home = joining.home(id_)
        producer.produce(joining.settings.topic(topics.FORWARDS), forward, partition=home)
        assert producer.flush(30) == 0
        end(30)
    eventually(lambda: joining.cancelled() == {"gone": 1}, PATIENCE_S)
    joining.await_applied()
    joining.check(["kept", "gone"], ["gone"])


def test_hung_transaction_elsewhere(joining: Joining) -> None:
    """Trap 11: a hung writer of one partition's outputs holds up those outputs, and no others."""
    joiner = joining.joiner()
    joiner.start()
    name = f"{joining.settings.application_id}-stranger"
    # Open for longer than anybody waits.
    producer = transactional(joining.settings, name, timeout_ms=600_000)
    producer.begin_transaction()
    producer.produce(joining.settings.topic(topics.CANCELLED), b"{}", partition=0)
    assert producer.flush(30) == 0
    names = ids("r", 60)
    joining.feed.start(*names)
    joining.feed.stop(*names)
    joining.await_applied(outputs=("runs",))
    homes = {name: joining.home(name) for name in names[:10]}
    seen = joining.cancelled()
    assert {name: seen[name] for name in homes} == homes, "those of partition 1, and only those"
    producer.abort_transaction(30)
    joining.await_applied()
    joining.check(names, names)
