"""Router and joiner with brokers that speak TLS alone: librdkafka's clients, and aiokafka's."""

import subprocess
from pathlib import Path

import orjson
import pytest

from streams.broker import LocalBroker
from streams.clock import now_ms
from streams.functions.definition import read_text
from streams.functions.writer import apply_functions
from streams.kafka import clients
from streams.kafka.producers import Sender
from streams.kafka.tail import read_all
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support.deadline import eventually
from tests.support.services import JOINER, ROUTER, Service
from topology import limits, topics

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
RUNS = 200
FUNCTIONS = """
functions:
  - {app: tls, id: one, triggers: [{event: start}], cancel_on: [{event: stop, match: data.k}]}
"""
_SELF_SIGNED = (
    "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
)  # fmt: skip


def certificate(folder: Path) -> Path:
    """A certificate of a broker on this machine, and beside it its key store."""
    key, found = folder / "key.pem", folder / "cert.pem"
    subprocess.run([*_SELF_SIGNED, "-keyout", key, "-out", found], check=True, capture_output=True)
    (folder / "store.pem").write_text(key.read_text() + found.read_text())
    return found


def test_runs_are_cancelled_over_tls(prepared_cache: None, tmp_path: Path) -> None:
    """The joiner's consumer is another client than all others, on another event loop."""
    authority = certificate(tmp_path)
    properties = {
        "listener.security.protocol.map": "BROKER:SSL,CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(tmp_path / "store.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority),
        # On a busy machine a node must not take itself for dead.
        "broker.session.timeout.ms": "18000",
    }
    client = {"security.protocol": "SSL", "ssl.ca.location": str(authority)}
    with LocalBroker(properties=properties, client=client) as broker:
        settings = load(
            kafka_bootstrap_servers=broker.bootstrap_servers,
            kafka_security_protocol="SSL",
            kafka_ssl_ca=str(authority),
            partitions=2,
        )
        create_topics(settings)
        apply_functions(
            clients.librdkafka(settings), settings.topic(topics.FUNCTIONS), read_text(FUNCTIONS)
        )
        valid_from = now_ms() + limits.VALID_FROM_DELAY_MS
        services = [Service(role, settings, tmp_path) for role in (ROUTER, JOINER)]
        try:
            for one in services:
                one.start()
            eventually(lambda: all(one.is_ready for one in services) and now_ms() > valid_from)
            for topic, name in ((topics.EVENTS, "start"), (topics.CANCELS, "stop")):
                send(settings, settings.topic(topic), name)
            eventually(lambda: len(cancelled(settings)) == RUNS)
        finally:
            for one in services:
                one.end()
        assert cancelled(settings) == set(range(RUNS))


def send(settings: Settings, topic: str, name: str) -> None:
    """An event for each run."""
    with Sender(settings) as sender:
        for number in range(RUNS):
            event = {"name": name, "id": f"{name}-{number}", "data": {"k": number}}
            sender.send(topic, orjson.dumps(event))


def cancelled(settings: Settings) -> set[int]:
    """The numbers of the runs that were cancelled."""
    found = read_all(settings, settings.topic(topics.CANCELLED))
    return {orjson.loads(one.value() or b"")["data"]["event"]["data"]["k"] for one in found}
