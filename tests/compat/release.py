"""What a release makes of some input, for the next one to go on with: records, logs and cancels.

A file for each release lies in golden/release; a release writes its own with
`python -m tests.compat.release FILE`.
"""

import sys
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tests.support.driver import Driver

FUNCTIONS: Final = """
functions:
  - {id: match, app: old, triggers: [{event: placed}],
     cancel_on: [{event: dropped, match: data.order}]}
  - id: two
    app: old
    triggers: [{event: placed}]
    cancel_on:
      - {event: dropped, match: data.order}
      - {event: closed, match: data.user, early_cancel: 1h}
  - {id: latest, app: old, triggers: [{event: placed}],
     cancel_on: [{event: placed, match: data.user}]}
  - {id: scan, app: old, triggers: [{event: placed}],
     cancel_on: [{event: purged, if: "async.data.n > event.data.n"}]}
"""
PARTITIONS: Final = 3
LOGS: Final = ("commands", "forwards", "state", "cancelled")
_RUNS: Final = 12


class Input(Struct, frozen=True):
    """A record of an input."""

    topic: str
    partition: int
    received: int
    value: bytes


class Written(Struct, frozen=True):
    """One partition of a topic: offset, key and value of its records, and its end."""

    records: list[tuple[int, bytes | None, bytes | None]]
    end: int


class Release(Struct, frozen=True):
    """What a release has written.

    Attributes:
        functions: Key, value and time (ms) of the records of `functions`, in order.
        first: The records of the inputs until the release is replaced.
        second: Those that come then.
        logs: What it had written by then, by topic and partition.
        commands: What it would have written to `commands` in the end, by partition.
        cancelled: Function and event id of the runs that it would have cancelled.
    """

    functions: list[tuple[bytes, bytes, int]]
    first: list[Input]
    second: list[Input]
    logs: dict[str, list[Written]]
    commands: list[Written]
    cancelled: list[tuple[str, str]]


def record() -> Release:
    """What this release makes of the input."""
    driver = Driver(FUNCTIONS, partitions=PARTITIONS)
    applied = [driver.registry.versions(slug)[0] for slug in driver.registry.slugs()]
    functions = [
        (version.key.encode(), version.compiled.definition.body, version.compiled.valid_from - 2000)
        for version in sorted(applied, key=lambda version: version.compiled.version)
    ]
    for number in range(_RUNS):
        order, user = number % 5, f"u{number % 3}"
        place, id_ = number % 2, f"p{number}"
        driver.event("placed", partition=place, id=id_, order=order, user=user, n=number)
    driver.cancel("closed", user="u9", id="early")
    driver.cancel("dropped", order=1, id="d1")
    driver.cancel("dropped", order=2, id="p2")  # the id of a run's trigger event
    first = _inputs(driver)
    logs = {topic: _log(driver, topic) for topic in LOGS}
    driver.event("placed", id="late", order=7, user="u9", n=50)
    driver.event("placed", id="p0", order=0, user="u0", n=0)  # a producer's repeat
    driver.cancel("dropped", order=3, id="d3")
    driver.cancel("purged", n=4, id="purge")
    driver.cancel("dropped", order=2, id="p7")
    second = [one for one in _inputs(driver) if one not in first]
    return Release(functions, first, second, logs, _log(driver, "commands"), cancelled(driver))


def cancelled(driver: Driver) -> list[tuple[str, str]]:
    """Function and event id of the runs that were cancelled."""
    found = [one["data"] for one in driver.cancellations()]
    return sorted((one["function_id"], one["event"]["id"]) for one in found)


def _log(driver: Driver, topic: str) -> list[Written]:
    logs = [driver.cluster.log(topic, number) for number in range(PARTITIONS)]
    return [
        Written([(one.offset, one.key, one.value) for one in log.records], log.end) for log in logs
    ]


def _inputs(driver: Driver) -> list[Input]:
    records = [
        Input(topic, partition, one.received, one.value or b"")
        for topic in ("events", "cancels")
        for partition in range(2)
        for one in driver.cluster.log(topic, partition).records
    ]
    return sorted(records, key=lambda one: one.received)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(msgspec.msgpack.encode(record()))
