"""What the tests of joiners on a real broker share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import unique_name
from tests.support.joining import Joining


@pytest.fixture
def joining(kafka: str, tmp_path: Path) -> Iterator[Joining]:
    """Topics, a feed and joiners of this test alone; what still runs is killed in the end."""
    found = Joining(kafka, unique_name("trap"), tmp_path)
    yield found
    found.close()
