"""A real Redis of one test alone."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from tests.support.deadline import eventually

# It keeps nothing on disk, whatever the machine's own configuration says.
_OPTIONS = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no")


@pytest.fixture
def redis_url() -> Iterator[str]:
    """The URL of an empty server's database, on a free port of the loopback interface."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="countermand-redis-") as folder:
        options = (*_OPTIONS, "--port", str(port), "--dir", folder)
        process = GuardedProcess(["redis-server", *options], Path(folder, "log"))
        try:
            with redis.Redis(port=port) as client:
                eventually(lambda: _answers(client))
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.stop()


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
