"""What a run waits for, as its version says it."""

import pytest
from msgspec import structs

from streams.api.call.roles import Role
from streams.functions.registry import Registry
from tests.support.api import Api, add_runs, add_version, registry_of, run_id, run_row

AT = 1_700_000_000_000
FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on:
      - {event: report/cancelled, match: data.n, timeout: 1h}
      - {event: account/closed, if: "event.data.user == async.data.user && async.data.hard"}
      - {event: maintenance/started, all_runs: true}
    timeouts: {start: 10m}
"""
PATH = f"/v1/runs/{run_id(AT, 7)}/rules"


@pytest.fixture
def registry() -> Registry:
    """The function, with one version."""
    return registry_of(FUNCTIONS)


def version_of(registry: Registry) -> int:
    """The number of the newest version."""
    newest = registry.newest("reports-generate")
    assert newest is not None
    return newest.compiled.version


def know(api: Api, registry: Registry, *, fresh: bool = True) -> None:
    """Let the API know what the registry holds."""
    api.service.catalogue.show(registry, lambda: fresh)


def test_what_a_run_waits_for(api: Api, registry: Registry) -> None:
    """Values, and until when, of each rule; whether it can match at all."""
    know(api, registry)
    add_runs(api.service, run_row(AT, 7, function_version=version_of(registry)))
    answer = api.call("GET", PATH, role=Role.VIEWER)
    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]
    rules = found.pop("rules")
    assert found == {
        "run_id": run_id(AT, 7),
        "function_id": "reports-generate",
        "function_version": version_of(registry),
        "ended": False,
        "expires_at": "2023-12-14T22:13:20.000Z",
        "start_timeout": "10m",
        "finish_timeout": None,
    }
    assert rules == [
        {
            "index": 0,
            "event": "report/cancelled",
            "expression": "event.data.n == async.data.n",
            "keys": [[{"event_path": "event.data.n", "async_path": "async.data.n", "value": 7}]],
            "can_match": True,
            "until": "2023-11-14T23:13:20.000Z",
        },
        {
            "index": 1,
            "event": "account/closed",
            "expression": "event.data.user == async.data.user && async.data.hard",
            "keys": [
                [
                    {
                        "event_path": "event.data.user",
                        "async_path": "async.data.user",
                        "value": None,
                    }
                ]
            ],
            "can_match": False,
            "until": None,
        },
        {
            "index": 2,
            "event": "maintenance/started",
            "expression": None,
            "keys": [],
            "can_match": True,
            "until": None,
        },
    ]


def test_a_run_keeps_its_version(api: Api, registry: Registry) -> None:
    """Whatever was applied since, and also if its function was deleted; an ended run is said so."""
    first = version_of(registry)
    (kept,) = registry.versions("reports-generate")
    changed = kept.compiled.function
    for version in (structs.replace(changed, cancel_on=()), structs.replace(changed, triggers=())):
        add_version(registry, version)
    know(api, registry)
    add_runs(api.service, run_row(AT, 7, function_version=first, status="failed", ended_at=AT))
    found = api.get(PATH)["data"]
    assert (found["ended"], found["function_version"], len(found["rules"])) == (True, first, 3)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_version_that_is_kept_no_more(api: Api, registry: Registry, *, fresh: bool) -> None:
    """Only who has read all functions may say so."""
    know(api, registry, fresh=fresh)
    add_runs(api.service, run_row(AT, 7, function_version=version_of(registry) + 1))
    answer = api.call("GET", PATH)
    expected = (404, "version_not_found") if fresh else (503, "kafka_unavailable")
    assert (answer.status_code, answer.json()["code"]) == expected


@pytest.mark.parametrize("at", [-(1 << 63), 0, (1 << 63) - 1])
def test_any_time_can_be_shown(api: Api, registry: Registry, at: int) -> None:
    """RFC 3339 ends with the year 9999."""
    know(api, registry)
    row = run_row(AT, 7, scheduled_at=at, function_version=version_of(registry))
    add_runs(api.service, row)
    found = api.get(PATH)["data"]
    assert len(found["expires_at"]) == len("2026-01-31T12:00:00.000Z")


def test_an_unknown_run(api: Api, registry: Registry) -> None:
    """Not found, as where it is shown."""
    know(api, registry)
    answer = api.call("GET", PATH)
    assert (answer.status_code, answer.json()["code"]) == (404, "run_not_found")
