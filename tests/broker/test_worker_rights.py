"""A worker without a right to write: it says which, leaves its runs to others, and recovers."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from streams.broker import LocalBroker
from streams.kafka import clients
from streams.kafka.admin import admin_client
from streams.settings import Settings
from tests.support import secured
from tests.support.deadline import eventually
from tests.support.worker import PATIENCE_S, Backend, Shop, Worker
from topology.topics import DEAD_LETTERS, RUN_UPDATES, STEPS, TopicSpec

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
TIMEOUT_S = 60
PROPERTIES = secured.properties("worker", allow_all=True) | {
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # On a busy machine a node must not take itself for dead.
    "broker.session.timeout.ms": "18000",
}


class Rights:
    """What the user `worker` may do; the admin gives and takes it."""

    def __init__(self, settings: Settings) -> None:
        """All that it needs but for writing, which is given."""
        self._settings = settings
        self._admin = admin_client(settings)
        self._as_worker = settings.model_copy(update={"kafka_sasl_username": "worker"})
        self._worker = admin_client(self._as_worker)
        for spec in (STEPS, RUN_UPDATES, DEAD_LETTERS):
            for operation in (AclOperation.READ, AclOperation.DESCRIBE_CONFIGS):
                self._give(spec, operation)
            self.give(spec)

    def give(self, spec: TopicSpec) -> None:
        """Let it write to a topic."""
        self._give(spec, AclOperation.WRITE)
        eventually(lambda: AclOperation.WRITE in self._operations(spec), TIMEOUT_S)

    def take(self, spec: TopicSpec) -> None:
        """Let it no longer write to a topic."""
        self._take(spec, AclOperation.WRITE)
        eventually(lambda: AclOperation.WRITE not in self._operations(spec), TIMEOUT_S)

    @contextmanager
    def without_any(self, spec: TopicSpec) -> Iterator[None]:
        """Don't let it know of a topic."""
        for operation in (AclOperation.WRITE, AclOperation.READ):
            self._take(spec, operation)
        eventually(lambda: not self._operations(spec), TIMEOUT_S)
        yield
        self._give(spec, AclOperation.READ)
        self.give(spec)

    @contextmanager
    def without_transactions(self) -> Iterator[None]:
        """Give the right to transactional ids to somebody else, so that it has none."""
        fields = (
            ResourceType.TRANSACTIONAL_ID,
            self._settings.application_id,
            ResourcePatternType.PREFIXED,
            *("User:other", "*", AclOperation.WRITE, AclPermissionType.ALLOW),
        )
        [given] = self._admin.create_acls([AclBinding(*fields)]).values()
        given.result(TIMEOUT_S)
        eventually(self._is_refused, TIMEOUT_S)
        yield
        [taken] = self._admin.delete_acls([AclBindingFilter(*fields)]).values()
        taken.result(TIMEOUT_S)

    def _give(self, spec: TopicSpec, operation: AclOperation) -> None:
        secured.give(self._admin, "worker", operation, self._settings.topic(spec))

    def _take(self, spec: TopicSpec, operation: AclOperation) -> None:
        given = AclBindingFilter(
            ResourceType.TOPIC,
            self._settings.topic(spec),
            ResourcePatternType.LITERAL,
            *("User:worker", "*", operation, AclPermissionType.ALLOW),
        )
        [future] = self._admin.delete_acls([given]).values()
        future.result(TIMEOUT_S)

    def _is_refused(self) -> bool:
        """Whether a producer of a worker can't begin transactions."""
        name = f"{self._settings.application_id}-worker-0"
        config = clients.librdkafka(self._as_worker, transactional_id=name, log_level=0)
        try:
            Producer(config).init_transactions(TIMEOUT_S)
        except KafkaException as error:
            code: int = error.args[0].code()
            return code == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        return False

    def _operations(self, spec: TopicSpec) -> list[AclOperation]:
        """What the broker lets it do now: changes take a moment to get there."""
        name = self._settings.topic(spec)
        found = self._worker.describe_topics(
            TopicCollection([name]), include_authorized_operations=True
        )[name]
        try:
            operations: list[AclOperation] = found.result(TIMEOUT_S).authorized_operations
        except KafkaException:  # it may not even know of it
            return []
        return operations


@pytest.fixture(scope="module")
def backend(prepared_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Router and joiner, on a broker of their own with users and rights."""
    with LocalBroker(properties=PROPERTIES, client=secured.AS_ADMIN) as broker:
        folder = tmp_path_factory.mktemp("rights")
        found = Backend(broker.bootstrap_servers, folder, **secured.security(secured.ADMIN))
        try:
            found.start()
            yield found
        finally:
            found.close()


@pytest.fixture(scope="module")
def rights(backend: Backend) -> Rights:
    """What workers may do."""
    return Rights(backend.settings)


@pytest.fixture
def shop(backend: Backend) -> Iterator[Shop]:
    """An app of one test alone, without a worker yet."""
    with Shop(backend, lease="1h") as found:
        yield found


def lacks(worker: Worker, right: str) -> None:
    """Wait until a worker says which right it lacks; its log says so too."""
    eventually(lambda: right in worker.readiness, PATIENCE_S)
    assert not worker.is_ready
    assert worker.said(f'"missing":"{right}') == 1


def write_to(shop: Shop, spec: TopicSpec) -> str:
    """The right to write to a topic, as workers name it."""
    return f"Write on topic {shop.settings.topic(spec)}"


def test_without_the_right_to_record_steps_a_worker_lets_its_runs_go(
    shop: Shop, rights: Rights
) -> None:
    """The run is dispatched again long before its lease ends; with the right, it is completed."""
    worker = shop.start(KAFKA_SASL_USERNAME="worker")
    shop.request("run", "hold load", "render")
    shop.begins("run", "load")
    rights.take(STEPS)
    shop.open_gate("run")
    shop.until(lambda: shop.run("run")["attempt"] > 1)
    lacks(worker, write_to(shop, STEPS))
    # It may claim the run once more before it leaves its group.
    shop.reaches("run", "scheduled")
    assert shop.steps() == {}
    rights.give(STEPS)
    assert shop.reaches("run", "completed")["attempt"] > 1
    *loads, last = shop.begun("run")
    assert (set(loads), last) == ({"load"}, "render")
    eventually(lambda: worker.is_ready, PATIENCE_S)


def test_without_the_right_to_write_updates_a_worker_claims_nothing(
    shop: Shop, rights: Rights
) -> None:
    """It isn't ready from the start; the run waits until it may."""
    rights.take(RUN_UPDATES)
    worker = shop.worker(KAFKA_SASL_USERNAME="worker")
    worker.start()
    lacks(worker, write_to(shop, RUN_UPDATES))
    shop.request("run", "load")
    shop.reaches("run", "scheduled")
    rights.give(RUN_UPDATES)
    assert shop.reaches("run", "completed")["attempt"] == 1
    eventually(lambda: worker.is_ready, PATIENCE_S)


def test_without_the_right_to_its_transactions_a_worker_claims_nothing(
    shop: Shop, rights: Rights
) -> None:
    """It names its transactional id, and goes on when it may."""
    worker = shop.worker(KAFKA_SASL_USERNAME="worker")
    with rights.without_transactions():
        worker.start()
        lacks(worker, f"Write on transactional id {shop.settings.application_id}-worker-")
        shop.request("run", "load")
        shop.reaches("run", "scheduled")
    assert shop.reaches("run", "completed")["attempt"] == 1


def test_without_any_right_to_a_topic_a_worker_says_so_and_recovers(
    shop: Shop, rights: Rights
) -> None:
    """Also where brokers don't even tell it that the topic is there."""
    worker = shop.start(KAFKA_SASL_USERNAME="worker")
    with rights.without_any(RUN_UPDATES):
        shop.request("run", "load")
        lacks(worker, write_to(shop, RUN_UPDATES))
        assert shop.run("run")["status"] == "scheduled"
    assert shop.reaches("run", "completed")["attempt"] == 1


def test_a_worker_without_a_right_leaves_its_partitions_to_one_that_has_it(
    shop: Shop, rights: Rights
) -> None:
    """The runs of its partitions don't wait for it."""
    first = shop.start(KAFKA_SASL_USERNAME="worker")
    rights.take(STEPS)
    works = [f"run{number}" for number in range(10)]
    for work in works:
        shop.request(work, "load")
    lacks(first, write_to(shop, STEPS))
    shop.start(2)
    shop.all_reach(works, "completed")
    assert not first.is_ready
    rights.give(STEPS)
