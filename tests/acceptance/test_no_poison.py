"""S38: what is written to a topic stops nothing, and poisoned state of earlier releases ends."""

from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from msgspec.structs import replace

from streams.errors import UnreadableError
from streams.joiner.inbox import Record
from streams.joiner.intake import Intake, Places
from tests.support.driver import Driver
from topology import codec, held_rows, keys, limits, tables
from topology.held_rows import HeldCancel
from topology.records import CancelEvent, CancelRuns, Position, Request
from topology.tables import AppliedRow, RequestRow, Space

Json = Any
FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId, early_cancel: 1h}]
    retention: 1d
"""
HUGE = (2**48 - 2, 2**48 - 1, 2**48, 2**63, 2**64 - 1, 2**64, 10**30)
LISTENER_KEY = slice(1, 17)
YEARS_MS = 10 * 365 * limits.DAY_MS


@pytest.fixture
def driver() -> Driver:
    """A driver with one function, and one partition."""
    return Driver(FUNCTIONS, partitions=1)


def goes_on(driver: Driver) -> bool:
    """Whether a new run is cancelled by its event."""
    run = driver.event("report/requested", reportId="after")
    driver.cancel("report/cancelled", reportId="after")
    return driver.status(run) == "cancelled"


@pytest.mark.parametrize("time", HUGE)
@pytest.mark.parametrize("field", ["after", "before"])
def test_a_cancellation_may_name_any_time(driver: Driver, field: str, time: int) -> None:
    """Times beyond those that keys can hold stopped routers, or each partition for good."""
    driver.event("report/requested", reportId="r1")
    request = driver.cancel_runs("reports-generate", **cast("Json", {field: time}))
    driver.restart()

    assert driver.progress(request)["states"] != []
    assert driver.progress(request)["cancelled"] == (field == "before")
    assert goes_on(driver)


@pytest.mark.parametrize("time", HUGE)
def test_a_replay_may_name_any_time(driver: Driver, time: int) -> None:
    """As a cancellation may."""
    for times in ({"from_": time, "to": 1}, {"from_": 0, "to": time}):
        body = {"function_id": "reports-generate", "statuses": ["cancelled"], **times}
        driver.request("replay", **cast("Json", body))
    driver.restart()
    assert goes_on(driver)


@pytest.mark.parametrize(
    ("after", "condition", "error"),
    [(2**48 - 1, None, "OverflowError"), (0, "event.data.(", "ExpressionError")],
)
def test_a_request_whose_slice_raises_fails_and_others_go_on(
    driver: Driver, after: int, condition: str | None, error: str
) -> None:
    """An earlier release took it, and its partition failed at every start; now it says why."""
    driver.event("report/requested", reportId="r1")
    request = Request(keys.run_id_bytes("0" * 26), "tester")
    command = CancelRuns(request, "reports-generate", after, driver.now, condition)
    row = RequestRow(command, driver.now, "running", scanning=True)
    put(driver, tables.request_key(request.id), codec.REQUEST_ROWS.encode(row))

    driver.restart()
    good = driver.cancel_runs("reports-generate")

    told = [orjson.loads(one.value or b"") for one in driver.cluster.records("request-progress")]
    (bad,) = [one for one in told if one["request_id"] == "0" * 26]
    assert (bad["state"], bad["cancelled"]) == ("failed", 0)
    assert error in bad["error"]
    assert driver.progress(good)["cancelled"] == 1
    driver.advance("2d")
    assert driver.rows(Space.REQUEST) == []
    assert goes_on(driver)


def test_a_meeting_that_raises_lets_its_run_go_on(driver: Driver) -> None:
    """The run is dispatched, and its event becomes a dead letter that says so."""
    position = Position("events", bytes(16), 0, 0)
    until = driver.now + limits.HOUR_MS
    listed = driver.event("report/requested", reportId="r1")
    ((listener, _),) = driver.rows(Space.LISTENER)
    for number in range(limits.MET_AT_ONCE + 1):
        bad = CancelEvent(driver.now, position, b"no JSON", replace(position, offset=number))
        held = codec.HELD_ROWS.encode(HeldCancel(bad, limits.HOUR_MS))
        put(driver, held_rows.held_cancel_key(listener[LISTENER_KEY], until, bad), held)
    driver.restart()

    run = driver.event("report/requested", reportId="r1")

    assert driver.run(run)["dispatch"]
    (letter,) = driver.dead_letters()
    assert (letter["class"], letter["offset"]) == ("undecidable", str(run.offset))
    driver.cancel("report/cancelled", reportId="r1")
    assert driver.cancelled() == sorted([listed.id, run.id])


def test_a_timer_that_raises_is_tried_again_in_an_hour(driver: Driver) -> None:
    """The others fire meanwhile."""
    bad = driver.event("report/requested", reportId="bad")
    good = driver.event("report/requested", reportId="good")
    key = tables.event_row_key(keys.run_id_bytes(driver.run(bad)["run_id"]))
    row = codec.EVENT_ROWS.decode(dict(driver.rows(Space.EVENT))[key])
    put(driver, key, codec.EVENT_ROWS.encode(replace(row, replay_id=b"short", replay_of=b"")))
    driver.restart()

    driver.advance("31d")
    assert (driver.status(bad), driver.status(good)) == ("scheduled", "expired")
    tried = driver.count("undecidable_rows")
    assert tried > 0
    driver.advance("30m")
    assert driver.count("undecidable_rows") == tried
    driver.advance("31m")
    assert driver.count("undecidable_rows") > tried
    assert goes_on(driver)


@pytest.mark.parametrize("body", [b"\xff", b"{}", b"[" * 100_000, b'{"app":"a","id":"b"}'])
def test_runs_of_a_function_that_can_not_be_read_expire(driver: Driver, body: bytes) -> None:
    """An earlier release has let it in: its runs wait, expire and go; others are cancelled."""
    bad = driver.event("report/requested", reportId="r1")
    driver.apply(FUNCTIONS.replace("1d", "2d"))
    good = driver.event("report/requested", reportId="r1")
    ((key, _), _) = driver.rows(Space.FUNCTION)
    put(driver, key, body)
    driver.partitions[0]._parts.functions._compiled._kept.clear()
    driver.restart()

    driver.cancel("report/cancelled", reportId="r1")
    assert (driver.status(bad), driver.status(good)) == ("scheduled", "cancelled")
    driver.advance("31d")
    assert driver.status(bad) == "expired"
    driver.advance("31d")
    assert driver.history(bad)[-1] == "removed"
    assert driver.dead_letters() == []


def test_a_time_far_ahead_is_a_dead_letter(driver: Driver) -> None:
    """A producer's wrong clock: a cancel would be held for years, a run would never expire."""
    for name in ("report/cancelled", "report/requested"):
        body = orjson.dumps({"name": name, "data": {"reportId": "r1"}})
        now = driver.now
        with driver.unread():
            driver.record(body, at=driver.now + limits.FUTURE_MS + 1_000)
        driver.clock.now = now
        driver.read()

    assert [letter["class"] for letter in driver.dead_letters()] == ["future_timestamp"] * 2
    assert driver.runs() == []
    driver.advance("2h")
    run = driver.event("report/requested", reportId="r1")
    assert driver.status(run) == "scheduled"


def test_what_an_earlier_release_took_from_a_wrong_clock_ends(driver: Driver) -> None:
    """A run dated in years expires, a cancel dated so is no longer held, at the next start."""
    now = driver.now
    dated = driver.event("report/requested", at=now + YEARS_MS, reportId="r1")
    driver.cancel("report/cancelled", at=now + YEARS_MS, reportId="r2")
    assert len(driver.rows(Space.HELD_CANCEL)) == 1
    driver.clock.now = now
    driver.advance("1s")

    driver.restart()

    assert driver.rows(Space.HELD_CANCEL) == []
    late = driver.event("report/requested", reportId="r2")
    assert driver.status(late) == "scheduled"
    driver.restart()
    assert driver.history(dated) == ["scheduled", "expired", "removed"]
    assert len(driver.rows(Space.EVENT)) == 1
    assert goes_on(driver)


def test_a_misdated_run_that_can_not_be_ended_stops_nothing(driver: Driver) -> None:
    """It stays as it is; others that were dated so end, and the partition starts."""
    now = driver.now
    bad, good = (driver.event("report/requested", at=now + YEARS_MS, reportId=x) for x in "bg")
    driver.clock.now = now
    key = tables.event_row_key(keys.run_id_bytes(driver.run(bad)["run_id"]))
    row = codec.EVENT_ROWS.decode(dict(driver.rows(Space.EVENT))[key])
    put(driver, key, codec.EVENT_ROWS.encode(replace(row, replay_id=b"short", replay_of=b"")))
    driver.restart()

    driver.advance("1s")
    driver.restart()

    assert (driver.history(bad), driver.history(good)[:2]) == (
        ["scheduled"],
        ["scheduled", "expired"],
    )
    assert goes_on(driver)


@pytest.mark.parametrize("value", [b"\xff", b"", b"\x02\xff", b"\x01\x91"])
@pytest.mark.parametrize("topic", ["commands", "forwards"])
def test_a_foreign_record_stops_its_partition_with_its_place(topic: str, value: bytes) -> None:
    """Only Countermand writes there, so skipping would lose data; an operator may say so."""
    applied = AppliedRow(commands=6, forwards=6)
    names = "commands", "forwards"
    record = [Record(7, value)]
    taken = (record, []) if topic == "commands" else ([], record)

    with pytest.raises(
        UnreadableError, match=f"{topic}/3@7 .*COUNTERMAND_SKIP_RECORDS={topic}/3@7"
    ):
        Intake(names, Places(3, ()), applied).inputs(*taken)

    (left_out,) = Intake(names, Places(3, {f"{topic}/3@7"}), applied).inputs(*taken)
    assert (left_out.offset, left_out.size) == (7, 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"", b"\xff"),
        (b"\xff", b"\xff"),
        (Space.TIMER.value + bytes(24), b""),
        (Space.EVENT.value + bytes(16), b"\xff"),
        (Space.EVENT.value, b"\xff"),
        (Space.RUN.value + bytes(16), b"\x02\x91"),
        (Space.HELD_CANCEL.value + bytes(40), b"\xff"),
        (Space.SOURCE.value + bytes(20), b"\xff"),
        (Space.APPLIED.value, b"\xff"),
        (Space.REQUEST.value + bytes(16), b"\xff"),
        (Space.FAN_OUT.value + bytes(40), b"\xff"),
        (Space.MEETING.value + bytes(16), b"\xff"),
    ],
)
@pytest.mark.parametrize("with_disk", [False, True])
def test_a_foreign_record_in_state_stops_its_partition_with_its_place(
    key: bytes, value: bytes, with_disk: bool, tmp_path: Path
) -> None:
    """Also at the next start; left out by an operator, everything goes on."""
    driver = Driver(FUNCTIONS, partitions=1, disk=tmp_path if with_disk else None)
    driver.event("report/requested", reportId="r1")
    (one,) = driver.partitions
    one.end()
    offset = driver.cluster.log("state", 0).append(value, key=key)

    for _ in range(2):
        with pytest.raises(
            UnreadableError, match=rf"state/0@{offset} .*SKIP_RECORDS=state/0@{offset}"
        ):
            one.begin()
    one._parts.changelog._places = Places(0, {f"state/0@{offset}"})
    one.begin()
    assert goes_on(driver)
    driver.close()


def put(driver: Driver, key: bytes, value: bytes) -> None:
    """Write a row as an earlier release would have; it is read at the next start."""
    driver.cluster.log("state", 0).append(value, key=key)
