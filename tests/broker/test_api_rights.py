"""The rights in Kafka that the API needs (`docs/operating.md`), and what it says without one."""

from http import HTTPStatus
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AclOperation,
    ResourcePatternType,
    ResourceType,
)

from streams.broker import LocalBroker
from streams.kafka.admin import admin_client
from streams.kafka.dead_letters import Origin, dead_letter
from streams.kafka.producers import Sender
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support import secured
from tests.support.api import Api, open_api
from tests.support.deadline import eventually
from topology import topics

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
USER = "api"
INPUTS = (topics.EVENTS, topics.CANCELS)
RIGHTS = {
    AclOperation.DESCRIBE: topics.TOPICS,
    AclOperation.DESCRIBE_CONFIGS: topics.TOPICS,
    AclOperation.READ: (topics.FUNCTIONS, topics.STATE),
    AclOperation.WRITE: (topics.FUNCTIONS, *INPUTS, *topics.ROUTED),
}


def write_letters(settings: Settings) -> int:
    """Write a dead letter of each topic that a redrive writes to; how many."""
    with Sender(settings) as sender:
        for topic in settings.routed_topics:
            letter = dead_letter(
                Origin(topic, 0, 0, None, b"no JSON"), stage="router", kind="no_json", message="why"
            )
            sender.send(settings.topic(topics.DEAD_LETTERS), letter.value, headers=letter.headers)
    return len(settings.routed_topics)


def describe_groups(settings: Settings) -> None:
    """Let the API see the application's groups."""
    admin = admin_client(settings)
    kind, pattern = ResourceType.GROUP, ResourcePatternType.PREFIXED
    secured.give(admin, USER, AclOperation.DESCRIBE, "orders-", kind=kind, pattern=pattern)


def use_all(api: Api, letters: int) -> None:
    """Call what writes to Kafka or reads from it."""
    function = {"app": "shop", "id": "order", "triggers": [{"event": "ordered"}]}
    cancellation = {
        "app_id": "shop", "function_id": "order", "started_before": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    assert api.call("PUT", "/v1/functions/shop-order", json=function).status_code == 200
    assert api.post("/v1/events", {"name": "ordered", "data": {}}).status_code == 200
    assert api.post("/v1/cancellations", cancellation).status_code == 200
    assert len(api.get("/v1/dead-letters")["data"]) == letters
    redriven = api.post("/v1/dead-letters/redrive", {"class": "no_json"})
    assert redriven.json()["data"]["sent"] == letters
    system = api.get("/v1/system")["data"]
    assert (system["failed"], system["topics"]["findings"]) == ([], [])


def failing(api: Api) -> list[tuple[str, str]]:
    """The parts of the system that the API can't tell of, and why."""
    failed = api.get("/v1/system")["data"]["failed"]
    return [(one["part"], one["code"]) for one in failed]


def test_the_documented_rights_are_enough(prepared_cache: None, tmp_path: Path) -> None:
    """What needs a right that isn't there says so, and the rest works."""
    properties = secured.properties(USER, allow_all=False)
    with LocalBroker(properties=properties, client=secured.AS_ADMIN) as broker:
        admin = load(
            kafka_bootstrap_servers=broker.bootstrap_servers,
            application_id="orders",
            partitions=1,
            state_dir=tmp_path,
            **secured.security(secured.ADMIN),
        )
        create_topics(admin)
        letters = write_letters(admin)
        for operation, specs in RIGHTS.items():
            for spec in specs:
                secured.give(admin_client(admin), USER, operation, admin.topic(spec))
        with open_api(admin.model_copy(update={"kafka_sasl_username": USER})) as api:
            eventually(lambda: api.service.catalogue.fresh)
            refused = api.call("GET", "/v1/dead-letters")
            assert (refused.status_code, refused.json()["code"]) == (503, "kafka_refused")
            own = (admin.router_group, admin.joiner_group, admin.read_model_group)
            # Brokers heed rights one by one.
            eventually(lambda: failing(api) == [(name, "kafka_refused") for name in own])
            describe_groups(admin)
            secured.give(
                admin_client(admin), USER, AclOperation.READ, admin.topic(topics.DEAD_LETTERS)
            )
            eventually(lambda: api.call("GET", "/v1/dead-letters").status_code == HTTPStatus.OK)
            eventually(lambda: not failing(api))
            use_all(api, letters)
