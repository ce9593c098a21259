"""The topic `functions` on a real broker: versions are offsets, written once, valid after 2 s."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    NewTopic,
)

from streams import clock
from streams.errors import NotFoundError, RefusedError, RegistryError, TopicsError, UnreachableError
from streams.functions.changes import Change
from streams.functions.reader import RegistryReader
from streams.functions.writer import (
    Timing,
    apply_functions,
    delete_function,
    list_functions,
    plan_functions,
)
from streams.kafka.admin import describe_topics
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from topology import limits, topics
from topology.records import CancelRule, Function, Trigger

pytestmark = pytest.mark.broker

LATER_MS = limits.PENDING_FOR_MS + 2 * limits.DAY_MS


@dataclass
class Time:
    """A clock that a test turns; sleeping only moves it on."""

    timing: Timing = field(init=False)
    passed: float = 0.0
    offset_ms: int = 0
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.timing = Timing(lambda: self.passed, self._sleep, self._now_ms)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds

    def _now_ms(self) -> int:
        return clock.now_ms() + self.offset_ms


@pytest.fixture
def config(kafka: str) -> dict[str, Any]:
    """How to reach the broker."""
    return {"bootstrap.servers": kafka, "log_level": 0}


@pytest.fixture
def topic(config: dict[str, Any]) -> str:
    """A topic made as `countermand topics create` makes it."""
    return make_topic(config, unique_name("functions"))


@pytest.fixture
def reader(config: dict[str, Any], topic: str) -> Iterator[RegistryReader]:
    """A router's reader of the topic."""
    with RegistryReader(config, topic) as opened:
        yield opened


def make_topic(config: dict[str, Any], name: str) -> str:
    """Create a topic for functions and wait until it can be read."""
    new = NewTopic(name, 1, 1, config=topics.FUNCTIONS.config(1))
    admin = AdminClient(config)
    admin.create_topics([new])[name].result(30)
    eventually(lambda: describe_topics(admin, [name]))
    return name


def function(id_: str = "ship", match: str = "data.id") -> Function:
    """A function with one rule."""
    return Function(
        app="shop",
        id=id_,
        triggers=(Trigger(event="order/placed"),),
        cancel_on=(CancelRule(event="order/dropped", match=match),),
    )


def test_a_function_is_written_once(config: dict[str, Any], topic: str) -> None:
    """Applying the same file again writes nothing; a change writes the next version."""
    time = Time()
    first = apply_functions(config, topic, [function(), function("pack")], time.timing)
    again = apply_functions(config, topic, [function(), function("pack")], time.timing)
    changed = apply_functions(config, topic, [function(match="data.no")], time.timing)
    assert [one.change for one in first.differences] == [Change.NEW, Change.NEW]
    assert [one.change for one in again.differences] == [Change.UNCHANGED, Change.UNCHANGED]
    (difference,) = changed.differences
    assert difference.change is Change.CHANGED
    (field_change,) = difference.fields
    assert (field_change.field, field_change.before, field_change.after) == (
        "cancel_on[0].match",
        "data.id",
        "data.no",
    )
    with RegistryReader(config, topic) as opened:
        registry = opened.load()
    assert registry.position == 3
    assert [one.compiled.version for one in registry.versions("shop-ship")] == [0, 2]


def test_a_version_is_its_offset_and_valid_after_its_append(
    config: dict[str, Any], topic: str
) -> None:
    """The broker's clock decides from when on a version routes."""
    before = clock.now_ms()
    apply_functions(config, topic, [function("pack"), function()], Time().timing)
    after = clock.now_ms()
    pack, ship = list_functions(config, topic)
    assert (pack.compiled.version, ship.compiled.version) == (0, 1)
    appended = ship.compiled.valid_from - limits.VALID_FROM_DELAY_MS
    assert before - 1_000 <= appended <= after + 1_000
    slug, _, number = ship.key.rpartition("/")
    assert (slug, len(number)) == ("shop-ship", 26)


def test_apply_returns_two_seconds_after_the_acknowledgement(
    config: dict[str, Any], topic: str
) -> None:
    """S35: and also where another call has only just written what it found."""
    time = Time()
    apply_functions(config, topic, [function()], time.timing)
    assert time.slept == [2.0]
    apply_functions(config, topic, [function()], time.timing)
    assert time.slept == [2.0, 2.0]
    time.offset_ms = 10 * limits.MINUTE_MS
    apply_functions(config, topic, [function()], time.timing)
    assert time.slept == [2.0, 2.0]


def test_what_apply_wrote_is_valid_when_it_returns(config: dict[str, Any], topic: str) -> None:
    """S35, with real time: an event received from now on is routed by the version."""
    apply_functions(config, topic, [function()])
    now = clock.now_ms()
    with RegistryReader(config, topic) as opened:
        (route,) = opened.load().routes("order/placed", now)
    assert route.slug == "shop-ship"


def test_versions_superseded_long_ago_are_tombstoned(config: dict[str, Any], topic: str) -> None:
    """They stay as long as a run of theirs can be pending, and a day."""
    time = Time()
    apply_functions(config, topic, [function()], time.timing)
    changed = [function(match="data.no")]
    assert apply_functions(config, topic, changed, time.timing).removed == 0
    time.offset_ms = LATER_MS
    assert apply_functions(config, topic, changed, time.timing).removed == 1
    assert apply_functions(config, topic, changed, time.timing).removed == 0
    with RegistryReader(config, topic) as opened:
        registry = opened.load()
    assert [one.compiled.version for one in registry.versions("shop-ship")] == [1]


def test_a_deleted_function_starts_nothing_and_cancels_still(
    config: dict[str, Any], topic: str
) -> None:
    """Its pending runs keep their rules until none can be left; then it is gone altogether."""
    time = Time()
    apply_functions(config, topic, [function(), function("pack")], time.timing)
    delete_function(config, topic, "shop-ship", time.timing)
    assert [one.compiled.slug for one in list_functions(config, topic)] == ["shop-pack"]
    with pytest.raises(NotFoundError):
        delete_function(config, topic, "shop-ship", time.timing)
    with pytest.raises(NotFoundError):
        delete_function(config, topic, "unknown", time.timing)
    with RegistryReader(config, topic) as opened:
        later = clock.now_ms() + limits.MINUTE_MS
        registry = opened.load()
    placed = {route.slug for route in registry.routes("order/placed", later) if route.triggered}
    dropped = {route.slug for route in registry.routes("order/dropped", later) if route.cancels}
    assert placed == {"shop-pack"}
    assert dropped == {"shop-pack", "shop-ship"}
    time.offset_ms = LATER_MS
    assert apply_functions(config, topic, [], time.timing).removed == 2


def test_a_plan_writes_nothing(config: dict[str, Any], topic: str) -> None:
    """A diff can be shown before anything happens."""
    (difference,) = plan_functions(config, topic, [function()])
    assert difference.change is Change.NEW
    assert [(rule.indexed, rule.keys) for rule in difference.rules] == [(True, (("data.id",),))]
    assert list_functions(config, topic) == ()


def test_a_slug_of_another_function_is_refused(config: dict[str, Any], topic: str) -> None:
    """App shop-a with id b is not app shop with id a-b, and nothing of the call is written."""
    time = Time()
    apply_functions(config, topic, [function("a-b")], time.timing)
    other = Function(app="shop-a", id="b", triggers=(Trigger(event="e"),))
    with pytest.raises(RefusedError, match="already the name of app shop, id a-b"):
        apply_functions(config, topic, [function("c"), other], time.timing)
    assert len(list_functions(config, topic)) == 1


def test_a_reader_hears_news_and_stays_fresh(
    config: dict[str, Any], topic: str, reader: RegistryReader
) -> None:
    """A router polls; it learns of versions and proves that it has missed none."""
    assert reader.fresh_at == float("-inf")
    assert not reader.fresh
    assert reader.load().slugs() == ()
    loaded_at = reader.fresh_at
    apply_functions(config, topic, [function()], Time().timing)

    def has_news() -> bool:
        reader.poll(0.02)
        return bool(reader.registry.slugs()) and reader.fresh_at > loaded_at and reader.fresh

    eventually(has_news)
    assert reader.registry.slugs() == ("shop-ship",)


def test_damaged_records_stop_nobody(
    config: dict[str, Any], topic: str, reader: RegistryReader
) -> None:
    """Anybody may write to the topic; what is no function is counted and skipped."""
    producer = Producer(config)
    for key, value in ((b"a-b/X", b"{"), (b"\xff", b"x"), (b"a-b/Y", b'{"app":"a","id":"c"}')):
        producer.produce(topic, value, key)
    assert producer.flush(10) == 0
    apply_functions(config, topic, [function()], Time().timing)
    registry = reader.load()
    assert (registry.damaged, registry.slugs()) == (3, ("shop-ship",))


def test_a_missing_topic_is_named(config: dict[str, Any]) -> None:
    """Nothing is created on the way, and the message has the command that mends it."""
    with (
        RegistryReader(config, unique_name("none")) as opened,
        pytest.raises(TopicsError, match="countermand topics create"),
    ):
        opened.load()


def test_a_topic_that_goes_stops_its_reader(config: dict[str, Any]) -> None:
    """A view of records that are no longer there must not route, made anew or not."""
    name = make_topic(config, unique_name("functions"))
    apply_functions(config, name, [function(), function("pack")], Time().timing)
    with RegistryReader(config, name) as opened:
        opened.load()
        admin = AdminClient(config)
        admin.delete_topics([name])[name].result(30)
        eventually(lambda: not describe_topics(admin, [name]))
        with pytest.raises(TopicsError):
            opened.load()
        make_topic(config, name)
        with pytest.raises(RegistryError, match="truncated or made anew"):
            opened.load()


def test_a_broker_that_is_away_is_named() -> None:
    """Loading gives up in time, with what to look at."""
    config = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    with (
        RegistryReader(config, f"functions-{uuid.uuid4()}") as opened,
        pytest.raises(UnreachableError, match="Is Kafka up"),
    ):
        opened.load(timeout_s=0.5)
    assert not opened.fresh
