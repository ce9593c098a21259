"""The chart's least rights and network policies, held against real processes: enough, and no more.

Each process has its own user of Kafka, with what its KafkaUser has; brokers check it.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AclOperation,
    ResourcePatternType,
    ResourceType,
)

from streams.api.call.keys import create_key
from streams.api.call.roles import Role
from streams.broker import LocalBroker
from streams.clock import now_ms
from streams.database.engine import database_url, open_database
from streams.errors import KafkaRefusedError
from streams.kafka.admin import admin_client
from streams.kafka.groups import describe_group
from streams.kafka.static_members import remove_static_members
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.deploy import helm
from tests.deploy.helm import CHART, Object
from tests.inngest.conftest import SIGNING_KEY, Bridge, Runs, SdkApp, cloud, inputs
from tests.repo import tree
from tests.support import secured
from tests.support.deadline import eventually
from tests.support.postgres import PostgresServer
from tests.support.services import API, JOINER, READ_MODEL, ROUTER, Service
from tests.support.worker import PATIENCE_S, Backend, Shop, Worker
from topology import graph, topics

pytestmark = [
    pytest.mark.broker, pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(1800),
]  # fmt: skip
WORKER = "worker-shop"
INNGEST = "inngest"
PROCESSES = (ROUTER, JOINER, READ_MODEL, API, WORKER)
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
}
PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}
DNS = 53
HOOK = "topics"
# What docs/kubernetes.md says that the hook's user needs.
HOOKS_RIGHTS = (AclOperation.CREATE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)


def user_of(process: str) -> str:
    """A process's user of Kafka: the name of its KafkaUser."""
    return f"{helm.RELEASE}-{process}"


class Installation:
    """What the chart installs, as processes on this machine, on a broker that checks rights."""

    def __init__(self, broker: LocalBroker, url: str, folder: Path) -> None:
        self.backend = Backend(broker.bootstrap_servers, folder, **secured.security(secured.ADMIN))
        self.settings = self.backend.settings
        create_topics(self.settings)
        self.database = database_url(load(database_url=url))
        self.shop = Shop(self.backend)
        secret = {"DATABASE_URL": url}
        self.services: dict[str, Service] = {
            process: Service(
                process,
                self._as(process),
                folder,
                static=process == JOINER,
                extra=secret if process in {READ_MODEL, API} else None,
            )
            for process in PROCESSES
            if process != WORKER
        }
        self.services[WORKER] = Worker(
            self._as(WORKER), folder, number=1, app=self.shop.app, lease="60s", extra={}
        )
        self.client, event_key = self._open_api(url)
        self.runs = Runs(self.settings)
        self.bridge = self.services[INNGEST] = Bridge(
            self._as(INNGEST), folder, DATABASE_URL=url, INNGEST_SIGNING_KEY=SIGNING_KEY
        )
        self.app = SdkApp("python", self.bridge, folder, **cloud(self.bridge, event_key))
        self.objects = self._rendered()
        self._give_rights()
        for service in self.services.values():
            service.configure(INPUTS=inputs(self.settings))
        self.bridge.configure(INNGEST_ORIGINS=self.app.origin, INNGEST_APPS=self.app.url)

    def start(self) -> None:
        """Start all, and wait until all are ready."""
        self.app.start()
        for one in self.services.values():
            one.start()
        self.bridge.join()
        ready = all
        eventually(lambda: ready(one.is_ready for one in self.services.values()), PATIENCE_S)

    def close(self) -> None:
        """End all."""
        self.client.close()
        self.shop.__exit__()
        self.runs.close()
        self.app.kill()
        for name, one in self.services.items():
            one.kill()
            print(name, *one.last_words(20), sep="\n")

    def get(self, path: str) -> Any:
        """What the API answers."""
        answer = self.client.get(path)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()

    def _open_api(self, url: str) -> tuple[httpx.Client, str]:
        """An admin's client of the API, and the event key of an app."""
        engine = open_database(load(database_url=url))
        _, key = create_key(engine, "ann", Role.ADMIN, now_ms(), actor=None)
        _, event_key = create_key(engine, "app", Role.SENDER, now_ms(), actor=None)
        engine.dispose()
        headers = {"Authorization": f"Bearer {key}"}
        api = self.services[API].url
        return httpx.Client(base_url=api, headers=headers, timeout=PATIENCE_S), event_key

    def _as(self, process: str) -> Settings:
        return self.settings.model_copy(update={"kafka_sasl_username": user_of(process)})

    def _rendered(self) -> list[Object]:
        values = {
            "kafka": {
                "bootstrapServers": self.settings.kafka_bootstrap_servers,
                "securityProtocol": "SASL_PLAINTEXT",
                "sasl": {"mechanism": "SCRAM-SHA-512"},
            },
            "topicPrefix": self.settings.topic_prefix,
            "applicationId": self.settings.application_id,
            "database": {"existingSecret": "db", "port": self.database.port},
            "strimzi": {
                "cluster": "events",
                "topics": {"enabled": True},
                "users": {"enabled": True},
            },
            "inputs": json.loads(inputs(self.settings)),
            "workers": {"shop": {"app": "shop:app"}},
            "inngest": {
                "enabled": True,
                "origins": [self.app.origin],
                "signingKey": {"existingSecret": "inngest"},
            },
        }
        return helm.objects(helm.rendered(values))

    def _give_rights(self) -> None:
        admin = admin_client(self.settings)
        for name, user in helm.of_kind(self.objects, "KafkaUser").items():
            for rule in user["spec"]["authorization"]["acls"]:
                resource = rule["resource"]
                for operation in rule["operations"]:
                    secured.give(
                        admin,
                        name,
                        OPERATIONS[operation],
                        resource["name"],
                        kind=KINDS[resource["type"]],
                        pattern=PATTERNS[resource["patternType"]],
                    )


@pytest.fixture(scope="module")
def installed(
    prepared_cache: None, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation whose processes are all at work."""
    users = map(user_of, (*PROCESSES, INNGEST, HOOK))
    properties = secured.properties(*users, allow_all=False)
    with LocalBroker(properties=properties, client=secured.AS_ADMIN) as broker:
        folder = tmp_path_factory.mktemp("installed")
        installation = Installation(broker, postgres.new_database(), folder)
        try:
            installation.start()
            yield installation
        finally:
            installation.close()


def test_the_rights_are_enough(installed: Installation) -> None:
    """Runs are executed, cancelled and shown, and whatever the API offers goes well."""
    shop = installed.shop
    shop.request("done", "first", "second")
    shop.request("held", "hold first")
    shop.begins("held", "first")
    shop.cancel("held")
    shop.open_gate("held")
    shop.stops("held")
    shop.reaches("done", "completed")

    def shown() -> set[str]:
        return {run["status"] for run in installed.get("/v1/runs")["data"]}

    eventually(lambda: shown() == {"Completed", "Cancelled"}, PATIENCE_S)
    function = {"app": "films", "id": "show", "triggers": [{"event": "film"}]}
    applied = installed.client.put("/v1/functions/films-show", json=function)
    assert applied.status_code == httpx.codes.OK, applied.text
    sent = installed.client.post("/v1/events", json={"name": "film", "data": {}})
    assert sent.status_code == httpx.codes.OK, sent.text
    eventually(lambda: len(installed.get("/v1/runs")["data"]) == 3, PATIENCE_S)
    assert installed.get("/v1/dead-letters")["data"] == []
    system = installed.get("/v1/system")["data"]
    assert (system["failed"], system["topics"]["findings"]) == ([], [])


def test_a_joiners_user_may_remove_members(installed: Installation) -> None:
    """As docs/kubernetes.md does it, in a joiner's pod: Kafka knows no such member, and says so."""
    settings = installed.settings.model_copy(update={"kafka_sasl_username": user_of(JOINER)})
    admin = admin_client(settings)
    for group in (settings.router_group, settings.joiner_group, settings.read_model_group):
        assert describe_group(admin, group).members
    with pytest.raises(KafkaRefusedError, match="UnknownMemberId"):
        remove_static_members(settings, settings.joiner_group, ["joiner-9"])


def test_the_hooks_rights_are_enough(installed: Installation) -> None:
    """It makes topics with another prefix than those that are there."""
    settings = installed.settings.model_copy(
        update={"topic_prefix": "hook.", "kafka_sasl_username": user_of(HOOK)}
    )
    admin, prefixed = admin_client(installed.settings), ResourcePatternType.PREFIXED
    for operation in (*HOOKS_RIGHTS, AclOperation.ALTER_CONFIGS):
        secured.give(admin, user_of(HOOK), operation, settings.topic_prefix, pattern=prefixed)
    assert len(create_topics(settings).created) == len(topics.TOPICS)
    kept = settings.model_copy(update={"retention_inputs": timedelta(days=3)})
    assert create_topics(kept, mend=True).mended


def test_the_rights_are_no_more_than_the_topology_has() -> None:
    """Each process may read and write what its stage does, and the count's topic besides."""
    rights = yaml.safe_load((tree.ROOT / CHART / "files/rights.yaml").read_text(encoding="utf-8"))
    stages = {
        "router": graph.ROUTER,
        "joiner": graph.JOINER,
        "read-model": graph.READ_MODEL,
        "api": graph.API,
        "worker": graph.WORKERS,
        "inngest": graph.BRIDGE,
    }
    assert rights.keys() == stages.keys()
    inputs = {topics.EVENTS.name, topics.CANCELS.name}

    def full(names: list[str]) -> set[str]:
        return {name for name in names if name != "inputs"} | (
            inputs if "inputs" in names else set()
        )

    for name, stage in stages.items():
        read = full(rights[name]["read"]) | {topics.STATE.name}
        assert read == {spec.name for spec in stage.reads} | {topics.STATE.name}, name
        assert full(rights[name]["write"]) == {spec.name for spec in stage.writes}, name
        assert ("transactions" in rights[name]) == (name in {"joiner", "worker", "inngest"}), name


def policy_of(installed: Installation, process: str) -> dict[str, Any]:
    """A process's network policy."""
    found = helm.of_kind(installed.objects, "NetworkPolicy")[user_of(process)]["spec"]
    assert found["policyTypes"] == ["Ingress", "Egress"]
    return dict(found)


def container_of(installed: Installation, process: str) -> Object:
    """A process's container."""
    pods = dict(helm.pods(installed.objects))
    kind = "StatefulSet" if process == JOINER else "Deployment"
    (container,) = pods[f"{kind} {user_of(process)}"]["spec"]["containers"]
    return dict(container)


def outside(policy: dict[str, Any]) -> set[int]:
    """The ports of others that a policy lets its process reach, but for that of DNS."""
    return {one["port"] for rule in policy["egress"] for one in rule["ports"]} - {DNS}


def sockets(service: Service) -> tuple[set[int], set[int]]:
    """The ports that a process listens on, and the ports of others that it is connected to."""
    found = psutil.Process(service.pid).net_connections("inet")
    listening = {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}
    connected = {
        one.raddr.port
        for one in found
        if one.status == psutil.CONN_ESTABLISHED and one.laddr.port not in listening
    }
    return listening, connected


@pytest.mark.parametrize("process", PROCESSES)
def test_what_a_process_opens_is_what_its_policy_allows(
    installed: Installation, process: str
) -> None:
    """It listens on the one port of its container, and is connected to Kafka and its database."""
    policy, container = policy_of(installed, process), container_of(installed, process)
    (ingress,) = policy["ingress"]
    (port,) = ingress["ports"]
    assert port == {"port": container["ports"][0]["name"], "protocol": "TCP"}
    assert len(container["ports"]) == 1
    setting = "COUNTERMAND_API_PORT" if process == API else "COUNTERMAND_WEB_PORT"
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert variables[setting] == str(container["ports"][0]["containerPort"])
    service = installed.services[process]
    eventually(lambda: sockets(service)[1] == outside(policy), PATIENCE_S)
    assert sockets(service)[0] == {int(service.url.rpartition(":")[2])}


def test_apps_of_inngests_sdks(installed: Installation) -> None:
    """One registers, is called and sends events; the policy lets in and out what that opens."""
    app, runs, report = installed.app, installed.runs, f"{installed.app.id}-report"
    runs.send("relay/requested", id="sent")
    runs.reaches(report, "reportId", "sent", "completed")
    runs.send("report/requested", reportId="held", hold=True)
    app.until("held", "render")
    policy, container = policy_of(installed, INNGEST), container_of(installed, INNGEST)
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert {one["port"] for rule in policy["ingress"] for one in rule["ports"]} == ports.keys()
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert variables["COUNTERMAND_WEB_PORT"] == str(ports["probes"])
    assert variables["COUNTERMAND_INNGEST_PORT"] == str(ports["http"])
    listening = {installed.bridge.port, int(installed.bridge.url.rpartition(":")[2])}
    opened = (listening, outside(policy))
    eventually(lambda: sockets(installed.bridge) == opened, PATIENCE_S)
    app.open_gate("held")
    runs.reaches(report, "reportId", "held", "completed")


def test_the_hook_may_only_go_out(installed: Installation) -> None:
    """Nobody calls it."""
    policies = helm.of_kind(helm.case("minimal"), "NetworkPolicy")
    topics_policy = policies["countermand-topics"]["spec"]
    assert (topics_policy["policyTypes"], topics_policy["ingress"]) == (["Ingress", "Egress"], [])
