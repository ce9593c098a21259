"""Properties of runs and cancels for any events, however they are read and repeated."""

from typing import Any, Final

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.functions.definition import read_text
from streams.joiner.decide import derive
from tests.support import oracle
from tests.support.driver import Driver
from tests.support.oracle import Occurrence
from tests.support.rows import MemoryRows
from topology import tables
from topology.tables import Checkpoint, Space

FUNCTIONS: Final = """
functions:
  - id: placed
    app: any
    triggers: [{event: placed}]
    cancel_on:
      - {event: dropped, match: data.a, timeout: 3ms}
      - {event: closed, match: data.b, early_cancel: 2ms, dedupe: 3ms}
      - {event: purged, if: "event.data.a == async.data.a || event.data.b == async.data.b"}
      - {event: purged, if: "async.data.n > event.data.n"}
  - id: latest
    app: any
    triggers: [{event: placed, if: "event.data.n < 2"}, {event: saved}]
    cancel_on:
      - {event: saved, match: data.a}
      - {event: saved, match: data.b, timeout: 4ms, dedupe: 2ms}
      - {event: closed, all_runs: true}
      - {event: purged, if: "async.data.n > 1", all_runs: true}
"""
NAMES: Final = ("placed", "placed", "saved", "saved", "dropped", "closed", "purged")
PLACES: Final = tuple((topic, number) for topic in ("events", "cancels") for number in (0, 1))
VALUES: Final = st.sampled_from((1, 1.0, 2, "1", None))

data: Final = st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES, "n": st.integers(0, 3)})
# Time passes by 0, 1 or 2 ms; `repeat` counts events back.
events: Final = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        data,
        st.sampled_from(PLACES),
        st.integers(0, 2),
        st.integers(0, 6),
    ),
    min_size=2,
    max_size=14,
)
Drawn = list[tuple[str, dict[str, Any], tuple[str, int], int, int]]


def produced(driver: Driver, drawn: Drawn) -> list[Occurrence]:
    """Produce what was drawn, without any router reading it."""
    occurrences: list[Occurrence] = []
    at = driver.now + 1
    with driver.unread():
        for name, fields, drawn_place, passed, repeat in drawn:
            at += passed
            place = drawn_place
            event: dict[str, Any] = {
                "name": name,
                "data": fields,
                "id": f"e{len(occurrences)}",
                "ts": at,
            }
            if 0 < repeat <= min(len(occurrences), 2):
                before = occurrences[
                    -repeat
                ]  # a producer's retry, which goes to the same partition
                place, event = (before.topic, before.partition), before.event
            body = orjson.dumps(event)
            record = driver.record(body, topic=place[0], partition=place[1], at=at)
            occurrences.append(Occurrence(at, *place, record.offset, event))
    return occurrences


def read_in_any_order(driver: Driver, choices: st.DataObject) -> None:
    """Read the sources in turns, with reports of how far they are in between."""
    places = [place for place in PLACES if driver.cluster.log(*place).end]
    for _ in range(30):
        if not places:
            break
        place = choices.draw(st.sampled_from(places), "read")
        driver.read(*place, most=choices.draw(st.integers(1, 4)))
        if choices.draw(st.booleans()):
            driver.complete()
    driver.read()
    driver.advance("1s")


def cancelled(driver: Driver) -> list[tuple[str, str]]:
    """The runs that were cancelled, by function and event."""
    cancelled_runs = [event["data"] for event in driver.cancellations()]
    return sorted((run["function_id"], run["event"]["id"]) for run in cancelled_runs)


@settings(max_examples=80, deadline=None)
@given(events, st.integers(1, 5), st.data())
def test_any_interleaving_cancels_what_the_oracle_says(
    drawn: Drawn, partitions: int, choices: st.DataObject
) -> None:
    """S11: in any order of reading exactly the runs that must be are cancelled, once."""
    driver = Driver(FUNCTIONS, partitions=partitions)
    occurrences = produced(driver, drawn)

    read_in_any_order(driver, choices)

    assert cancelled(driver) == sorted(oracle.cancelled(read_text(FUNCTIONS), occurrences))
    assert driver.rows(Space.HELD_CANCEL) == driver.rows(Space.HELD_MATCH) == []
    assert driver.rows(Space.HELD_UNLISTEN) == []


@settings(max_examples=60, deadline=None)
@given(events, st.integers(1, 4), st.data())
def test_live_rows_are_those_that_the_changelog_restores(
    drawn: Drawn, partitions: int, choices: st.DataObject
) -> None:
    """Facts and derived rows are the same after a restore, in batches of any size."""
    driver = Driver(FUNCTIONS, partitions=partitions)
    produced(driver, drawn)
    driver.read(*PLACES[0])
    driver.advance(choices.draw(st.sampled_from(("1ms", "2s", "40d"))))
    driver.read()

    for number, partition in enumerate(driver.partitions):
        records = driver.cluster.log("state", number).read(0)
        rows = MemoryRows()
        while records:
            size = choices.draw(st.integers(1, len(records)), "batch")
            facts = {record.key or b"": record.value for record in records[:size]}
            rows.write(rows.batch(facts, derive.restored(rows.get, facts), Checkpoint(b"", 0, 0)))
            records = records[size:]
        assert rows.rows == partition.store.rows


@settings(max_examples=60, deadline=None)
@given(events, st.integers(1, 4), st.data())
def test_what_routers_repeat_changes_nothing(
    drawn: Drawn, partitions: int, choices: st.DataObject
) -> None:
    """Entries that are sent again are skipped: no output and no row of a run changes."""
    driver = Driver(FUNCTIONS, partitions=partitions)
    produced(driver, drawn)
    driver.read()
    before = [dict(partition.store.rows) for partition in driver.partitions]
    outputs = len(driver.cluster.records("runs")) + len(driver.cluster.records("cancelled"))

    for place in PLACES:
        driver.reread(*place, offset=choices.draw(st.integers(0, 8)))

    after = [dict(partition.store.rows) for partition in driver.partitions]
    for rows in (*before, *after):
        rows.pop(tables.APPLIED_KEY, None)
    assert before == after
    assert len(driver.cluster.records("runs")) + len(driver.cluster.records("cancelled")) == outputs
