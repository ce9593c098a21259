"""A process without the right to read `state` starts; `topics check` says what it can't know."""

from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from streams.broker import LocalBroker
from streams.kafka.admin import admin_client
from streams.kafka.producers import Sender
from streams.kafka.topics import check_topics, create_topics
from streams.settings import load
from tests.support.deadline import eventually
from topology import codec, tables, topics
from topology.tables import AppliedRow

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
_LOGIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_USERS: Final = 'username="admin" password="pw" user_admin="pw" user_reader="pw";'
_PROPERTIES: Final = {
    "listener.security.protocol.map": "BROKER:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "listener.name.broker.plain.sasl.jaas.config": f"{_LOGIN} {_USERS}",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # The broker speaks to its own controller without a name.
    "super.users": "User:admin;User:ANONYMOUS",
    "allow.everyone.if.no.acl.found": "true",
}
_AS_ADMIN: Final = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "admin",
    "sasl.password": "pw",
}


def test_without_the_right_to_read_rows_the_count_is_a_warning(
    prepared_cache: None, tmp_path: Path
) -> None:
    """Its joiners may; and the topics still agree about the count."""
    with LocalBroker(tmp_path / "kafka", properties=_PROPERTIES, client=_AS_ADMIN) as broker:
        admin = load(
            kafka_bootstrap_servers=broker.bootstrap_servers,
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="PLAIN",
            kafka_sasl_username="admin",
            kafka_sasl_password="pw",  # noqa: S106  # of this broker alone
            partitions=1,
        )
        create_topics(admin)
        state = admin.topic(topics.STATE)
        with Sender(admin) as sender:
            sender.send(state, codec.APPLIED_ROWS.encode(AppliedRow()), key=tables.APPLIED_KEY)
        client = admin_client(admin)
        for operation in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS):
            binding = AclBinding(
                ResourceType.TOPIC,
                state,
                ResourcePatternType.LITERAL,
                *("User:reader", "*", operation, AclPermissionType.ALLOW),
            )
            client.create_acls([binding])[binding].result(60)
        reader = admin.model_copy(update={"kafka_sasl_username": "reader"})
        eventually(lambda: check_topics(reader).warnings, 60)
        report = check_topics(reader)
        assert report.partitions == 1
        assert [(one.topic, "can't be read" in one.problem) for one in report.findings] == [
            (state, True)
        ]
        assert check_topics(admin).findings == ()
