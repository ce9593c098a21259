"""What runs did when: points of a step, of all functions or one; on both databases."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from streams.api.call.roles import Role
from streams.clock import now_ms
from streams.database.engine import writing
from streams.database.schema import ACTIVITY
from streams.settings import load
from tests.support.api import Api, open_api

pytest_plugins = ["tests.support.postgres"]
MINUTE = 60_000
AT = 1_700_000_040_000  # 2023-11-14T22:14:00Z, a whole minute
RANGE = "after=2023-11-14T22:14:30Z&before=2023-11-14T22:16:00Z"


def put(api: Api, *rows: tuple[str, int, str, int]) -> None:
    """Count: function, minute, kind, number."""
    names = ("function_id", "minute", "kind", "count")
    with writing(api.service.engine) as connection:
        connection.execute(insert(ACTIVITY), [dict(zip(names, row, strict=True)) for row in rows])


def points(api: Api, query: str) -> list[Any]:
    """The points of an answer."""
    found: list[Any] = api.get(f"/v1/activity?{query}")["data"]["points"]
    return found


def test_points_have_all_that_was_counted(
    clean_environment: None, tmp_path: Path, database_url: str
) -> None:
    """The minutes of both ends; cancels by cause, and how long they took."""
    settings = load(
        kafka_bootstrap_servers="127.0.0.1:1", state_dir=tmp_path, database_url=database_url
    )
    with open_api(settings) as api:
        kinds = ["scheduled", "started", "completed", "failed", "skipped", "expired"]
        put(api, *(("", AT, kind, number) for number, kind in enumerate(kinds, 1)))
        put(api, ("", AT, "cancelled_event", 50), ("", AT, "cancelled_pause", 7))
        put(api, ("", AT, "cancelled_event_25", 98), ("", AT, "cancelled_event_more", 2))
        put(api, ("", AT - MINUTE, "started", 1), ("", AT + 2 * MINUTE, "started", 1))
        put(api, ("", AT + MINUTE, "scheduled", 9), ("a-f", AT, "scheduled", 5))
        first, second = points(api, RANGE)
        assert first == {
            "at": "2023-11-14T22:14:00.000Z",
            **{kind: number for number, kind in enumerate(kinds, 1)},
            "cancelled": {"event": 150, "pause": 7},
            "cancel_latency": {"count": 100, "p50_ms": 25, "p99_ms": None},
            "complete": True,
        }
        assert (second["at"], second["scheduled"]) == ("2023-11-14T22:15:00.000Z", 9)
        assert (second["cancelled"], second["cancel_latency"]) == ({}, None)
        [coarse] = points(api, f"{RANGE}&step=1h")
        assert (coarse["at"], coarse["scheduled"]) == ("2023-11-14T22:00:00.000Z", 10)
        assert [one["scheduled"] for one in points(api, f"{RANGE}&function_id=a-f")] == [5]
        assert points(api, f"{RANGE}&function_id=a-g") == []


def test_a_minute_that_may_lack_something_says_so(api: Api) -> None:
    """For each function, too, in points of every step."""
    put(api, ("", AT, "incomplete", 1), ("a-f", AT + MINUTE, "started", 3))
    for step, complete in (("1m", [False, True]), ("2m", [False])):
        found = points(api, f"{RANGE}&function_id=a-f&step={step}")
        assert [one["complete"] for one in found] == complete


def test_a_minute_that_was_trimmed_lacks_something_for_single_functions(api: Api) -> None:
    """What all did together is still there; other functions' counts say nothing."""
    put(api, ("", AT, "trimmed", 1), ("", AT, "started", 3), ("a-f", AT + MINUTE, "started", 3))
    put(api, ("", AT + MINUTE, "started", 3), ("a-g", AT, "failed", 4))
    for query, complete in (("", [True, True]), ("&function_id=a-f", [False, True])):
        found = points(api, RANGE + query)
        assert [one["complete"] for one in found] == complete
        assert {one["failed"] for one in found} == {0}


def test_without_a_range_it_is_the_last_hour(api: Api) -> None:
    """Up to now."""
    now = now_ms()
    minute = now - now % MINUTE
    put(api, ("", minute, "started", 1), ("", minute - 90 * MINUTE, "started", 2))
    assert [one["started"] for one in points(api, "")] == [1]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("step=90s", "step"),
        ("step=1ms", "step"),
        ("step=2d", "step"),
        ("after=2023-11-14T00:00:00Z&before=2023-11-14T00:00:00Z", "after"),
        ("after=2023-11-14T00:00:00Z&before=2023-11-15T01:00:01Z", "after"),
        ("after=2023-11-14T00:00:00Z", "after"),
        ("before=yesterday", "before"),
        ("function=a-f", "function"),
    ],
)
def test_what_is_asked_for_is_bounded(api: Api, query: str, parameter: str) -> None:
    """1,500 points at most, each of whole minutes."""
    answer = api.call("GET", f"/v1/activity?{query}", role=Role.VIEWER)
    assert answer.status_code == 422
    assert [one["parameter"] for one in answer.json()["errors"]] == [parameter]


def test_the_longest_range_is_answered(api: Api) -> None:
    """Exactly 1,500 steps."""
    query = "after=2023-11-14T00:00:00Z&before=2023-11-15T01:00:00Z"
    put(api, ("", AT, "started", 1))
    assert [one["started"] for one in points(api, query)] == [1]
