"""How old the copy is that runs and requests are read from."""

import pytest
from sqlalchemy import insert

from streams.api.call.roles import Role
from streams.api.fields import time_text
from streams.clock import now_ms
from streams.database.engine import writing
from streams.database.schema import POSITIONS
from tests.support.api import Api

PATH = "/v1/read-model"


def read_until(api: Api, *as_of: int) -> None:
    """Let partitions have been read up to these times."""
    row = {"topic_id": "x", "next_offset": 1}
    topics = ("runs", "requests", "request-progress")
    with writing(api.service.engine) as connection:
        for number, at in enumerate(as_of):
            place = {"topic": topics[number % 3], "partition": number // 3, "as_of": at}
            connection.execute(insert(POSITIONS).values(row | place))


def test_a_copy_that_was_never_made_has_no_age(api: Api) -> None:
    """No read model has run."""
    answer = api.call("GET", PATH, role=Role.VIEWER)
    assert answer.json()["data"] == {"as_of": None, "behind_s": None}


def test_the_copy_is_as_old_as_its_oldest_partition(api: Api) -> None:
    """Whatever the others have read since."""
    oldest = now_ms() - 20_000
    read_until(api, oldest + 20_000, oldest + 5_000, oldest, oldest + 19_000)
    found = api.get(PATH)["data"]
    assert found["as_of"] == time_text(oldest)
    assert found["behind_s"] >= 20


def test_a_clock_ahead_makes_no_negative_age(api: Api) -> None:
    """A read model on another machine may be a little ahead."""
    read_until(api, now_ms() + 60_000)
    assert api.get(PATH)["data"]["behind_s"] == 0


@pytest.mark.parametrize("as_of", [-(1 << 63), 0, (1 << 63) - 1])
def test_any_time_can_be_shown(api: Api, as_of: int) -> None:
    """Whatever stands in the database."""
    read_until(api, as_of)
    assert len(api.get(PATH)["data"]["as_of"]) == len("2026-01-31T12:00:00.000Z")
