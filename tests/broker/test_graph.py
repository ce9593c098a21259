"""The graph of topics against real processes: what each reads and writes is what a broker logs."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import pytest

from streams.api.call.keys import create_key
from streams.api.call.roles import Role
from streams.api.fields import time_text
from streams.broker import LocalBroker
from streams.clock import now_ms
from streams.database.engine import open_database
from streams.kafka.producers import Sender
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support import cli
from tests.support.deadline import eventually
from tests.support.request_log import LOGGED, Arrow, RequestLog
from tests.support.services import API, JOINER, READ_MODEL, ROUTER, Service
from tests.support.worker import Worker
from topology import codec, graph, topics
from topology.records import CommandBatch, Entry, Register, Topic
from topology.topics import TopicSpec

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600)]
START_S: Final = 120
ROUND_S: Final = 15
ROUNDS: Final = 20
# Each program's client id, and its stage.
STAGES: Final = {
    ROUTER: graph.ROUTER,
    JOINER: graph.JOINER,
    READ_MODEL: graph.READ_MODEL,
    API: graph.API,
    "worker": graph.WORKERS,
    "apply": graph.DEPLOYERS,
    "redrive": graph.OPERATORS,
}
# A cleanup's dead letter takes ten failures, which take four minutes.
NOT_AWAITED: Final = {Arrow("worker", "writes", topics.DEAD_LETTERS.name)}
# For how many partitions the rows were made: read by who starts once there are rows.
AT_START: Final = {
    Arrow(client, "reads", topics.STATE.name) for client in (ROUTER, READ_MODEL, API, "worker")
}


def graphed() -> set[Arrow]:
    """The graph's arrows of the programs that are observed."""
    return {
        Arrow(client, verb, topic.name)
        for client, stage in STAGES.items()
        for verb, used in (("reads", stage.reads), ("writes", stage.writes))
        for topic in used
    }


class Traffic:
    """All programs on a broker, each with a client id of its own, and what keeps them busy."""

    def __init__(self, broker: LocalBroker, folder: Path) -> None:
        """Create the topics; nothing runs yet."""
        database = f"sqlite:///{folder}/graph.db"
        self.settings: Settings = load(
            kafka_bootstrap_servers=broker.bootstrap_servers,
            topic_prefix="graph.",
            application_id="test",
            partitions=2,
            database_url=database,
        )
        create_topics(self.settings)
        engine = open_database(self.settings)
        _, key = create_key(engine, "ann", Role.ADMIN, now_ms(), actor=None)
        engine.dispose()
        self._folder = folder
        self._services = [
            Service(role, self.settings, folder, extra={"APPLICATION_ID": role} | extra)
            for role, extra in (
                (ROUTER, {}),
                (JOINER, {}),
                (READ_MODEL, {"DATABASE_URL": database}),
                (API, {"DATABASE_URL": database}),
            )
        ]
        worker = {"APPLICATION_ID": "worker"}
        self._services.append(
            Worker(self.settings, folder, number=1, app="graph", lease="60s", extra=worker)
        )
        self._client = httpx.Client(
            base_url=self._services[3].url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=START_S,
        )
        self._sender = Sender(self.settings)

    def start(self) -> None:
        """Start every process, and wait until all are at work."""
        for service in self._services:
            service.start()
        eventually(lambda: all(service.is_ready for service in self._services), START_S)

    def close(self) -> None:
        """End every process."""
        self._client.close()
        for service in reversed(self._services):
            service.end()

    def use_all(self, number: int) -> None:
        """Use all arrows but redrives'; some work only once an earlier call was processed."""
        self._apply(number)
        pairs = [{"a": f"{number}.{one}", "b": one} for one in range(20)]
        for pair in pairs:
            self._send(topics.EVENTS, {"name": "pair", "data": pair})
        for pair in pairs[:10]:
            self._send(topics.CANCELS, {"name": "drop-b", "data": pair})
        work = {"work": f"w{number}", "folder": str(self._folder), "plan": ["step"]}
        self._send(topics.EVENTS, {"name": "graph/work", "data": work})
        self._send_undecidable()
        self._call_api(number)
        for topic in self.settings.routed_topics:
            self._sender.send(topic, b"not JSON")
        self._sender.flush()

    def redrive(self) -> None:
        """Send all dead letters again; they become dead letters again, so their number doubles."""
        self._run("redrive", "dead-letters", "redrive", "--all", "--yes")

    def redrive_by_api(self) -> None:
        """As `redrive`, class by class."""
        for counted in self._call("GET", "/v1/dead-letters/classes")["data"]:
            self._call("POST", "/v1/dead-letters/redrive", {"class": counted["class"]})

    def _apply(self, number: int) -> None:
        """Apply functions that differ from those of other rounds."""
        rules = [{"event": f"drop-{one}", "match": f"data.{one}"} for one in "ab"]
        pair = {
            "app": "graph",
            "id": "pair",
            "triggers": [{"event": "pair"}],
            "cancel_on": rules,
            "retention": f"{number + 1}d",
        }
        file = self._folder / "functions.yaml"
        file.write_bytes(orjson.dumps({"functions": [pair]}))
        self._run("apply", "functions", "apply", "--file", str(file))

    def _run(self, client: str, *arguments: str) -> None:
        result = cli.run(
            *arguments,
            application_id=client,
            kafka_bootstrap_servers=self.settings.kafka_bootstrap_servers,
            topic_prefix=self.settings.topic_prefix,
        )
        assert result.exit_code == 0, result.output

    def _call_api(self, number: int) -> None:
        name = f"called-{number}"
        called = {"app": "graph", "id": "called", "triggers": [{"event": name}]}
        until = time_text(now_ms())
        replay = {
            "function_id": "graph-pair",
            "from": time_text(1),
            "to": until,
            "statuses": ["cancelled"],
        }
        self._call("PUT", "/v1/functions/graph-called", called)
        self._call("POST", "/v1/events", {"name": name, "data": {}})
        self._call("POST", "/v1/replays", replay)
        self._call(
            "POST",
            "/v1/cancellations",
            {"app_id": "graph", "function_id": "pair", "started_before": until},
        )

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._client.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _send(self, topic: TopicSpec, event: dict[str, Any]) -> None:
        self._sender.send(self.settings.topic(topic), orjson.dumps(event))

    def _send_undecidable(self) -> None:
        """Write a command that no joiner can decide: its definition isn't there."""
        entry = Entry(0, 0, now_ms(), now_ms(), b"{}", (Register(9, b"r" * 16, b"e" * 16),))
        batch = CommandBatch(topics=(Topic("nowhere", b"n" * 16),), entries=(entry,))
        self._sender.send(self.settings.topic(topics.COMMANDS), codec.COMMANDS.encode(batch))


@pytest.fixture(scope="module")
def broker(prepared_cache: None) -> Iterator[LocalBroker]:
    """A broker that logs every request."""
    # On a busy machine a node must not take itself for dead.
    patient = {"broker.session.timeout.ms": "18000"}
    with LocalBroker(properties=patient, jvm_options=LOGGED) as one:
        yield one


def test_every_process_reads_and_writes_what_the_graph_says(
    broker: LocalBroker, tmp_path: Path
) -> None:
    """Every arrow is used, by that program; nothing else is."""
    traffic = Traffic(broker, tmp_path)
    missing = graphed() - NOT_AWAITED
    redrives = {"redrive": traffic.redrive, API: traffic.redrive_by_api}
    with RequestLog(broker, traffic.settings) as log:
        try:
            traffic.start()
            for number in range(ROUNDS):
                traffic.use_all(number)
                for client, redrive in redrives.items():
                    if any(arrow.client == client for arrow in missing - log.arrows()):
                        redrive()
                with suppress(AssertionError):
                    eventually(lambda: not missing - log.arrows(), ROUND_S)
                    break
        finally:
            traffic.close()
        seen = {arrow for arrow in log.arrows() if arrow.client in STAGES}
        assert sorted(missing - seen) == []
        assert sorted(seen - graphed() - AT_START) == []
        for client, stage in STAGES.items():
            writes = {arrow for arrow in seen if arrow[:2] == (client, "writes")}
            assert stage.transactional == bool(writes and writes <= log.only_in_transactions())
