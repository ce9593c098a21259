"""The reminders on a real broker: sent, moved and cancelled by the example's own commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from streams.broker.ports import free_port
from streams.kafka.topics import create_topics
from streams.settings import load
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.report_app import PATIENCE_S, Program
from tests.support.services import JOINER, ROUTER, Service, environment

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]


def test_reminders(kafka: str, tmp_path: Path) -> None:
    """Of three appointments one is kept, one moved, one cancelled: two reminders."""
    name = unique_name("reminders")
    settings = load(
        kafka_bootstrap_servers=kafka,
        topic_prefix=f"{name}.",
        application_id=name,
        partitions=2,
    )
    create_topics(settings)
    services = [Service(role, settings, tmp_path) for role in (JOINER, ROUTER)]
    port = free_port()
    env = environment(settings) | {
        "COUNTERMAND_WEB_PORT": str(port),
        "COUNTERMAND_STATE_DIR": str(tmp_path / "worker"),
    }
    log = tmp_path / "worker.log"
    module = "examples.schedule_reminder.reminders"
    ready = f"http://127.0.0.1:{port}/healthz/ready"
    worker = Program(["streams.cli", "worker", f"{module}:app"], log, env, ready)

    def do(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", module, *arguments], env=env, check=True)

    def told() -> set[str]:
        lines = log.read_text(encoding="utf-8").splitlines()
        return {line.partition(" at ")[0] for line in lines if "eminder" in line}

    try:
        for service in services:
            service.start()
        eventually(lambda: all(service.is_ready for service in services), PATIENCE_S)
        worker.start()
        do("book", "bob", "+7200")
        do("book", "cyd", "+3600", "--before", "1800")
        do("cancel", "cyd")
        do("book", "ann", "+1")
        do("book", "bob", "+1")
        wanted = {
            "Reminder: ann",
            "Reminder: bob",
            "No reminder of bob: appointment/booked",
            "No reminder of cyd: appointment/cancelled",
        }
        eventually(lambda: told() >= wanted, PATIENCE_S)
        assert told() == wanted
    finally:
        worker.stop()
        for service in reversed(services):
            service.end()
