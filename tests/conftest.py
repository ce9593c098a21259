"""What every test can ask for."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support import leftovers

# Brokers of tests are young and many: what Java's second compiler would cost, none gets back.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")

# Examples take their time on a busy machine, which is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

pytest_plugins = [
    "tests.support.broker",
    "tests.support.image",
    "tests.support.postgres",
    "tests.support.redis",
]


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """Fail a test that leaves threads, tasks, processes, open stores or a changed environment."""
    before = leftovers.take_snapshot()
    yield
    left = leftovers.leftovers_since(before)
    leftovers.restore_environment(before)
    if left:
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)
