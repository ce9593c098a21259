"""One real Kafka for the whole test run, and names that no two tests share."""

import itertools
import os
from collections.abc import Iterator

import pytest

from streams.broker import LocalBroker

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The bootstrap servers of the one broker that all tests of this run share."""
    with LocalBroker() as broker:
        yield broker.bootstrap_servers


def unique_name(stem: str) -> str:
    """A topic, group or transactional id that no other test of this broker uses."""
    return f"{stem}-{os.getpid()}-{next(_numbers)}"
