"""What counts of a record, in which minute, and that nothing counts twice; on both databases."""

from typing import Any

import pytest
from sqlalchemy import Engine

from streams.database import activity as kinds_of
from streams.read_model.activity import Activity, kind_of
from streams.read_model.positions import Positions
from streams.read_model.rows import run_row
from streams.settings import Settings
from tests.support import records
from tests.support.counting import Feed, Written
from tests.support.records import RECEIVED, encoded
from tests.support.recount import counted, incomplete

MINUTE = 60_000
NOW = 30 * 86_400_000
WEEK_MINUTES = 7 * 24 * 60
SLUG = "reports-generate"


def of(before: str | None, status: str, **fields: Any) -> dict[str, Any]:
    """A record of a change of status."""
    return records.run(1, status=status, **{"seq": 2, **fields}, status_before=before)


def cause(kind: str, received: int | None = None) -> dict[str, Any]:
    """A cause, of a cancel event that was received then."""
    return {"type": kind, "event": None if received is None else {"received": received}}


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (of(None, "scheduled", seq=1), "scheduled"),
        (of("scheduled", "scheduled", seq=1), None),
        (of(None, "scheduled", seq=3), None),
        (of(None, "running", seq=3), None),
        (of("scheduled", "running"), "started"),
        (of("scheduled", "running", attempt=2), None),
        (of("running", "running"), None),
        (of("running", "sleeping"), None),
        (of("sleeping", "scheduled"), None),
        (of("running", "completed"), "completed"),
        (of("scheduled", "failed"), "failed"),
        (of("scheduled", "skipped"), "skipped"),
        (of("scheduled", "expired"), "expired"),
        (of("cancelled", "cancelled", cause=cause("api")), None),
        (of("running", "cancelled", cause=cause("pause")), "cancelled_pause"),
        (of("running", "cancelled", cause=cause("finish_timeout")), "cancelled_finish_timeout"),
        (of("running", "cancelled", cause=cause("event")), "cancelled_event"),
        (of("running", "cancelled", cause=cause("whim")), "cancelled_other"),
        (of("running", "cancelled"), "cancelled_other"),
        (of("running", "cancelled", cause=cause("whim", RECEIVED)), "cancelled_other"),
    ],
)
def test_a_run_counts_once_as_each_kind(record: dict[str, Any], kind: str | None) -> None:
    """As it is registered, as it is started first, and as it ends; not as it is told once more."""
    assert kind_of(*run_row(encoded(record)), 5) == kind


@pytest.mark.parametrize(
    ("took_ms", "kind"),
    [(-5, 10), (0, 10), (10, 10), (11, 25), (300_000, 300_000), (300_001, "more")],
)
def test_how_long_a_cancel_took(took_ms: int, kind: int | str) -> None:
    """From its event's received time to the record's; a clock that is behind makes it no less."""
    record = of("running", "cancelled", cause=cause("event", RECEIVED))
    found = kind_of(*run_row(encoded(record)), RECEIVED + took_ms)
    assert found == f"cancelled_event_{kind}"


def test_kinds_have_names_of_their_own() -> None:
    """Databases hold these texts, so they never change."""
    assert kinds_of.ENDS == ("completed", "expired", "failed", "skipped")
    assert set(kinds_of.CANCELS.values()) == {
        "cancelled_event",
        "cancelled_api",
        "cancelled_cancellation",
        "cancelled_start_timeout",
        "cancelled_finish_timeout",
        "cancelled_pause",
    }
    assert kinds_of.LATENCIES[0] == "cancelled_event_10"


def test_counts_are_of_the_minute_in_which_a_run_changed() -> None:
    """For its function, and for all together; in one order, whatever came first."""
    activity = Activity()
    for function, at in (("b", 59_999), ("a", 60_000), ("b", 0), ("b", 119_999)):
        activity.add(*run_row(encoded(records.run(1, function_id=function, at=at))), 5)
    activity.add(*run_row(encoded(of("scheduled", "failed", function_id="a", at=0))), 5)
    assert activity.rows() == [
        (0, "", "failed", 1),
        (0, "a", "failed", 1),
        (0, "", "scheduled", 2),
        (0, "b", "scheduled", 2),
        (MINUTE, "", "scheduled", 2),
        (MINUTE, "a", "scheduled", 1),
        (MINUTE, "b", "scheduled", 1),
    ]


def put(feed: Feed, number: int, partition: int = 0) -> None:
    """Write records of so many new runs."""
    feed.logs[partition] += [Written(encoded(records.run(n, at=MINUTE))) for n in range(number)]


def minutes(first: int, last: int) -> list[int]:
    """The beginnings of minutes, given by their distance from now."""
    return [NOW + number * MINUTE for number in range(first, last + 1)]


def scheduled(feed: Feed) -> int:
    """How many runs are counted; each for its function and for all."""
    counts = counted(feed.engine)
    assert counts["", MINUTE, "scheduled"] == counts[SLUG, MINUTE, "scheduled"]
    return counts["", MINUTE, "scheduled"]


@pytest.fixture
def feed(settings: Settings, engine: Engine) -> Feed:
    """Two empty partitions, which are read."""
    found = Feed(settings, engine)
    found.start(NOW)
    return found


def test_a_rebuild_counts_only_what_is_new(feed: Feed) -> None:
    """Also one that was ended in the middle, and begins anew."""
    put(feed, 10)
    put(feed, 5, partition=1)
    feed.read(now=NOW)
    put(feed, 3, partition=1)
    for most in (4, 7, 1 << 30):
        feed.rebuild()
        feed.start(NOW)
        feed.read(most, now=NOW)
    assert scheduled(feed) == 18
    put(feed, 2)
    feed.read(now=NOW)
    feed.start(NOW)
    feed.read(now=NOW)
    assert scheduled(feed) == 20


def test_a_topic_that_was_made_anew_counts_from_its_beginning(feed: Feed) -> None:
    """What was counted of the one before stays."""
    put(feed, 10)
    feed.read(now=NOW)
    feed.topic_id, feed.logs = "new", {0: [], 1: []}
    put(feed, 4)
    feed.start(NOW)
    feed.read(now=NOW)
    feed.rebuild()
    feed.start(NOW)
    feed.read(now=NOW)
    assert scheduled(feed) == 14


def test_a_log_that_lost_its_end_counts_from_there(feed: Feed) -> None:
    """What is written where the lost records were is new."""
    put(feed, 10)
    feed.read(now=NOW)
    feed.logs[0] = feed.logs[0][:6]
    feed.start(NOW)
    put(feed, 8)
    feed.start(NOW)
    feed.read(now=NOW)
    assert scheduled(feed) == 18


def test_a_rebuild_for_other_topics_forgets_what_was_counted(
    feed: Feed, settings: Settings, engine: Engine
) -> None:
    """Counts of two deployments must not add up."""
    put(feed, 10)
    feed.read(now=NOW)
    Positions(settings.model_copy(update={"topic_prefix": "u."}), engine).clear()
    assert not counted(engine)
    feed.start(NOW)
    feed.read(now=NOW)
    assert scheduled(feed) == 10


def test_nothing_is_missing_where_reading_begins_with_the_topic(feed: Feed, engine: Engine) -> None:
    """Nor after pauses in which nothing can be lost."""
    put(feed, 1)
    feed.start(NOW + 10 * MINUTE)
    assert incomplete(engine) == []


def test_what_was_written_before_counting_began_may_be_missing(
    settings: Settings, engine: Engine
) -> None:
    """As far back as activity is kept."""
    feed = Feed(settings, engine)
    put(feed, 1, partition=1)
    feed.start(NOW)
    assert incomplete(engine) == minutes(-WEEK_MINUTES - 10, 0)
    feed.start(NOW + 5 * MINUTE)
    assert max(incomplete(engine)) == NOW


@pytest.mark.parametrize("rebuilds", [False, True])
def test_changes_of_a_long_pause_may_be_missing(
    feed: Feed, engine: Engine, *, rebuilds: bool
) -> None:
    """Kafka may have compacted some away before they were read, whoever reads next."""
    put(feed, 1)
    feed.read(now=NOW)
    if rebuilds:
        feed.rebuild()
    feed.start(NOW + 11 * MINUTE + 5)
    assert incomplete(engine) == minutes(-10, 11)


def test_changes_that_are_read_late_may_be_missing(feed: Feed, engine: Engine) -> None:
    """A process that lags behind marks what it reads; in time again, it marks no more."""
    put(feed, 3)
    feed.logs[0] += [Written(encoded(records.run(9, at=NOW)), NOW + n * MINUTE) for n in (1, 2, 11)]
    feed.read(4, now=NOW + 10 * MINUTE)
    assert incomplete(engine) == []
    feed.read(1, now=NOW + 12 * MINUTE)
    assert incomplete(engine) == minutes(-9, 2)
    feed.read(now=NOW + 12 * MINUTE)
    feed.read(now=NOW + 14 * MINUTE)
    assert incomplete(engine) == minutes(-9, 2)


def test_what_is_counted_already_is_not_read_late(feed: Feed, engine: Engine) -> None:
    """A rebuild may take its time."""
    put(feed, 3)
    feed.read(now=NOW)
    feed.rebuild()
    feed.start(NOW)
    feed.read(now=NOW + 60 * MINUTE)
    assert incomplete(engine) == []
