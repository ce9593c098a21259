"""`countermand members`: a static member that never comes back, and the others meanwhile."""

import logging
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    NewTopic,
)
from prometheus_client import CollectorRegistry
from typer.testing import Result

from streams.cli.exits import ExitCode
from streams.errors import KafkaRefusedError
from streams.kafka.admin import admin_client
from streams.kafka.groups import describe_group
from streams.kafka.member import Changes, Member
from streams.kafka.static_members import remove_static_members
from streams.metrics import Metrics
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.cli import json_of, run
from tests.support.deadline import eventually
from tests.support.joining import PATIENCE_S, Joining

pytestmark = pytest.mark.broker
GONE, STAYING = "joiner-1", "joiner-0"


@pytest.fixture
def settings(kafka: str) -> Settings:
    """Of an installation of this test alone; only a removal ends a session within the test."""
    name = unique_name("members")
    found = load(kafka_bootstrap_servers=kafka, application_id=name, session_timeout="5m")
    admin = admin_client(found)
    [made] = admin.create_topics([NewTopic(name, 2, 1)]).values()
    made.result(30)
    return found


class Joined:
    """A static member of the joiners' group, and the partitions that it has."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.owned: set[int] = set()
        metrics = Metrics(CollectorRegistry())
        logger = logging.getLogger(__name__)
        group = settings.joiner_group
        self.member = Member(settings, group, logger, metrics, group_instance_id=name)
        self.member.join(
            [settings.application_id],
            Changes(
                assigned=lambda places: self.owned.update(one.partition for one in places),
                revoked=lambda places: self.owned.difference_update(
                    one.partition for one in places
                ),
                lost=lambda _: self.owned.clear(),
            ),
        )

    def reads(self) -> None:
        """Take part in the group for a moment."""
        self.member.fetch(1, 0.05)


@pytest.fixture
def staying(settings: Settings) -> Iterator[Joined]:
    """A member that stays, whose fellow has gone without a word: a static member says none."""
    staying, gone = Joined(settings, STAYING), Joined(settings, GONE)

    def shared() -> bool:
        staying.reads()
        gone.reads()
        return len(staying.owned) == len(gone.owned) == 1

    eventually(shared, PATIENCE_S)
    gone.member.close()
    yield staying
    staying.member.close()


def members(settings: Settings, *arguments: str) -> Result:
    """`countermand members` of this installation."""
    return run(
        "members",
        *arguments,
        kafka_bootstrap_servers=settings.kafka_bootstrap_servers,
        application_id=settings.application_id,
    )


def names(settings: Settings) -> set[str | None]:
    """The static names in the joiners' group."""
    found = describe_group(admin_client(settings), settings.joiner_group)
    return {member.instance_id for member in found.members}


def test_a_removed_member_gives_its_partitions_away(settings: Settings, staying: Joined) -> None:
    """Nobody waits for its session's end; it is found in its group by its name."""
    assert names(settings) == {STAYING, GONE}
    removed = members(settings, "remove", GONE)
    assert removed.stdout == f"removed {GONE} from {settings.joiner_group}\n"

    def has_all() -> bool:
        staying.reads()
        return staying.owned == {0, 1}

    eventually(has_all, PATIENCE_S)
    assert names(settings) == {STAYING}


def test_members_are_listed(settings: Settings, staying: Joined) -> None:
    """With group, static name and the number of their partitions."""
    listed = json_of(members(settings, "list", "--json"))["members"]
    assert {(one["group"], one["name"], one["partitions"]) for one in listed} == {
        (settings.joiner_group, name, 1) for name in (STAYING, GONE)
    }


def test_who_is_no_member_is_not_removed(settings: Settings, staying: Joined) -> None:
    """The command says so, and so does Kafka."""
    refused = members(settings, "remove", "joiner-9")
    assert refused.exit_code == ExitCode.NOT_FOUND
    assert "No group has a member joiner-9" in refused.stderr
    with pytest.raises(KafkaRefusedError, match="UnknownMemberId"):
        remove_static_members(settings, settings.joiner_group, ["joiner-9"])


def test_a_joiner_that_is_removed_while_it_is_alive_joins_again(joining: Joining) -> None:
    """A mistake costs a rebalance: it is another member of the same name, with all partitions."""
    joiner = joining.joiner()
    joiner.start()
    joining.await_ready(joiner)

    def member() -> str:
        """The id of the one that has both partitions; empty where there is none."""
        found = describe_group(joining.admin, joining.settings.joiner_group).members
        return "".join(one.id for one in found if len(one.places) == 2)

    before = eventually(member, PATIENCE_S)
    removed = members(joining.settings, "remove", joiner.name)
    assert removed.exit_code == ExitCode.OK, removed.output
    eventually(lambda: member() not in {"", before}, PATIENCE_S)
    joining.await_ready(joiner)
    assert names(joining.settings) == {joiner.name}


def test_a_joiner_that_starts_again_at_another_address_goes_on(joining: Joining) -> None:
    """It gets what it had at its former address, within the session, and takes it."""
    for _ in range(2):
        joiner = joining.joiner()  # each has a port of its own
        joiner.start()
        joining.await_ready(joiner)
        joiner.kill()
    assert names(joining.settings) == {"joiner1"}
