"""What every test can ask for."""

from collections.abc import Iterator

import pytest

from tests.support import leftovers

pytest_plugins = ["tests.support.broker", "tests.support.postgres", "tests.support.redis"]


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """Fail a test that leaves threads, tasks, processes, open stores or a changed environment."""
    before = leftovers.take_snapshot()
    yield
    left = leftovers.leftovers_since(before)
    leftovers.restore_environment(before)
    if left:
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)
