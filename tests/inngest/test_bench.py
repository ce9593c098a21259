"""What `make bench ONLY=inngest` measures, in small, with its counts checked."""

from pathlib import Path

import pytest

from streams.broker import LocalBroker
from tests.bench import inngest
from tests.bench.bench import Bench
from tests.support.broker import unique_name

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]


def test_steps_and_stops_are_counted(kafka_broker: LocalBroker, tmp_path: Path) -> None:
    """Every run completes, and each that is cancelled in its sleep stops."""
    servers, prefix = kafka_broker.bootstrap_servers, f"{unique_name('bench')}-"
    found = inngest.measure(Bench(servers, kafka_broker.pid, tmp_path, prefix), 20, 20)
    assert all(figure > 0 for figure in found.values())
    assert found["stop_p50_ms"] <= found["stop_p99_ms"]
