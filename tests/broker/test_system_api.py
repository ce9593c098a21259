"""`/v1/system` on a real broker: groups as Kafka tells them, and parts that fail."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import text

from streams.api.call.roles import Role
from streams.kafka.consumers import follower
from streams.kafka.producers import Sender
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from streams.settings.page import MASK
from tests.support.api import Api, open_api
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from topology import topics

pytestmark = [pytest.mark.broker]
PATH = "/v1/system"
HIDDEN = "not-to-be-shown"


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    """Settings with a secret, and with the topics made."""
    name = unique_name("system")
    found = load(
        kafka_bootstrap_servers=kafka,
        topic_prefix=f"{name}.",
        application_id=name,
        partitions=2,
        state_dir=tmp_path,
        api_key=f"cmk_{HIDDEN}",
    )
    create_topics(found)
    return found


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """The API on these topics."""
    with open_api(settings) as found:
        yield found


def joined(settings: Settings, group: str) -> Consumer:
    """A member of a group that has all partitions of `runs`, and has stored where it is in one."""
    consumer = follower(
        {"bootstrap.servers": settings.kafka_bootstrap_servers, "client.id": "shop"},
        group,
        group_instance_id="pod-1",
    )
    topic = settings.topic(topics.RUNS)
    consumer.subscribe([topic])

    def is_assigned() -> bool:
        consumer.poll(0.1)
        return len(consumer.assignment()) == settings.partitions

    eventually(is_assigned)
    consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    return consumer


def system(api: Api) -> Any:
    """What an operator sees."""
    answer = api.call("GET", PATH, role=Role.OPERATOR)
    assert answer.status_code == 200, answer.text
    assert HIDDEN not in answer.text
    return answer.json()["data"]


def test_groups_topics_settings_versions(api: Api, settings: Settings) -> None:
    """Groups that never were, one of an app at work, and what else there is to know."""
    topic = settings.topic(topics.RUNS)
    with Sender(settings) as sender:
        for _ in range(5):  # of one key, so in one partition
            sender.send(topic, b"x", key=b"k")
    with closing(joined(settings, settings.worker_group("shop"))):
        found = system(api)
    assert found["failed"] == []
    *own, shop = found["groups"]
    assert [(one["kind"], one["state"], one["members"]) for one in own] == [
        ("router", "dead", []), ("joiner", "dead", []), ("read_model", "dead", []),
    ]  # fmt: skip
    assert (shop["kind"], shop["app"], shop["state"]) == ("worker", "shop", "stable")
    [member] = shop["members"]
    assert member.items() >= {"client_id": "shop", "instance_id": "pod-1", "partitions": 2}.items()
    first, second = shop["partitions"]
    assert first["end"] + second["end"] == 5
    assert first.items() >= {
        "topic": topic, "partition": 0, "member": member["id"], "position": 1,
        "lag": max(0, first["end"] - 1),
    }.items()  # fmt: skip
    assert second.items() >= {"member": member["id"], "position": None, "lag": None}.items()
    assert shop["lag"] == first["lag"]
    check = found["topics"]
    assert (check["ok"], check["partitions"], check["findings"]) == (True, 2, [])
    assert check["topics"][topic]["partitions"] == 2
    values = {one["variable"]: (one["value"], one["source"]) for one in found["settings"]}
    assert values["COUNTERMAND_API_KEY"] == (MASK, "flag")
    assert values["COUNTERMAND_PARTITIONS"] == ("2", "flag")
    versions = found["versions"]
    assert versions["installed"].keys() >= {"countermand", "python", "confluent-kafka"}
    assert versions["kafka"] == "4.1 or later"
    assert versions["database"]["revision"] == versions["database"]["newest"]


def test_what_fails_is_named(api: Api, settings: Settings) -> None:
    """A part of the database is gone: all else is told; a topic that is missing is a finding."""
    with api.service.engine.begin() as connection:
        connection.execute(text("DROP TABLE positions"))
    found = system(api)
    assert [(one["part"], one["code"]) for one in found["failed"]] == [
        (f"{settings.read_model_group}.positions", "database_unavailable")
    ]
    assert found["topics"]["ok"]
    with open_api(settings.model_copy(update={"topic_prefix": "nobodys."})) as other:
        check = system(other)["topics"]
    assert not check["ok"]
    assert {one["problem"] for one in check["findings"]} == {"missing"}
