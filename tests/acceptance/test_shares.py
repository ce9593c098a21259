"""S39: input, timers, held rows and long work have shares of their own in every transaction."""

from typing import Any

import orjson
import pytest

from tests.support.driver import Driver, Sent
from topology import limits
from topology.tables import Space

LARGE = "x" * 400_000
FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on:
      - {event: report/cancelled, match: data.report}
      - {event: account/closed, match: data.user, early_cancel: 1h}
      - {event: account/limited, early_cancel: 1h,
         if: "event.data.user == async.data.user && async.data.most < event.data.pages"}
"""
WORK = (Space.MEETING, Space.DELIVERY, Space.POSTPONED, Space.FAN_OUT)


def largest(driver: Driver) -> int:
    """The bytes of the largest transaction that any partition committed."""
    return max(one.size for part in driver.partitions for one in part.recorded.transactions)


def requested(driver: Driver, **data: Any) -> Sent:
    """An event that starts a run."""
    return driver.event("report/requested", **{"report": "r1", "user": "u1", "pages": 5, **data})


def check_bounds(driver: Driver) -> None:
    """No transaction was larger than brokers take, and no work is left."""
    assert largest(driver) <= limits.TRANSACTION_BYTES
    assert [row for space in WORK for row in driver.rows(space)] == []


def test_live_input_does_not_wait_for_a_cancellation_of_large_runs() -> None:
    """Slices have a share of their own, so a stop and other cancels come between them."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.unread():
        for _ in range(1_500):
            requested(driver, text="x" * 8_000)
    driver.read()
    (partition,) = driver.partitions
    before = len(partition.recorded.transactions)
    with driver.down():
        request = driver.cancel_runs("reports-generate")
        others = [requested(driver, report=f"other{number}") for number in range(400)]
        driver.request("stop_cancellation", cancellation_id=request)

    assert driver.progress(request)["states"] == ["stopped"]
    assert len(driver.cancelled()) < 600
    keys = {run["run_id"].encode() for run in driver.runs() if run["event"]["id"] == others[-1].id}
    [registered] = [
        number
        for number, one in enumerate(partition.recorded.transactions[before:])
        if any(output.key in keys for output in one.outputs)
    ]
    assert registered <= 3


@pytest.mark.parametrize("partitions", [1, 16])  # of 16, the user's key lies elsewhere
def test_many_large_cancels_are_held_and_met_in_slices(partitions: int) -> None:
    """A run that listens is cancelled by one of them, without a transaction that none can take."""
    driver = Driver(FUNCTIONS, partitions=partitions)
    for _ in range(60):
        driver.cancel("account/closed", user="u1", text=LARGE)

    run = requested(driver)

    assert driver.cancelled() == [run.id]
    check_bounds(driver)


def test_a_run_is_dispatched_once_it_has_met_all_that_was_held() -> None:
    """None of sixty cancels matches: until that is known, nobody may start the run."""
    driver = Driver(FUNCTIONS, partitions=1)
    for _ in range(60):
        driver.cancel("account/limited", user="u1", most=9, text=LARGE)

    run = requested(driver)

    records = [orjson.loads(one.value or b"") for one in driver.cluster.records("runs")]
    assert [one["dispatch"] for one in records] == [False, True]
    assert driver.claim(run)["status"] == "running"
    check_bounds(driver)


def test_updates_wait_until_a_run_has_met_all_that_was_held() -> None:
    """The last of sixty cancels matches, and was received before the run was completed."""
    driver = Driver(FUNCTIONS, partitions=1)
    for number in range(60):
        driver.cancel("account/limited", user="u1", most=1 if number == 59 else 9, text=LARGE)
    with driver.down():
        run = requested(driver)
        driver.update("completed", function_id="reports-generate", event_id=run.id)

    assert driver.status(run) == "cancelled"
    assert driver.count("ignored_updates", "ended") == 1
    check_bounds(driver)


def test_nothing_that_is_held_goes_before_a_run_has_met_it() -> None:
    """Timers of held rows, of the run and of requests wait, while the watermark passes them."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.unread():
        late = requested(driver)
        for number in range(60):
            driver.cancel("account/limited", user="u1", most=1 if number == 59 else 9, text=LARGE)
    driver.read("cancels")
    with driver.down():
        request = driver.cancel_runs("reports-generate", if_="event.data.pages == 77")
        driver.read("events")
        driver.advance("40d")
    driver.advance("2s")  # what was put off

    assert driver.status(late) == "cancelled"
    progress = driver.progress(request)
    assert (progress["states"], progress["scanned"]) == (["done"], 1)
    check_bounds(driver)


def test_many_updates_of_a_large_event_are_applied_in_slices() -> None:
    """Workers that came before the event: the first has the run, the others are told so."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.unread():
        run = requested(driver, text=LARGE)
        for number in range(300):
            driver.update(
                "running", function_id="reports-generate", event_id=run.id, worker=f"w{number}"
            )
    driver.read("run-updates")
    driver.read("events")

    assert driver.run(run)["worker"] == "w0"
    assert driver.count("ignored_updates", "claimed") == 299
    check_bounds(driver)


def test_a_run_meets_many_cancellations_in_slices() -> None:
    """Each counts it once, and isn't done before it has met the run."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.unread():
        run = requested(driver)
    requests = [
        driver.cancel_runs("reports-generate", if_=f"event.data.pages == {number}")
        for number in range(20)
    ]
    with driver.down():
        driver.read("events")
        driver.advance("1m")
    driver.advance("2s")  # what was put off

    assert driver.status(run) == "cancelled"
    found = [driver.progress(request) for request in requests]
    assert {tuple(one["states"]) for one in found} == {("done",)}
    assert [one["scanned"] for one in found] == [1] * 20
    assert [one["cancelled"] for one in found] == [int(number == 5) for number in range(20)]
    assert [one["already_ended"] for one in found] == [int(number > 5) for number in range(20)]
    check_bounds(driver)


def test_a_large_cancel_event_of_many_functions_is_met_in_slices() -> None:
    """Each function's key holds the event: so many don't go into one transaction."""
    functions = "functions:\n" + "".join(
        f"  - {{app: a, id: f{number}, triggers: [{{event: start}}],"
        " cancel_on: [{event: stop, match: data.user}]}\n"
        for number in range(60)
    )
    driver = Driver(functions, partitions=1)
    with driver.unread():
        late = driver.event("start", user="u1")
    soon = driver.event("start", partition=1, user="u1")
    driver.cancel("stop", user="u1", text=LARGE)
    driver.read()

    assert {run["status"] for one in (soon, late) for run in driver.runs(one)} == {"cancelled"}
    assert len(driver.cancelled()) == 120
    check_bounds(driver)


def test_a_large_event_that_cancels_earlier_runs_everywhere_is_sent_in_slices() -> None:
    """Latest wins over 64 partitions, by a rule that has to ask all of them."""
    driver = Driver(
        """
        functions:
          - {app: a, id: f, triggers: [{event: save}], cancel_on: [{event: save, all_runs: true}]}
        """,
        partitions=64,
    )
    sent = [driver.event("save", text=LARGE) for _ in range(3)]

    assert driver.cancelled() == [sent[0].id, sent[1].id]
    check_bounds(driver)


def transactions(driver: Driver) -> int:
    """How many transactions the one partition has committed."""
    (partition,) = driver.partitions
    return len(partition.recorded.transactions)


def limited(driver: Driver, number: int) -> None:
    """So many cancels that match no run, and are held for an hour."""
    for _ in range(number):
        driver.cancel("account/limited", user="u1", most=9)


def test_many_short_meetings_go_into_one_transaction() -> None:
    """Runs that each have a little too much to meet don't wait for a transaction each."""
    driver = Driver(FUNCTIONS, partitions=1)
    limited(driver, limits.MET_AT_ONCE + 1)
    with driver.unread():
        for number in range(300):
            requested(driver, report=f"r{number}")
    before = transactions(driver)
    driver.read()

    assert {run["dispatch"] for run in driver.runs()} == {True}
    assert transactions(driver) - before < 30
    check_bounds(driver)


def test_a_request_has_its_turn_beside_a_stream_of_meetings() -> None:
    """Work rows have their turns in the order in which they came, whatever their keys are."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.unread():
        for number in range(3 * limits.SLICE_DECISIONS):
            driver.event("report/requested", report=f"r{number}", user="other", pages=7)
    driver.read()
    limited(driver, 2 * limits.SLICE_DECISIONS)
    with driver.down():
        request = driver.cancel_runs("reports-generate", if_="event.data.pages == 7")
    for number in range(8):  # each takes more than a slice
        with driver.down():
            requested(driver, report=f"late{number}")

    driver.advance("1m")
    assert driver.progress(request)["cancelled"] == 3 * limits.SLICE_DECISIONS
    check_bounds(driver)


def test_a_meeting_ends_whatever_is_held_meanwhile() -> None:
    """What comes during the meeting has met the run by itself: the meeting doesn't follow it."""
    driver = Driver(FUNCTIONS, partitions=1)
    limited(driver, 2 * limits.SLICE_DECISIONS)
    (partition,) = driver.partitions
    before = transactions(driver)
    with driver.down():
        requested(driver)
        limited(driver, 15 * limits.SLICE_DECISIONS)

    dispatched = [
        number
        for number, one in enumerate(partition.recorded.transactions[before:])
        if any(b'"dispatch":true' in (output.value or b"") for output in one.outputs)
    ]
    assert dispatched == [3]


def test_dead_letters_of_a_large_cancel_event_count_for_its_share() -> None:
    """Every function's rule takes too much: each is told, in transactions that brokers take."""
    bomb = "[[[event.ts]]]" + ".map(x,x+x)" * 9 + "[0]" + ".map(x,x+x)" * 12 + ".exists(x, 2 in x)"
    functions = "functions:\n" + "".join(
        f"  - {{app: a, id: f{number}, triggers: [{{event: start}}], cancel_on: [{{event: stop,"
        f' if: "event.data.user == async.data.user && {bomb}"}}]}}\n'
        for number in range(90)
    )
    driver = Driver(functions, partitions=1)
    driver.event("start", user="u1")
    with driver.unread():
        driver.cancel("stop", user="u1", text=LARGE)
        driver.advance("1m")  # the watermark passes it before it is read
    driver.read()

    assert len(driver.dead_letters()) == 90
    check_bounds(driver)
