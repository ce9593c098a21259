"""The registry: which versions route an event, in whatever order it is asked."""

import logging

import pytest

from streams.functions.registry import Registry
from streams.matching import Meter
from topology import codec, limits
from topology.records import CancelRule, Function, Trigger

DELAY = limits.VALID_FROM_DELAY_MS


def body(
    app: str = "shop", id_: str = "ship", trigger: str | None = "placed", **rule: str
) -> bytes:
    """The record of a function with one trigger, and one rule where given."""
    return codec.encode_function(
        Function(
            app=app,
            id=id_,
            triggers=() if trigger is None else (Trigger(event=trigger),),
            cancel_on=(CancelRule(event="dropped", **rule),) if rule else (),  # type: ignore[arg-type]  # texts only
        )
    )


def registry_of(*records: tuple[int, str, bytes | None]) -> Registry:
    """A registry of (append time, key, value), at offsets from 0."""
    registry = Registry()
    for offset, (timestamp, key, value) in enumerate(records):
        registry.apply(offset, timestamp, key.encode(), value)
    return registry


def versions(registry: Registry, slug: str) -> list[int]:
    """The numbers of a function's versions."""
    return [version.compiled.version for version in registry.versions(slug)]


def test_a_version_is_valid_two_seconds_after_its_append() -> None:
    """Its number is the offset of its record."""
    registry = registry_of(
        (100, "shop-ship/1", body()), (500, "shop-ship/2", body(match="data.id"))
    )
    assert registry.version_at("shop-ship", 100 + DELAY - 1) is None
    first = registry.version_at("shop-ship", 100 + DELAY)
    second = registry.version_at("shop-ship", 500 + DELAY)
    assert first is not None
    assert second is not None
    assert (first.version, first.valid_from) == (0, 100 + DELAY)
    assert second.version == 1
    assert registry.version_at("shop-ship", 500 + DELAY - 1) is first


def test_older_versions_keep_their_cancel_rules() -> None:
    """Runs keep the version that they were registered with."""
    registry = registry_of(
        (100, "shop-ship/1", body(match="data.id")), (500, "shop-ship/2", body(match="data.no"))
    )
    late, early = 500 + DELAY, 100 + DELAY
    assert versions(registry, "shop-ship") == [0, 1]
    dropped = {"name": "dropped", "data": {"id": 1, "no": 2}}
    (route,) = registry.routes("dropped", late)
    assert route.triggered is None
    assert route.cancels is not None
    assert len(route.cancels.matches(dropped, Meter())) == 2
    (route,) = registry.routes("dropped", early)
    assert route.cancels is not None
    assert len(route.cancels.matches(dropped, Meter())) == 1


def test_the_trigger_is_that_of_the_newest_valid_version() -> None:
    """An event name that only an older version has triggers nothing any more."""
    registry = registry_of(
        (100, "shop-ship/1", body(trigger="placed")), (500, "shop-ship/2", body(trigger="paid"))
    )
    assert [route.slug for route in registry.routes("placed", 100 + DELAY)] == ["shop-ship"]
    assert registry.routes("placed", 500 + DELAY) == ()
    (route,) = registry.routes("paid", 500 + DELAY)
    assert route.triggered is registry.version_at("shop-ship", 500 + DELAY)
    assert registry.routes("unknown", 500 + DELAY) == ()


def test_one_event_may_concern_many_functions() -> None:
    """Each function has its own route, with what the event may trigger and cancel."""
    registry = registry_of(
        (1, "shop-ship/1", body()),
        (1, "shop-pack/1", body(id_="pack", trigger="dropped", match="data.id")),
        (1, "shop-bill/1", body(id_="bill", match="data.id")),
    )
    routes = {route.slug: route for route in registry.routes("dropped", 10 + DELAY)}
    assert set(routes) == {"shop-pack", "shop-bill"}
    assert routes["shop-pack"].triggered is not None
    assert routes["shop-pack"].cancels is not None
    assert routes["shop-bill"].triggered is None


def test_a_tombstone_removes_its_version() -> None:
    """It removes only its version; without versions the function is gone."""
    registry = registry_of(
        (100, "shop-ship/1", body(match="data.id")),
        (500, "shop-ship/2", body(match="data.no")),
        (600, "shop-ship/1", None),
        (600, "shop-ship/unknown", None),
        (600, "unknown/1", None),
    )
    assert versions(registry, "shop-ship") == [1]
    registry.apply(9, 700, b"shop-ship/2", None)
    assert registry.slugs() == ()
    assert registry.newest("shop-ship") is None
    assert registry.routes("placed", 10_000) == ()
    assert registry.position == 10


def test_a_second_app_and_id_under_one_slug_is_ignored() -> None:
    """The app and id of the first record own the slug until that record is removed."""
    registry = registry_of(
        (1, "a-b-c/1", body("a", "b-c")),
        (2, "a-b-c/2", body("a-b", "c", trigger="paid")),
        (3, "a-b-c/3", body("a", "b-c", trigger="sent")),
    )
    assert versions(registry, "a-b-c") == [0, 2]
    assert [version.key for version in registry.ignored()] == ["a-b-c/2"]
    assert registry.routes("paid", 10_000) == ()
    registry.apply(3, 4, b"a-b-c/1", None)
    assert versions(registry, "a-b-c") == [1]
    assert len(registry.routes("paid", 10_000)) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"shop-ship/1", b"{"),
        (b"shop-pack/1", body()),
        (b"shop-ship", body()),
        (b"\xff/1", body()),
        (None, body()),
        (b"shop-ship/1", body(match="data..id")),
        (b"shop-ship/1", body(if_="event.data.id ==")),
    ],
)
def test_a_damaged_record_is_counted_and_ignored(
    key: bytes | None, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its offset, and the records after it are applied."""
    registry = registry_of((1, "shop-bill/1", body(id_="bill")))
    with caplog.at_level(logging.WARNING):
        registry.apply(7, 2, key, value)
    (line,) = caplog.records
    assert vars(line)["countermand_fields"]["offset"] == 7
    assert (registry.damaged, registry.slugs(), registry.position) == (1, ("shop-bill",), 8)


def test_a_broker_clock_that_steps_back_delays_nothing() -> None:
    """Of the valid versions the one with the highest offset is used."""
    registry = registry_of((500, "shop-ship/1", body()), (100, "shop-ship/2", body()))
    for received in (100 + DELAY, 500 + DELAY):
        version = registry.version_at("shop-ship", received)
        assert version is not None
        assert version.version == 1


def test_events_of_any_time_are_routed_in_any_order() -> None:
    """Late partitions look back over more versions than are kept as views."""
    count = 40
    registry = registry_of(
        *((100 * n, f"shop-ship/{n}", body(trigger=f"placed-{n}")) for n in range(count))
    )
    for n in [*range(count), *reversed(range(count)), 0, count - 1]:
        for received in (100 * n + DELAY, 100 * n + DELAY + 99):
            version = registry.version_at("shop-ship", received)
            assert version is not None
            assert version.version == n
    assert registry.version_at("shop-ship", 10**15) is not None
    assert registry.version_at("shop-ship", 0) is None


def test_news_shows_at_once() -> None:
    """A view that was looked up before doesn't outlive a record."""
    registry = registry_of((100, "shop-ship/1", body()))
    later = 10_000
    assert len(registry.routes("placed", later)) == 1
    registry.apply(1, 200, b"shop-bill/1", body(id_="bill"))
    assert len(registry.routes("placed", later)) == 2


@pytest.mark.parametrize(
    ("record", "name", "only"),
    [
        (body(match="data.id"), "placed", True),
        (body(), "placed", True),
        (body(match="data.id"), "dropped", False),
        (body(trigger="dropped", match="data.id"), "dropped", False),
        (
            codec.encode_function(
                Function(
                    app="shop", id="ship", triggers=(Trigger(event="placed", if_="event.data.a"),)
                )
            ),
            "placed",
            False,
        ),
    ],
)
def test_a_route_says_whether_each_event_only_starts_a_run(
    record: bytes, name: str, *, only: bool
) -> None:
    """It cancels nothing, nor asks a condition."""
    [route] = registry_of((0, "shop-ship/1", record)).routes(name, DELAY)
    assert route.only_starts is only
