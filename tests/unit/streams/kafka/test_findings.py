"""Which topics a process must have, and what is said of one that is missing."""

import pytest

from streams.kafka.admin import TopicState
from streams.kafka.findings import Severity, find
from streams.kafka.topics import expected_topics, needed_topics
from streams.settings import Settings, load
from topology import topics
from topology.topics import Partitions, TopicSpec


def as_made(settings: Settings, *missing: TopicSpec) -> dict[str, TopicState]:
    """The topics as `topics create` makes them, without some."""
    return {
        name: TopicState(
            name=name,
            id=bytes(16),
            partitions=1 if spec.partitions is Partitions.ONE else 4,
            replication_factor=1,
            config={"message.timestamp.type": "CreateTime", **spec.config(1)},
        )
        for name, spec in expected_topics(settings).items()
        if spec not in missing
    }


@pytest.mark.usefixtures("clean_environment")
def test_a_process_needs_no_optional_topic_that_it_does_not_use() -> None:
    """Routers, joiners and workers of an upgraded deployment start before it is made."""
    settings = load()
    found = as_made(settings, topics.APPS)
    assert find(found, needed_topics(settings), settings) == []
    (missing,) = find(found, needed_topics(settings, topics.APPS), settings)
    assert (missing.topic, missing.severity) == (settings.topic(topics.APPS), Severity.ERROR)


@pytest.mark.usefixtures("clean_environment")
def test_a_check_of_all_topics_warns_of_an_optional_one() -> None:
    """What the bridge would need, and that nothing else does."""
    settings = load()
    (missing,) = find(as_made(settings, topics.APPS), expected_topics(settings), settings)
    assert (missing.topic, missing.severity) == (settings.topic(topics.APPS), Severity.WARNING)
    (needed,) = find(as_made(settings, topics.RUNS), expected_topics(settings), settings)
    assert (needed.topic, needed.severity) == (settings.topic(topics.RUNS), Severity.ERROR)


def test_only_apps_is_optional() -> None:
    """Whatever else is missing stops every start."""
    assert [spec for spec in topics.TOPICS if spec.optional] == [topics.APPS]
