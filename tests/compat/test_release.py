"""A release goes on with what the one before has written, whatever that was doing."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import msgspec
import pytest

from tests.compat.release import LOGS, PARTITIONS, Input, Release, cancelled
from tests.support.driver import Driver
from tests.support.logs import LogRecord
from topology import codec
from topology.records import Entry

FILES = sorted((Path(__file__).parent / "golden" / "release").glob("*.bin"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def before(request: pytest.FixtureRequest) -> Release:
    """What a release has written."""
    return msgspec.msgpack.decode(request.param.read_bytes(), type=Release)


def upgraded(before: Release) -> Driver:
    """This release on the topics of that one; its routers read the inputs again."""
    driver = Driver(partitions=PARTITIONS)
    for offset, (key, value, at) in enumerate(before.functions):
        driver.registry.apply(offset, at, key, value)
    for topic in LOGS:
        for partition, written in enumerate(before.logs[topic]):
            log = driver.cluster.log(topic, partition)
            log.records += [LogRecord(*one, received=0, headers=[]) for one in written.records]
            log.end = written.end
    driver.restart()
    return driver


def produce(driver: Driver, records: list[Input]) -> None:
    """Produce records of the inputs as they came; they are routed at once."""
    for one in records:
        driver.record(one.value, topic=one.topic, partition=one.partition, at=one.received)


def by_source(entries: Iterator[Entry]) -> dict[tuple[int, int, int], Entry]:
    """Entries of one partition without their identities, by where their records lie."""
    return {
        (one.received, one.partition, one.offset): msgspec.structs.replace(one, identity=b"")
        for one in entries
    }


def entries(values: list[bytes | None]) -> Iterator[Entry]:
    """The entries of some command batches, each of one topic."""
    for value in values:
        yield from codec.COMMANDS.decode(value or b"").entries


def test_there_is_a_release_before() -> None:
    """Without one the tests below would show nothing."""
    assert FILES


def test_its_state_goes_on(before: Release) -> None:
    """Runs and held cancels that it has written meet what comes later, once each."""
    driver = upgraded(before)
    produce(driver, before.first)  # a router repeats what wasn't committed
    produce(driver, before.second)
    assert cancelled(driver) == before.cancelled
    assert before.cancelled


def test_its_functions_are_routed_as_it_would(before: Release) -> None:
    """Routers of both releases side by side write equal commands for versions of its level."""
    driver = upgraded(before)
    produce(driver, before.first + before.second)
    for partition, written in enumerate(before.commands):
        ours = driver.cluster.log("commands", partition).records
        old_end = before.logs["commands"][partition].end
        mine = by_source(entries([one.value for one in ours if one.offset >= old_end]))
        assert mine == by_source(entries([value for _, _, value in written.records]))


@pytest.mark.parametrize("killed", [0, 1, 2])
@pytest.mark.parametrize(
    "written", [some for n in range(PARTITIONS + 1) for some in combinations(range(PARTITIONS), n)]
)
def test_an_entry_that_it_has_half_written_is_completed(
    before: Release, written: tuple[int, ...], killed: int
) -> None:
    """Its router was killed after it had written some partitions' commands of the last records."""
    driver = upgraded(before)
    produce(driver, before.first)
    for partition in written:
        old = before.commands[partition]
        old_end = before.logs["commands"][partition].end
        for offset, _, value in old.records[: len(old.records) - killed]:
            if offset >= old_end:
                driver.send_batch(value or b"", partition)
    produce(driver, before.second)
    assert cancelled(driver) == before.cancelled
