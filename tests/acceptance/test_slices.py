"""Cancels with many matches go in slices, and no transaction grows beyond its bounds."""

from pathlib import Path
from typing import get_args

import pytest

from streams.joiner.decide.entries import _DECIDERS
from streams.joiner.decide.kinds import KINDS
from streams.joiner.decide.transaction import Input, room
from tests.support.driver import Driver
from topology import limits
from topology.records import Command, LongRequest, Register, Unlisten
from topology.tables import Space

FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on:
      - {event: report/cancelled, match: data.reportId}
      - {event: account/closed, match: data.user}
      - {event: maintenance/started, all_runs: true}
    timeouts: {start: 10m}
"""
MANY = 1_200
LARGE = "x" * 400_000
FORWARD = Unlisten(bytes(16), ())
CANCELS = ("report/cancelled", "account/closed", "maintenance/started")


def largest_transaction(driver: Driver) -> int:
    """The bytes of the largest transaction that any partition committed."""
    return max(one.size for part in driver.partitions for one in part.recorded.transactions)


def cancels_per_transaction(driver: Driver) -> list[int]:
    """How many cancelled events each transaction holds that has any."""
    return [
        number
        for part in driver.partitions
        for one in part.recorded.transactions
        if (number := sum(output.topic == "cancelled" for output in one.outputs))
    ]


@pytest.mark.parametrize("cancel", CANCELS)
def test_a_cancel_of_many_runs_goes_in_slices(cancel: str) -> None:
    """Of 1,200 matches each is cancelled once, in transactions of as many as a slice has.

    What other partitions found is decided at home like any input, up to its bound.
    """
    driver = Driver(FUNCTIONS, partitions=2)
    with driver.unread():
        for number in range(MANY):
            report = "r1" if cancel == "report/cancelled" else f"r{number}"
            driver.event("report/requested", reportId=report, user="u1")
    driver.read()

    driver.cancel(cancel, reportId="r1", user="u1")

    assert len(set(driver.cancelled())) == len(driver.cancelled()) == MANY
    forwarded = cancel == "account/closed"
    most = limits.INTAKE_COMMANDS if forwarded else limits.SLICE_DECISIONS
    assert max(cancels_per_transaction(driver)) <= most
    assert driver.rows(Space.FAN_OUT) == []


def test_commands_of_other_keys_do_not_wait_for_a_fan_out() -> None:
    """Between two slices what arrives meanwhile is decided."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.unread():
        for _ in range(MANY):
            driver.event("report/requested", reportId="r1")
    driver.read()
    (partition,) = driver.partitions
    before = len(partition.recorded.transactions)
    with driver.down():
        driver.cancel("report/cancelled", reportId="r1")
        others = [driver.event("report/requested", reportId=f"r{n}") for n in range(2, 12)]

    keys = {driver.run(other)["run_id"].encode() for other in others}
    registered = [
        number
        for number, one in enumerate(partition.recorded.transactions[before:])
        if any(output.key in keys for output in one.outputs)
    ]
    assert max(registered) < len(cancels_per_transaction(driver)) - 1


def test_a_fan_out_goes_on_after_a_restart() -> None:
    """The work row is a fact: a joiner that starts again finishes what was begun."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.unread():
        for _ in range(MANY):
            driver.event("report/requested", reportId="r1")
    driver.read()
    with driver.down():
        driver.cancel("report/cancelled", reportId="r1")
    done = len(driver.cancelled())
    driver.restart()

    assert done == len(driver.cancelled()) == len(set(driver.cancelled())) == MANY


def test_runs_that_come_during_a_fan_out_are_not_its_business() -> None:
    """S9 holds for each slice: a run received after the cancel stays."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.unread():
        for _ in range(MANY):
            driver.event("report/requested", reportId="r1")
    driver.read()
    with driver.down():
        driver.cancel("report/cancelled", reportId="r1")
        later = driver.event("report/requested", reportId="r1")

    assert driver.status(later) == "scheduled"
    assert len(driver.cancelled()) == MANY


@pytest.mark.parametrize("cancel", CANCELS)
def test_cancels_of_large_runs_are_bounded_by_bytes(cancel: str) -> None:
    """Fifty runs with large events are cancelled in transactions that brokers take."""
    driver = Driver(FUNCTIONS, partitions=16)  # the user's key lies elsewhere than the runs' home
    for _ in range(50):
        driver.event("report/requested", reportId="r1", user="u1", text=LARGE)

    driver.cancel(cancel, reportId="r1", user="u1")

    assert len(driver.cancelled()) == 50
    assert largest_transaction(driver) <= limits.TRANSACTION_BYTES


def test_timeouts_of_large_runs_are_bounded_by_bytes(tmp_path: Path) -> None:
    """Timers that are due at once fire in transactions that brokers take, one after the other."""
    driver = Driver(FUNCTIONS, partitions=1, disk=tmp_path)
    for number in range(40):
        driver.event("report/requested", reportId=f"r{number}", text=LARGE)

    driver.advance("1h")
    driver.close()

    assert len(driver.cancelled()) == 40
    assert largest_transaction(driver) <= limits.TRANSACTION_BYTES


def test_what_is_taken_is_bounded_by_commands_and_by_bytes() -> None:
    """Neither many small records nor a few large ones pile up in hand."""
    small = Input(0, (), 100)
    large = Input(0, (), limits.INTAKE_BYTES // 2)
    assert room([]) == room([small]) == room([small, large]) == limits.INTAKE_COMMANDS
    assert room([large, large]) == 0
    filled = Input(0, (FORWARD,) * limits.INTAKE_COMMANDS, 100)
    assert room([filled]) == 0
    filled.done = 7
    assert room([filled]) == 7


def test_every_command_has_a_handler() -> None:
    """A kind of command that nobody decides on, or works off, would fail when it comes."""
    assert set(KINDS) == set(get_args(LongRequest))
    assert {*_DECIDERS, Register} == set(get_args(Command))
