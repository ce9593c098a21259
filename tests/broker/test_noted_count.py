"""A process without the right to read `state` starts; `topics check` says what it can't know."""

from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]  # not in its __all__

from streams.broker import LocalBroker
from streams.errors import KafkaRefusedError
from streams.kafka.admin import admin_client
from streams.kafka.producers import Sender
from streams.kafka.topics import TopicsReport, check_topics, create_topics
from streams.settings import Settings, load
from tests.support import secured
from tests.support.deadline import eventually
from topology import codec, tables, topics
from topology.tables import AppliedRow

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]


def report_with_warnings(settings: Settings) -> TopicsReport | None:
    """What a user's check says once brokers heed its rights, which come one by one."""
    try:
        report = check_topics(settings)
    except KafkaRefusedError:
        return None
    return report if report.warnings else None


def test_without_the_right_to_read_rows_the_count_is_a_warning(
    prepared_cache: None, tmp_path: Path
) -> None:
    """Its joiners may; and the topics still agree about the count."""
    properties = secured.properties("reader", allow_all=True)
    with LocalBroker(tmp_path / "kafka", properties=properties, client=secured.AS_ADMIN) as broker:
        admin = load(
            kafka_bootstrap_servers=broker.bootstrap_servers,
            partitions=1,
            **secured.security(secured.ADMIN),
        )
        create_topics(admin)
        state = admin.topic(topics.STATE)
        with Sender(admin) as sender:
            sender.send(state, codec.APPLIED_ROWS.encode(AppliedRow()), key=tables.APPLIED_KEY)
        client = admin_client(admin)
        for operation in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS):
            secured.give(client, "reader", operation, state)
        reader = admin.model_copy(update={"kafka_sasl_username": "reader"})
        report = eventually(lambda: report_with_warnings(reader))
        assert report is not None
        assert report.partitions == 1
        assert [(one.topic, "can't be read" in one.problem) for one in report.findings] == [
            (state, True)
        ]
        assert check_topics(admin).findings == ()
