"""`/v1/dead-letters` without Kafka: what is refused, and that nobody else waits."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streams.api.call.roles import Role
from streams.api.letter_model import cursor_of
from streams.settings import Settings
from tests.support.api import Api, open_api

PATH = "/v1/dead-letters"
REDRIVE = f"{PATH}/redrive"
CLASS = {"class": "no_json"}


def calls(api: Api) -> Iterator[Any]:
    """One call of each route."""
    yield api.call("GET", PATH)
    yield api.call("GET", f"{PATH}/classes")
    yield api.call("GET", f"{PATH}/0/0")
    yield api.post(REDRIVE, CLASS)
    yield api.post(REDRIVE, {"letters": ["0:0"]})


def test_kafka_does_not_answer(api: Api) -> None:
    """503 with what is wrong, when to try again, and where it is set where Kafka is."""
    for answer in calls(api):
        assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
        assert "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS" in answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) > 0


def test_a_refused_redrive_may_be_sent_again_with_its_key(api: Api) -> None:
    """Nothing was sent, so the key stands for nothing yet."""
    once = {"Idempotency-Key": "once"}
    answers = [api.post(REDRIVE, CLASS, headers=once) for _ in range(2)]
    assert [answer.json()["code"] for answer in answers] == ["kafka_unavailable"] * 2


def test_every_other_call_is_answered_beside_reads_from_kafka(settings: Settings) -> None:
    """More calls wait for Kafka than there are threads for all the others."""
    with open_api(settings, turn_within_s=3) as api, ThreadPoolExecutor(60) as callers:
        waiting = [callers.submit(api.call, "GET", PATH) for _ in range(60)]
        assert api.call("GET", "/healthz/live", role=None).status_code == 200
        assert api.call("GET", "/v1/audit", role=Role.OPERATOR).status_code == 403
        assert api.call("GET", "/v1/runs").status_code == 200
        assert api.call("GET", "/v1/audit").status_code == 200
    # 503 of those whose turn came says that Kafka is away, of the others that it didn't come.
    codes = {answer.result().json()["code"] for answer in waiting}
    assert codes <= {"kafka_unavailable", "searches_busy"}


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("?limit=0", "limit"),
        ("?class=a%00", "class"),
        ("?after=yesterday", "after"),
        ("?cursor=YzE6eA==", "cursor"),
        ("?kind=no_json", "kind"),
        ("?class_=no_json", "class_"),
        ("/classes?limit=1", "limit"),
        ("/x/0", "partition"),
        ("/-1/0", "partition"),
        (f"/{1 << 31}/0", "partition"),
        (f"/0/{1 << 63}", "offset"),
    ],
)
def test_wrong_parameters(api: Api, path: str, parameter: str) -> None:
    """Each is named, before Kafka is asked."""
    answer = api.call("GET", PATH + path)
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/class"]),
        ({"letters": []}, ["/letters"]),
        ({"letters": ["0:0"] * 21}, ["/letters"]),
        ({"letters": ["0-0"]}, ["/letters/0"]),
        ({"letters": ["0:0"], "class": "no_json"}, ["/class"]),
        (
            {"letters": ["0:0"], "topic": "t", "before": "2026-01-01T00:00:00Z"},
            ["/topic", "/before"],
        ),
        ({"letters": ["0:0"], "cursor": cursor_of({0: (0, 1)})}, ["/cursor"]),
        ({"class": "no_json", "cursor": "YzE6eA=="}, ["/cursor"]),
        ({"class": "no_json", "dryrun": True}, ["/dryrun"]),
    ],
)
def test_wrong_fields(api: Api, body: dict[str, Any], pointers: list[str]) -> None:
    """What is sent again is said in one way, and a misspelt field sends nothing."""
    answer = api.post(REDRIVE, body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers


def test_who_may_read_may_not_send(api: Api) -> None:
    """A redrive changes something, so it needs an operator."""
    assert api.post(REDRIVE, CLASS, role=Role.VIEWER).json()["code"] == "role_too_low"
    assert api.call("GET", PATH, role=Role.SENDER).json()["code"] == "role_too_low"
