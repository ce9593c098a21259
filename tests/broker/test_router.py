"""Routers on a real broker: nothing lost, everything in order, claims true, whatever is killed."""

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from streams.broker import LocalBroker
from streams.errors import AbortedError, CountermandError, RouterError
from streams.functions.writer import apply_functions
from streams.health import Health, Kind
from streams.kafka import clients
from streams.kafka.topics import check_topics, create_topics
from streams.kafka.transactional import TransactionalProducer, producer_config
from streams.metrics import Metrics
from streams.router.figures import Figures
from streams.router.process import Router
from streams.settings import Settings, load
from tests.support import bad_header
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.router import (
    RouterProcess,
    committed,
    expected,
    produce,
    read,
    wait_until_committed,
    written,
)
from tests.support.services import ROUTER, Service
from topology import codec, keys, topics
from topology.records import CancelRule, CommandBatch, Function, Trigger

pytestmark = pytest.mark.broker

PARTITIONS = 2
PATIENCE_S = 90
PROBED_BYTES = 150_000
REJOINS = "countermand_rejoins_total"
RUN_ID = keys.run_id_text(bytes(16))
SHIP = Function(
    app="shop",
    id="ship",
    triggers=(Trigger(event="placed"),),
    cancel_on=(
        CancelRule(event="dropped", match="data.order"),
        CancelRule(event="closed", match="data.user"),
        CancelRule(event="stopped", all_runs=True),
        CancelRule(event="placed", match="data.user"),
    ),
)


def prepared(kafka: str) -> Settings:
    """Topics and a group of one test alone, with one function applied."""
    name = unique_name("router")
    found = load(
        kafka_bootstrap_servers=kafka,
        topic_prefix=f"{name}.",
        application_id=name,
        partitions=PARTITIONS,
        session_timeout="6s",
    )
    create_topics(found)
    apply_functions(clients.librdkafka(found), found.topic(topics.FUNCTIONS), [SHIP])
    return found


@pytest.fixture
def settings(kafka: str) -> Settings:
    """What `prepared` makes on the shared broker."""
    return prepared(kafka)


class Running:
    """A router in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.health = Health()
        self.metrics = Metrics()
        self.error: CountermandError | None = None
        self._stop = threading.Event()
        figures = Figures(settings, self.metrics, self.health)
        self._router = Router(settings, check_topics(settings), figures, self._stop)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._router.run()
        except CountermandError as error:
            self.error = error

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stop it and wait."""
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert self.ended


@pytest.fixture
def start() -> Iterator[Callable[[Settings], Running]]:
    """Start routers in this process; they are stopped in the end."""
    started: list[Running] = []

    def start_one(settings: Settings) -> Running:
        started.append(Running(settings))
        return started[-1]

    yield start_one
    for one in started:
        one.stop()


def mixed_load(first: int, last: int) -> Iterator[tuple[str, int, bytes | None]]:
    """Events that register, cancel, both or neither, bad ones, and run updates."""
    names = ("placed", "placed", "dropped", "closed", "stopped", "other", "placed")
    for number in range(first, last):
        partition = number % PARTITIONS
        name = names[number % len(names)]
        data = {"order": number % 50, "user": f"u{number % 20}", "text": "x" * (number % 300)}
        event: dict[str, Any] = {"name": name, "data": data}
        if number % 3:
            event |= {"id": f"e{number}", "ts": number}
        topic = "cancels" if name == "dropped" else "events"
        yield topic, partition, b"{" if number % 97 == 0 else orjson.dumps(event)
        if number % 10 == 0:
            update = {"run_id": RUN_ID, "attempt": 1, "status": "completed"}
            yield "run-updates", partition, orjson.dumps(update)


def check_all_routed(settings: Settings) -> int:
    """Everything on the inputs was routed as a pipeline would; how many entries were repeated."""
    found = written(settings)
    assert found.entries == expected(settings)
    return found.repeats


def test_mixed_load_is_routed(settings: Settings, start: Callable[[Settings], Running]) -> None:
    """Every record of every input comes out as its commands; bad ones are dead letters."""
    produce(settings, mixed_load(0, 1_000))
    router = start(settings)
    wait_until_committed(settings)
    router.stop()
    assert check_all_routed(settings) == 0
    letters = read(settings, settings.topic(topics.DEAD_LETTERS))
    assert len(letters) == len(range(0, 1_000, 97))
    headers = dict(letters[0].headers())
    assert letters[0].value() == b"{"
    assert headers["countermand.error.class"] == b"not_json"
    values = router.metrics.registry.get_sample_value
    name = "countermand_dead_letters_total"
    assert values(name, {"stage": "router", "reason": "not_json"}) == len(letters)


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["router_after_produce", "router_after_flush", "router_after_commit"]
)
def test_kill_at_a_step_loses_nothing(settings: Settings, step: str) -> None:
    """After kill -9 at each step the next router repeats in order what is not committed."""
    produce(settings, mixed_load(0, 5_000))
    for _ in range(2):
        with RouterProcess(settings, crash_at=step) as router:
            assert router.wait(PATIENCE_S) == -9
        produce(settings, mixed_load(5_000, 5_500))
    with RouterProcess(settings) as router:
        wait_until_committed(settings)
        assert router.stop() == 0
    repeats = check_all_routed(settings)
    if step == "router_after_flush":
        assert repeats > 0, "it was written, but not committed"


@pytest.mark.slow
def test_kill_at_any_time_loses_nothing(settings: Settings) -> None:
    """Kills that nobody chose the moment of do no harm either."""
    for round_ in range(4):
        with RouterProcess(settings):
            produce(settings, mixed_load(round_ * 3_000, (round_ + 1) * 3_000))
            goal = (round_ + 1) * 800
            eventually(lambda goal=goal: committed(settings).total() >= goal)  # type: ignore[misc]
    with RouterProcess(settings) as router:
        wait_until_committed(settings)
        assert router.stop() == 0
    check_all_routed(settings)


@pytest.mark.slow
def test_sources_move_between_routers(settings: Settings) -> None:
    """A second router takes some of the sources, and gives them back, without a loss."""
    with RouterProcess(settings, member="one") as one:
        produce(settings, mixed_load(0, 3_000))
        with RouterProcess(settings, member="two") as two:
            wait_until_committed(settings)
            produce(settings, mixed_load(3_000, 6_000))
            wait_until_committed(settings)
            assert two.stop() == 0
        produce(settings, mixed_load(6_000, 7_000))
        wait_until_committed(settings)
        assert one.stop() == 0
    check_all_routed(settings)


@pytest.mark.slow
def test_a_router_that_was_fenced_joins_again(settings: Settings, tmp_path: Path) -> None:
    """A router that another one of its name has fenced makes a new consumer, and loses nothing.

    The first is frozen until the second has its place: it is fenced as soon as it goes on. Then it
    joins again, and fences the second.
    """
    own = {"GROUP_INSTANCE_ID": "same"}
    first, second = (
        Service(ROUTER, settings, tmp_path, number=number, extra=own) for number in (1, 2)
    )
    try:
        first.start()
        produce(settings, mixed_load(0, 2_000))
        wait_until_committed(settings)
        first.pause()
        produce(settings, mixed_load(2_000, 3_000))
        second.start()
        wait_until_committed(settings)
        produce(settings, mixed_load(3_000, 4_000))
        first.resume()
        for router in (first, second):
            eventually(lambda router=router: router.metric(REJOINS))  # type: ignore[misc]
        produce(settings, mixed_load(4_000, 5_000))
        wait_until_committed(settings)
        assert second.end() == 0
        produce(settings, mixed_load(5_000, 6_000))
        wait_until_committed(settings)
        assert first.end() == 0
        check_all_routed(settings)
    finally:
        first.kill()
        second.kill()


def set_message_limit(settings: Settings, size: int) -> None:
    """Change what the topic `commands` takes, behind the router's back."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    name = settings.topic(topics.COMMANDS)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result()
    config = clients.librdkafka(settings, log_level=0) | producer_config(f"{name}-probe")
    probe = TransactionalProducer(config, "probe")
    probe.begin_life()
    # Brokers heed it a little later.
    eventually(lambda: takes(probe, name, PROBED_BYTES) == (size > PROBED_BYTES))
    probe.close()


def takes(probe: TransactionalProducer, topic: str, size: int) -> bool:
    """Whether a topic takes a record of a size; it is never committed."""
    try:
        probe.rehearse(topic, os.urandom(size))
    except AbortedError:
        return False
    return True


def test_rejected_batch_is_fatal_before_the_commit(
    settings: Settings, start: Callable[[Settings], Running]
) -> None:
    """A batch that the broker refuses amid others ends the router, and is repeated by the next."""
    router = start(settings)
    produce(settings, mixed_load(0, 100))
    wait_until_committed(settings)
    before = committed(settings)
    set_message_limit(settings, 100_000)
    noise = {"order": 1, "text": secrets.token_hex(150_000)}
    large = orjson.dumps({"name": "placed", "data": noise})
    produce(
        settings,
        [*mixed_load(100, 300), ("events", 0, large), *mixed_load(300, 500)],
    )
    eventually(lambda: router.ended)
    assert isinstance(router.error, RouterError)
    place = settings.topic(topics.EVENTS), 0
    sizes = [len(one.value()) for one in read(settings, place[0]) if one.partition() == 0]
    assert before[place] <= committed(settings)[place] <= sizes.index(len(large))
    set_message_limit(settings, 2_000_000)
    router = start(settings)
    wait_until_committed(settings)
    router.stop()
    check_all_routed(settings)


def transactional(settings: Settings) -> Producer:
    """A producer whose transactions a test opens and ends."""
    config = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "transactional.id": settings.application_id,
        "log_level": 0,
    }
    producer = Producer(config)
    producer.init_transactions(30)
    return producer


def send(producer: Producer, topic: str, order: int) -> int:
    """Write one event to partition 0 within an open transaction; its received time."""
    told: list[int] = []

    def delivered(error: object, message: Message) -> None:
        assert error is None
        told.append(message.timestamp()[1])

    value = orjson.dumps({"name": "placed", "data": {"order": order}})
    producer.produce(topic, value, partition=0, on_delivery=delivered)
    producer.flush(30)
    return told[0]


def test_aborted_records_are_never_routed(
    settings: Settings, start: Callable[[Settings], Running]
) -> None:
    """What a transaction on an input took back never was."""
    topic = settings.topic(topics.EVENTS)
    producer = transactional(settings)
    for number in range(6):
        producer.begin_transaction()
        send(producer, topic, number)
        (producer.abort_transaction if number % 2 else producer.commit_transaction)()
    router = start(settings)
    wait_until_committed(settings)
    router.stop()
    assert check_all_routed(settings) == 0
    assert sorted(offset for _, _, _, offset in written(settings).entries) == [0, 4, 8]


def claims(settings: Settings) -> dict[tuple[str, int], tuple[int, int]]:
    """The newest claim of each source: offset and time."""
    found = {}
    for batch in written(settings).progress:
        for claim in batch.progress:
            place = batch.topics[claim.topic].name, claim.partition
            found[place] = (claim.offset, claim.time)
    return found


def test_idle_sources_are_claimed_past_markers_but_not_past_open_transactions(
    settings: Settings, start: Callable[[Settings], Running]
) -> None:
    """The watermark moves on without records; only an open transaction holds its source."""
    topic = settings.topic(topics.EVENTS)
    place, other = (topic, 0), (topic, 1)
    producer = transactional(settings)
    start(settings)
    producer.begin_transaction()
    committed_at = send(producer, topic, 1)
    producer.commit_transaction()
    eventually(lambda: claims(settings).get(place, (0, 0))[1] > committed_at)
    assert claims(settings)[place][0] == 1, "the record and the marker behind it"

    producer.begin_transaction()
    opened_at = send(producer, topic, 2)
    eventually(lambda: claims(settings).get(other, (0, 0))[1] > opened_at)
    offset, time = claims(settings)[place]
    assert offset == 1
    assert time <= opened_at
    producer.abort_transaction()
    eventually(lambda: claims(settings)[place][1] > opened_at)
    assert claims(settings)[place][0] == 3, "the aborted record and its marker"


def test_every_partition_hears_of_every_source(
    settings: Settings, start: Callable[[Settings], Running]
) -> None:
    """The watermark of a partition is the minimum over sources, so each needs all of them."""
    start(settings)
    wanted = {(name, one) for name in settings.routed_topics for one in range(PARTITIONS)}

    def heard() -> list[set[tuple[str, int]]]:
        by_partition: dict[int, set[tuple[str, int]]] = {}
        for message in read(settings, settings.topic(topics.COMMANDS)):
            batch = decode(message)
            by_partition.setdefault(message.partition(), set()).update(
                (batch.topics[one.topic].name, one.partition)
                for one in batch.progress
                if one.time > 0
            )
        return list(by_partition.values())

    eventually(lambda: heard() == [wanted] * PARTITIONS)
    assert all(batch.entries == () for batch in written(settings).progress)


def decode(message: Any) -> CommandBatch:
    """The batch of a message."""
    return codec.COMMANDS.decode(message.value())


def test_unreadable_header_is_a_dead_letter(
    settings: Settings, start: Callable[[Settings], Running]
) -> None:
    """A header whose name is no UTF-8 makes the client stumble, but not the router."""
    bad_header.send(settings.kafka_bootstrap_servers, settings.topic(topics.EVENTS))
    start(settings)
    wait_until_committed(settings)
    [letter] = read(settings, settings.topic(topics.DEAD_LETTERS))
    assert letter.value() == bad_header.VALUE
    assert dict(letter.headers())["countermand.error.class"] == b"bad_header"


def test_router_is_ready_once_it_routes(
    settings: Settings, start: Callable[[Settings], Running]
) -> None:
    """Ready means that rounds are done; stopping is clean."""
    router = start(settings)
    eventually(lambda: router.health.answer(Kind.READY).ok)
    assert router.health.answer(Kind.LIVE).ok
    router.stop()
    assert router.error is None


@pytest.mark.slow
def test_broker_may_go_and_come_back(
    prepared_cache: None, start: Callable[[Settings], Running]
) -> None:
    """While there is no broker a router isn't ready; when it is back nothing was lost."""
    with LocalBroker() as broker:
        settings = prepared(broker.bootstrap_servers)
        produce(settings, mixed_load(0, 2_000))
        router = start(settings)
        eventually(lambda: router.health.answer(Kind.READY).ok)
        broker.kill()
        eventually(lambda: not router.health.answer(Kind.READY).ok)
        broker.start()
        produce(settings, mixed_load(2_000, 3_000))
        wait_until_committed(settings)
        eventually(lambda: router.health.answer(Kind.READY).ok)
        router.stop()
        check_all_routed(settings)


def test_router_without_a_broker_can_be_stopped(
    prepared_cache: None, start: Callable[[Settings], Running]
) -> None:
    """SIGTERM ends a router that waits for its broker; what is open stays uncommitted."""
    with LocalBroker() as broker:
        settings = prepared(broker.bootstrap_servers)
        router = start(settings)
        eventually(lambda: router.health.answer(Kind.READY).ok)
        broker.kill()
        eventually(lambda: not router.health.answer(Kind.READY).ok)
        router.stop()
        assert router.error is None
