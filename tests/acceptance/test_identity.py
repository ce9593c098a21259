"""What is the same event: source, name and id (S3, S10), and at level 1 its id alone."""

from typing import cast

import msgspec
import orjson
import pytest

from streams import matching
from streams.functions.definition import read_text
from tests.acceptance.test_budget import BOMB
from tests.support.driver import Driver, Json
from tests.support.logs import topic_id
from topology import codec, keys, records, tables

FUNCTIONS = """
functions:
  - {id: ship, app: shop, triggers: [{event: order/placed}], cancel_on: [
      {event: order/refunded, match: data.order}, {event: order/placed, match: data.user}]}
  - {id: note, app: shop, triggers: [{event: order/placed}]}
"""
SHIP, NOTE = "shop-ship", "shop-note"


def cloud_event(driver: Driver, name: str, source: str, id_: str, /, **more: Json) -> None:
    """Produce a structured CloudEvent; `at` is when it is received, the rest is its data."""
    at = more.pop("at", None)
    event = {"specversion": "1.0", "type": name, "source": source, "id": id_, "data": more}
    headers = [("content-type", b"application/cloudevents+json")]
    driver.record(orjson.dumps(event), headers=headers, at=at)


def statuses(driver: Driver, function: str = SHIP) -> list[str]:
    """The statuses of a function's runs, by received time."""
    return [run["status"] for run in driver.runs(function=function)]


def test_s10_another_source_has_ids_of_its_own() -> None:
    """A cancel event isn't the run's trigger because another system gave it the same number."""
    driver = Driver(FUNCTIONS)
    cloud_event(driver, "order/placed", "/shop/orders", "100", order=1)
    cloud_event(driver, "order/refunded", "/billing/refunds", "100", order=1)
    assert statuses(driver) == ["cancelled"]


def test_s10_another_name_is_another_event() -> None:
    """People give all events about an order the order's number as id."""
    driver = Driver(FUNCTIONS)
    driver.event("order/placed", id="order-7", order=7)
    driver.cancel("order/refunded", id="order-7", order=7)
    assert statuses(driver) == ["cancelled"]


def test_s10_a_repeat_of_the_trigger_never_cancels_its_run() -> None:
    """Source, name and id are the same: it is the same event."""
    driver = Driver(FUNCTIONS)
    for _ in range(2):
        cloud_event(driver, "order/placed", "/shop", "1", order=1, user="u")
    assert statuses(driver) == ["scheduled"]
    cloud_event(driver, "order/placed", "/other-shop", "1", order=1, user="u")
    assert statuses(driver) == ["cancelled", "scheduled"]


def test_s03_sources_that_use_one_id_in_one_millisecond_have_a_run_each() -> None:
    """Neither is taken for a repeat, and their runs' ids differ."""
    driver = Driver(FUNCTIONS)
    at = driver.now + 1
    for source in ("/shop/eu", "/shop/us"):
        cloud_event(driver, "order/placed", source, "100", order=1, at=at)
    for function in (SHIP, NOTE):
        assert statuses(driver, function) == ["scheduled"] * 2
    driver.restart()
    driver.cancel("order/refunded", order=1)
    assert statuses(driver) == ["cancelled"] * 2


def test_s03_keys_that_share_16_bits_have_a_run_each() -> None:
    """One id, one name, one ms, two match values: an id that is mapped badly loses no run."""
    driver = Driver(FUNCTIONS)
    kind = keys.MatchKeys(SHIP, "order/refunded", (("data", "order"),))
    at = driver.now + 1
    for order in _colliding(kind):
        driver.event("order/placed", id="same", at=at, order=order)
    assert statuses(driver) == ["scheduled"] * 2


def _colliding(kind: keys.MatchKeys) -> tuple[int, int]:
    """Two match values whose keys begin with the same 16 bits."""
    seen: dict[bytes, int] = {}
    for order in range(1 << 16):
        start = kind.key(matching.canonical((order,)))[:2]
        if start in seen:
            return seen[start], order
        seen[start] = order
    raise AssertionError("there are only so many")


def test_s03_a_member_source_of_plain_json_means_nothing() -> None:
    """Only CloudEvents and mapped inputs have sources."""
    driver = Driver(FUNCTIONS)
    for source in ("a", "b"):
        event = {"name": "order/placed", "id": "1", "source": source, "data": {"order": 1}}
        driver.record(orjson.dumps(event))
    assert statuses(driver) == ["scheduled"]
    assert driver.count("repeated_events") == 2


def test_s03_a_mapped_input_may_say_where_the_source_is() -> None:
    """Rows of two databases have the same numbers."""
    mapping = {
        "topic": "orders",
        "name": {"const": "order/placed"},
        "id": "nr",
        "source": "db",
        "data": "row",
    }
    driver = Driver(FUNCTIONS, inputs=({"topic": "events"}, mapping))
    for db in ("eu", "us", "us", 7):
        row = {"nr": 100, "db": db, "row": {"order": 1}}
        driver.record(orjson.dumps(row), topic="orders")
    assert statuses(driver) == ["scheduled"] * 3


def test_s03_an_id_made_up_from_a_place_is_never_a_repeat() -> None:
    """Not of an event whose id looks like that, nor of a record of a topic that was recreated."""
    driver = Driver(FUNCTIONS)
    event = {"name": "order/placed", "data": {"order": 1}}
    driver.record(orjson.dumps(event))
    driver.record(orjson.dumps({**event, "id": "events-0-0"}))
    assert statuses(driver) == ["scheduled"] * 2
    places = [keys.place_identity(topic_id(name), 0, 0) for name in ("events", "cancels")]
    assert len(set(places)) == 2


def test_s10_an_event_without_an_id_never_cancels_the_run_that_it_triggers() -> None:
    """Its place tells it from all others."""
    driver = Driver(FUNCTIONS)
    for _ in range(2):
        driver.record(orjson.dumps({"name": "order/placed", "data": {"order": 1, "user": "u"}}))
    assert statuses(driver) == ["cancelled", "scheduled"]


def test_s31_an_update_by_event_id_is_for_the_newest_unfinished_run_of_that_id() -> None:
    """Workers say no source and no name."""
    driver = Driver(FUNCTIONS)
    for source in ("/a", "/b"):
        cloud_event(driver, "order/placed", source, "100", order=1)
    for expected in (["scheduled", "completed"], ["completed", "completed"]):
        driver.update("completed", function_id=NOTE, event_id="100")
        assert statuses(driver, NOTE) == expected


def test_s29_a_replayed_run_keeps_its_events_identity() -> None:
    """A repeat of the event doesn't cancel the replayed run either; another source's event does."""
    driver = Driver(FUNCTIONS)
    cloud_event(driver, "order/placed", "/shop", "1", order=1, user="u")
    driver.cancel("order/refunded", order=1)
    driver.request("replay", function_id=SHIP, from_=0, to=driver.now + 1, statuses=["cancelled"])
    assert statuses(driver) == ["cancelled", "scheduled"]
    cloud_event(driver, "order/placed", "/shop", "1", order=1, user="u")
    assert statuses(driver) == ["cancelled", "scheduled"]
    cloud_event(driver, "order/placed", "/mall", "1", order=1, user="u")
    assert statuses(driver) == ["cancelled", "cancelled", "scheduled"]


def test_s10_a_replay_of_a_level_1_run_finds_the_source_of_its_cloud_event() -> None:
    """The run has kept no identity, but the event says where it comes from."""
    driver = Driver()
    apply_level(driver, 1)
    cloud_event(driver, "order/placed", "/shop", "1", order=1, user="u")
    driver.cancel("order/refunded", order=1)
    driver.apply(FUNCTIONS)
    driver.request("replay", function_id=SHIP, from_=0, to=driver.now + 1, statuses=["cancelled"])
    cloud_event(driver, "order/placed", "/shop", "1", order=1, user="u")
    assert statuses(driver)[1] == "scheduled"


@pytest.mark.parametrize("topic", ["events", "orders"])
def test_a_dead_letter_that_is_sent_again_is_the_same_event(topic: str) -> None:
    """A joiner's letter is the event as plain JSON; a header keeps its identity."""
    budget = f"event.data.order == async.data.order && {BOMB}"
    mapping = {"topic": "orders", "name": {"const": "order/refunded"}, "id": "nr", "source": "db"}
    driver = Driver(
        f"""
functions:
  - {{id: ship, app: shop, triggers: [{{event: order/placed}}],
     cancel_on: [{{event: order/refunded, if: "{budget}"}}]}}
  - {{id: note, app: shop, triggers: [{{event: order/refunded}}]}}
""",
        inputs=({"topic": "events"}, mapping),
    )
    driver.event("order/placed", order=1)
    if topic == "orders":
        driver.record(orjson.dumps({"nr": 7, "db": "eu", "order": 1}), topic="orders")
    else:
        cloud_event(driver, "order/refunded", "/billing", "7", order=1)
    [letter] = driver.cluster.records("dead-letters")
    kept = [(name, value) for name, value in letter.headers if name == records.IDENTITY_HEADER]
    assert kept, "the event took more than the budget"
    driver.record(letter.value, topic=topic, headers=cast("Json", kept))
    assert len(driver.runs(function=NOTE)) == 1
    assert driver.count("repeated_events") == 1
    for nonsense in (b"no hex", b"g" * 32, b"aa " * 10 + b"aa", None):
        headers = cast("Json", [(records.IDENTITY_HEADER, nonsense)])
        driver.record(letter.value, headers=headers)
    assert len(driver.runs(function=NOTE)) == 2, "as plain JSON it is another event"


def test_lists_of_runs_stay_short_whatever_sources_share_an_id() -> None:
    """S39: a registration costs the same, however many events have its event's id."""
    driver = Driver(FUNCTIONS)
    for number in range(20):
        cloud_event(driver, "order/placed", f"/device/{number}", "1", order=1)
    lists = [value for _, value in driver.rows(tables.Space.BY_EVENT)]
    assert max(map(len, lists)) == keys.RUN_ID_BYTES


def apply_level(driver: Driver, level: int) -> None:
    """Apply the functions as a release of that level would."""
    for function in read_text(FUNCTIONS):
        body = codec.encode_function(msgspec.structs.replace(function, semantics=level))
        offset = driver.registry.position
        driver.registry.apply(offset, driver.now, f"{function.slug}/{offset:026}".encode(), body)
    driver.wait("2s")


def test_level_1_takes_the_id_alone() -> None:
    """A version that an older release has written decides as it did, until it is applied anew."""
    driver = Driver()
    apply_level(driver, 1)
    driver.event("order/placed", id="order-7", order=7)
    driver.cancel("order/refunded", id="order-7", order=7)
    assert statuses(driver) == ["scheduled"]

    driver.apply(FUNCTIONS)
    driver.event("order/placed", id="order-8", order=8)
    driver.cancel("order/refunded", id="order-8", order=8)
    driver.cancel("order/refunded", id="order-7", order=7)
    assert statuses(driver) == ["scheduled", "cancelled"], "a run keeps its version's level"


def test_a_level_that_is_not_known_stops_who_meets_it() -> None:
    """S38: a rule of a later release is never dropped."""
    driver = Driver()
    with pytest.raises(codec.UnknownLevelError, match="upgrade this process"):
        apply_level(driver, records.SEMANTICS + 1)


def test_a_partition_stops_at_a_level_that_it_does_not_know() -> None:
    """It goes on when its joiner was upgraded: nothing is skipped, and no dead letter is made."""
    driver = Driver(FUNCTIONS, partitions=1)
    driver.event("order/placed", order=1)
    batch = codec.COMMANDS.decode(driver.cluster.log("commands", 0).records[-1].value or b"")
    [entry] = batch.entries
    later = [
        records.Definition(one.slug, 99, one.body.replace(b'"semantics":2', b'"semantics":9'))
        for one in batch.definitions
    ]
    batch = msgspec.structs.replace(
        batch,
        definitions=tuple(later),
        entries=(msgspec.structs.replace(entry, offset=entry.offset + 1),),
    )
    with pytest.raises(codec.UnknownLevelError, match="shop-"):
        driver.send_batch(codec.COMMANDS.encode(batch))
    assert driver.dead_letters() == []
