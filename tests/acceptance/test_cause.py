"""What `cause.event` says of the record that cancelled a run: its place and its received time."""

import pytest
from msgspec.structs import replace

from tests.support.driver import Driver
from topology.records import CancelEvent, Position

ONCE = """
functions:
  - {id: once, app: mail, triggers: [{event: start}], cancel_on: [{event: stop, dedupe: 24h,
     if: "event.data.user == async.data.user && async.data.really"}]}
"""
LATEST = """
functions:
  - {id: latest, app: mail, triggers: [{event: start}], cancel_on: [{event: start,
     if: "event.data.user == async.data.user && async.data.really"}]}
"""


@pytest.mark.parametrize("partitions", [1, 5])
@pytest.mark.parametrize(
    ("functions", "name"), [(ONCE, "stop"), (LATEST, "start")], ids=["dedupe", "trigger"]
)
def test_a_repeat_is_named_with_its_own_received_time(
    functions: str, name: str, partitions: int
) -> None:
    """S10, S36: it cancels as of the first, but place and time are those of one record."""
    driver = Driver(functions, partitions=partitions)
    run = driver.event("start", id="r1", user="u", really=False)
    driver.event(name, id="c1", user="u", really=False)
    driver.advance("1h")
    repeat = driver.event(name, id="c1", partition=1, user="u", really=True)
    event = driver.cancellation(run)["data"]["cause"]["event"]
    assert (event["partition"], event["offset"]) == (repeat.partition, repeat.offset)
    assert event["received"] == repeat.received
    assert driver.run(run)["cause"]["event"] == event


def test_a_held_cancel_is_named_with_its_received_time() -> None:
    """A run that comes later than the cancel event meets it with all that it says."""
    driver = Driver(ONCE.replace("dedupe: 24h", "early_cancel: 1h"), partitions=5)
    cancel = driver.event("stop", user="u", really=True)
    driver.wait("10m")
    run = driver.event("start", user="u")
    event = driver.cancellation(run)["data"]["cause"]["event"]
    assert (event["offset"], event["received"]) == (cancel.offset, cancel.received)


def test_a_release_before_has_not_kept_the_time_of_a_repeat() -> None:
    """What it left over is told without a time, rather than with that of another record."""
    old = CancelEvent(5, Position("cancels", b"t", 0, 1), b"", Position("cancels", b"t", 0, 7))
    assert old.own_received is None
    assert replace(old, at=old.position).own_received == 5
