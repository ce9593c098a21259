"""The dashboard without a broker: nobody answers where Kafka should be."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.api.call.roles import Role
from streams.settings import Settings, load
from tests.support.api import NOWHERE, Api, open_api
from tests.support.visiting import Visit

Come = Callable[..., Visit]


@pytest.fixture
def settings(clean_environment: None, tmp_path: Path) -> Settings:
    """Settings with an SQLite file of this test."""
    return load(kafka_bootstrap_servers=NOWHERE, state_dir=tmp_path)


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """The API with its pages on that file, which knows two functions."""
    with open_api(settings) as found:
        found.know()
        yield found


@pytest.fixture
def come(api: Api) -> Iterator[Come]:
    """Lets somebody come: with a role, or signed out."""
    visits = []

    def one(role: Role | None = None) -> Visit:
        visits.append(Visit(api, role))
        return visits[-1]

    yield one
    for visit in visits:
        visit.close()
