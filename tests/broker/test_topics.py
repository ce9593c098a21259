"""Topics on a real broker: made once, and every wrong thing found before a process starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from streams.cli.exits import ExitCode
from streams.errors import TopicsError
from streams.kafka.admin import describe_topics
from streams.kafka.findings import grouped
from streams.kafka.topics import check_topics, create_topics, inspect_topics
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.cli import json_of, run
from tests.support.deadline import eventually
from topology import codec, limits, tables, topics
from topology.tables import AppliedRow
from topology.topics import TopicSpec

pytestmark = pytest.mark.broker
PARTITIONS = 2
GOLDEN = Path(__file__).parents[1] / "compat" / "golden"


@pytest.fixture
def prefix() -> str:
    """Topics of this test alone."""
    return unique_name("topics") + "."


@pytest.fixture
def settings(kafka: str, prefix: str) -> Settings:
    """Settings with topics of this test alone."""
    return load(kafka_bootstrap_servers=kafka, topic_prefix=prefix, partitions=PARTITIONS)


@pytest.fixture
def made(settings: Settings) -> Settings:
    """The same, with all topics made."""
    create_topics(settings)
    return settings


def admin(settings: Settings) -> AdminClient:
    """An admin client of the test's own."""
    return AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})


def alter(settings: Settings, spec: TopicSpec, config: Mapping[str, str]) -> None:
    """Change a topic behind Countermand's back."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in config.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, settings.topic(spec), incremental_configs=entries)
    client = admin(settings)  # held until the answer is there
    client.incremental_alter_configs([resource])[resource].result(30)
    name = settings.topic(spec)
    assert eventually(
        lambda: config.items() <= describe_topics(client, [name])[name].config.items()
    )


def make(settings: Settings, name: str, partitions: int, config: Mapping[str, str]) -> None:
    """Make a topic as somebody else would."""
    new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config))
    client = admin(settings)
    client.create_topics([new])[name].result(30)
    assert eventually(lambda: name in describe_topics(client, [name]))


def test_create_makes_all_topics_as_described(settings: Settings) -> None:
    """Partitions, cleanup, timestamps and sizes are those of the topology; one broker, one copy."""
    done = create_topics(settings)
    assert done.replication_factor == 1
    assert sorted(done.created) == sorted(settings.topic(spec) for spec in topics.TOPICS)
    report = inspect_topics(settings)
    assert report.findings == ()
    assert report.event_bytes == limits.EVENT_BYTES
    for spec in topics.TOPICS:
        state = report.topics[settings.topic(spec)]
        alone = spec.partitions is topics.Partitions.ONE
        assert state.partitions == (1 if alone else PARTITIONS)
        assert state.config["cleanup.policy"] == spec.cleanup
        stamped = state.config["message.timestamp.type"] == "LogAppendTime"
        assert stamped == spec.log_append_time
        assert len(state.id) == 16
    assert len({state.id for state in report.topics.values()}) == len(topics.TOPICS)


def test_create_again_changes_nothing(made: Settings) -> None:
    """It is idempotent."""
    before = inspect_topics(made).topics
    assert create_topics(made).created == []
    assert inspect_topics(made).topics == before


def test_missing_topics_stop_a_start_with_the_command(settings: Settings) -> None:
    """All of them in one line."""
    with pytest.raises(TopicsError, match=r"missing.*countermand topics create") as refused:
        check_topics(settings)
    assert str(refused.value).count("countermand topics create") == 1


def remove(settings: Settings, spec: TopicSpec) -> None:
    """Delete a topic, and wait until it is gone."""
    name, client = settings.topic(spec), admin(settings)
    client.delete_topics([name])[name].result(30)
    assert eventually(lambda: name not in describe_topics(client, [name]))


def test_a_deployment_without_the_topic_of_apps_goes_on(made: Settings) -> None:
    """It is younger than others: only what reads it refuses to start, and checks warn."""
    remove(made, topics.APPS)
    assert check_topics(made).findings == ()
    with pytest.raises(TopicsError, match=r"apps: missing. Run: countermand topics create"):
        check_topics(made, topics.APPS)
    assert inspect_topics(made).errors == ()
    assert [one.topic for one in inspect_topics(made).warnings] == [made.topic(topics.APPS)]
    assert create_topics(made).created == [made.topic(topics.APPS)]
    assert check_topics(made, topics.APPS).findings == ()


def test_a_recreated_topic_has_another_id(made: Settings) -> None:
    """By this a joiner sees that its old disk belongs to another topic."""
    name = made.topic(topics.STATE)
    before = check_topics(made).topics[name].id
    remove(made, topics.STATE)
    create_topics(made)
    assert check_topics(made).topics[name].id != before


def grow(settings: Settings, *specs: TopicSpec) -> None:
    """Give topics a partition more, as an administrator might."""
    names = [settings.topic(spec) for spec in specs]
    client = admin(settings)
    new = [NewPartitions(name, PARTITIONS + 1) for name in names]
    for future in client.create_partitions(new).values():
        future.result(30)
    assert eventually(
        lambda: (
            {one.partitions for one in describe_topics(client, names).values()} == {PARTITIONS + 1}
        )
    )


def write_rows(settings: Settings, *rows: tuple[bytes, bytes | None]) -> None:
    """Write rows to partition 0 of `state`, as its joiner does."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for key, value in rows:
        producer.produce(settings.topic(topics.STATE), key=key, value=value, partition=0)
    assert producer.flush(30) == 0


def applied(partitions: int) -> tuple[bytes, bytes]:
    """The row that says for how many partitions all rows were made."""
    return tables.APPLIED_KEY, codec.APPLIED_ROWS.encode(AppliedRow(partitions=partitions))


SHARED = tuple(spec for spec in topics.TOPICS if spec.partitions is topics.Partitions.SHARED)


def test_the_partition_count_is_that_of_the_topics(made: Settings) -> None:
    """Whatever the setting says, which only `topics create` asks."""
    for other in (load(), made.model_copy(update={"partitions": PARTITIONS + 1})):
        where = {
            "kafka_bootstrap_servers": made.kafka_bootstrap_servers,
            "topic_prefix": made.topic_prefix,
        }
        report = check_topics(other.model_copy(update=where))
        assert report.partitions == PARTITIONS
        assert report.findings == ()


def test_one_topic_with_other_partitions_is_an_error(made: Settings) -> None:
    """It breaks co-partitioning; most of those that share the count say which is the wrong one."""
    grow(made, topics.RUNS)
    name = made.topic(topics.RUNS)
    with pytest.raises(TopicsError, match=f"{name}: 3 partitions, not 2.*--delete --topic {name}"):
        check_topics(made)


def test_a_missing_topic_is_made_with_the_count_of_the_others(
    made: Settings, kafka: str, prefix: str
) -> None:
    """A default is no wish; a wish for another count is refused before anything is made."""
    name = made.topic(topics.RUNS)
    client = admin(made)
    client.delete_topics([name])[name].result(30)
    assert eventually(lambda: name not in describe_topics(client, [name]))
    with pytest.raises(TopicsError, match=r"have 2 partitions, not 5: .* fixed for life"):
        create_topics(made.model_copy(update={"partitions": 5}))
    assert name not in describe_topics(client, [name])
    done = create_topics(load(kafka_bootstrap_servers=kafka, topic_prefix=prefix))
    assert (done.created, done.partitions) == ([name], PARTITIONS)
    assert check_topics(made).findings == ()


class _Deleting(AdminClient):
    """Somebody deletes a topic after it was described."""

    def describe_configs(self, resources: Any, **options: Any) -> Any:  # type: ignore[override]  # its stub is wrong
        names = [resource.name for resource in resources]
        for deleted in self.delete_topics(names).values():
            deleted.result(30)
        eventually(lambda: not self.list_topics(timeout=30).topics.keys() & set(names))
        return super().describe_configs(resources, **options)


def test_a_topic_that_goes_while_one_asks_is_missing(made: Settings) -> None:
    """It is no refusal of the brokers."""
    client = _Deleting({"bootstrap.servers": made.kafka_bootstrap_servers})
    assert describe_topics(client, [made.topic(topics.RUNS)]) == {}


def test_rows_made_for_another_count_stop_a_start(made: Settings) -> None:
    """Though all topics agree: runs lie in other partitions than their events would go to."""
    write_rows(made, (b"e", b"x"), applied(PARTITIONS))
    assert check_topics(made).findings == ()
    grow(made, *SHARED)
    with pytest.raises(TopicsError, match="made for 2 partitions, and the topics have 3") as found:
        check_topics(made)
    assert "countermand topics create --partitions 3" in str(found.value)


def test_the_noted_count_is_found_behind_what_starts_leave(made: Settings) -> None:
    """Each start writes a record; what can't be read stops its partition, but no process."""
    write_rows(made, applied(PARTITIONS + 1))
    write_rows(made, *[(tables.BARRIER_KEY, b"b")] * 300)
    write_rows(made, (tables.APPLIED_KEY, b"\xff"), (tables.APPLIED_KEY, None))
    with pytest.raises(TopicsError, match="made for 3 partitions"):
        check_topics(made)


def test_rows_of_a_release_that_noted_no_count_are_taken(made: Settings) -> None:
    """The next joiner notes it."""
    row = (GOLDEN / "v1" / "applied_row.bin").read_bytes()
    write_rows(made, (tables.APPLIED_KEY, row))
    assert check_topics(made).findings == ()


def test_functions_must_have_one_partition(settings: Settings) -> None:
    """A version's number is its offset."""
    make(settings, settings.topic(topics.FUNCTIONS), 2, topics.FUNCTIONS.config(1))
    create_topics(settings)
    with pytest.raises(TopicsError, match="functions: 2 partitions, not 1"):
        check_topics(settings)


@pytest.mark.parametrize(
    ("spec", "config", "message"),
    [
        (topics.STATE, {"cleanup.policy": "delete"}, "cleanup.policy is delete, not compact"),
        (topics.COMMANDS, {"cleanup.policy": "compact"}, "cleanup.policy is compact, not delete"),
        (topics.FUNCTIONS, {"message.timestamp.type": "CreateTime"}, "message.timestamp.type"),
    ],
)
def test_internal_topics_made_wrong_are_errors_that_mend_repairs(
    made: Settings, spec: TopicSpec, config: dict[str, str], message: str
) -> None:
    """The message has the command, and the command works."""
    alter(made, spec, config)
    with pytest.raises(TopicsError, match=f"{message}.*countermand topics create --mend"):
        check_topics(made)
    assert create_topics(made, mend=True).mended == [made.topic(spec)]
    assert check_topics(made).findings == ()


def test_an_input_with_create_time_is_a_warning(made: Settings) -> None:
    """Its received times are the producers' clocks; that is the user's choice."""
    alter(made, topics.EVENTS, {"message.timestamp.type": "CreateTime"})
    report = check_topics(made)
    (warning,) = report.warnings
    assert warning.topic == made.topic(topics.EVENTS)
    assert create_topics(made, mend=True).mended == []


def test_a_users_own_input_is_needed_and_left_alone(made: Settings, prefix: str) -> None:
    """`topics create` doesn't make it; any partitions and cleanup do."""
    own = prefix + "orders"
    settings = made.model_copy(update={"inputs": load(inputs=f"[{{topic: {own}}}]").inputs})
    with pytest.raises(TopicsError, match=f"{own}: missing. Make it, or take it out"):
        check_topics(settings)
    make(made, own, 5, {"cleanup.policy": "compact", "max.message.bytes": "1000"})
    report = check_topics(settings)
    assert [warning.topic for warning in report.warnings] == [own]
    assert report.event_bytes == limits.EVENT_BYTES


def test_smaller_messages_shrink_the_event_limit(made: Settings) -> None:
    """What registers must also fit into a cancelled event, which holds it twice."""
    alter(made, topics.CANCELLED, {"max.message.bytes": "500000"})
    report = check_topics(made)
    assert report.event_bytes == 500_000 - limits.FUNCTION_BYTES - limits.BATCH_BYTES
    assert "events must be smaller" in grouped(report.warnings)[0]
    alter(made, topics.CANCELLED, {"max.message.bytes": "1000"})
    with pytest.raises(TopicsError, match="no event fits"):
        check_topics(made)


def test_the_commands_create_and_check(kafka: str, prefix: str) -> None:
    """Exit code 6 until all is made, then 0; JSON lists every topic."""
    where = {"kafka_bootstrap_servers": kafka, "topic_prefix": prefix}
    failed = run("topics", "check", **where)
    assert failed.exit_code == ExitCode.TOPICS
    assert "missing. Run: countermand topics create" in failed.stdout
    created = json_of(run("topics", "create", "--partitions", "2", "--json", **where))
    assert len(created["created"]) == len(topics.TOPICS)
    assert created["partitions"] == 2
    checked = json_of(run("topics", "check", "--json", **where))
    assert (checked["ok"], checked["partitions"]) == (True, 2)
    assert checked["topics"][prefix + "commands"]["partitions"] == 2
    assert "0 created" in run("topics", "create", **where).stderr
    assert run("topics", "create", partitions="3", **where).exit_code == ExitCode.TOPICS
