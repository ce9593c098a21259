"""One real Kafka for the whole test run, and names that no two tests share."""

import itertools
import os
from collections.abc import Iterator

import pytest

from streams.broker import LocalBroker, prepare

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def prepared_cache() -> None:
    """The jars and the start-up archive, which the run's several starts pay back."""
    prepare()


@pytest.fixture(scope="session")
def kafka_broker(prepared_cache: None) -> Iterator[LocalBroker]:
    """The one broker that all tests of this run share; tests that stop one start their own."""
    properties = {
        # Transactions that timed out are looked for every second, not every ten.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        # On a busy machine a node must not take itself for dead.
        "broker.session.timeout.ms": "18000",
    }
    with LocalBroker(properties=properties) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(kafka_broker: LocalBroker) -> str:
    """The bootstrap servers of the shared broker."""
    return kafka_broker.bootstrap_servers


def unique_name(stem: str) -> str:
    """A topic, group or transactional id that no other test of this broker uses."""
    return f"{stem}-{os.getpid()}-{next(_numbers)}"
