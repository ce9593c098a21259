"""`/v1/system` without Kafka, and how a group is told."""

from streams.api.system_model import Known, group_of, known_groups
from streams.kafka.groups import Group, GroupMember
from streams.settings import Settings
from tests.support.api import Api


def test_no_broker_answers(api: Api) -> None:
    """503 with where Kafka is looked for; there is nothing to tell that a probe doesn't."""
    answer = api.call("GET", "/v1/system")
    assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
    assert "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS" in answer.json()["detail"]


def test_every_parameter_is_refused(api: Api) -> None:
    """Who asks for a part would take the whole for it."""
    answer = api.call("GET", "/v1/system?group=router")
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == ["group"]


def test_groups_of_apps_are_found_by_their_names(settings: Settings) -> None:
    """Those of other programs and installations are not ours."""
    names = [
        "countermand-cleanup-shop", "countermand-router", "countermand-worker-my-app",
        "other-worker-shop", "countermand-workers",
    ]  # fmt: skip
    assert list(known_groups(names, settings)) == [
        Known("countermand-router", "router", settings.routed_topics),
        Known("countermand-joiner", "joiner", ("countermand.commands",)),
        Known("countermand-read-model", "read_model"),
        Known("countermand-cleanup-shop", "cleanup", ("countermand.cancelled",), "shop"),
        Known("countermand-worker-my-app", "worker", ("countermand.runs",), "my-app"),
    ]


def test_lag_is_known_where_position_and_end_are() -> None:
    """A partition that nobody has, or that was never read, is told too; no lag is below 0."""
    member = GroupMember("m", "c", "h", None, frozenset({("t", 0), ("t", 1)}))
    positions = {("t", 0): 7, ("t", 2): 5, ("gone", 0): 3}
    ends = {("t", 0): 10, ("t", 1): 4, ("t", 2): 4}
    told = group_of(Known("g", "router"), Group("stable", (member,)), positions, ends)
    assert [(one.topic, one.partition, one.member, one.lag) for one in told.partitions] == [
        ("gone", 0, None, None),
        ("t", 0, "m", 3),
        ("t", 1, "m", None),
        ("t", 2, None, 0),
    ]
    assert (told.lag, told.members[0].partitions) == (3, 2)
