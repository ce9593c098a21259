"""The API without a broker: nobody answers where Kafka should be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.settings import Settings, load
from tests.support.api import NOWHERE, Api, open_api


@pytest.fixture
def settings(clean_environment: None, tmp_path: Path) -> Settings:
    """Settings with an SQLite file of this test."""
    return load(kafka_bootstrap_servers=NOWHERE, state_dir=tmp_path)


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """The API on that file; it waits for Kafka no longer than a test may."""
    with open_api(settings, kafka_within_s=0.5) as found:
        yield found
