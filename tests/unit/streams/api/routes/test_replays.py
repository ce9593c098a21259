"""What became of a cancellation's runs that are started again, without a broker."""

import pytest
from sqlalchemy import insert

from streams.api.call.roles import Role
from streams.api.undos import undo_id
from streams.clock import now_ms
from streams.database.engine import writing
from streams.database.schema import UNDOS
from tests.support.api import Api, add_cancellation, add_runs, run_id, run_row

ID = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
AT = 1_700_000_000_000
PATH = "/v1/replays"


def test_a_second_undo_names_the_first(api: Api) -> None:
    """In words and as a member, so that a page can link it; and the trail has both."""
    api.know()
    add_cancellation(api.service, ID, AT)
    assert api.get(f"/v1/cancellations/{ID}")["data"]["replay_id"] is None
    with writing(api.service.engine) as connection:
        row = {"replay_id": undo_id(ID), "owner": "", "since": now_ms(), "done": True}
        connection.execute(insert(UNDOS).values(row))
    answer = api.post(PATH, {"cancellation_id": ID.lower()}, role=Role.OPERATOR)
    found = answer.json()
    assert (answer.status_code, found["code"]) == (409, "already_replayed")
    assert found["replay_id"] == undo_id(ID)
    assert found["replay_id"] in found["detail"]
    assert api.get(f"/v1/cancellations/{ID}")["data"]["replay_id"] == undo_id(ID)
    assert [one["replay_id"] for one in api.get("/v1/cancellations")["data"]] == [undo_id(ID)]
    (entry,) = api.get("/v1/audit")["data"]
    assert (entry["action"], entry["target"]) == ("createReplay", ID)
    assert entry["outcome"] == "already_replayed"


@pytest.mark.slow
def test_an_undo_that_kafka_did_not_acknowledge_is_left_to_anybody(api: Api) -> None:
    """The next one is not told that it was done, and may write it."""
    api.know()
    add_cancellation(api.service, ID, AT)
    for role in (Role.OPERATOR, Role.ADMIN):
        answer = api.post(PATH, {"cancellation_id": ID}, role=role)
        assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
    assert api.get(f"/v1/cancellations/{ID}")["data"]["replay_id"] is None


@pytest.mark.parametrize(
    ("status", "code"), [("completed", "run_not_replayable"), ("scheduled", "run_not_replayable")]
)
def test_a_run_that_is_not_started_again(api: Api, status: str, code: str) -> None:
    """Neither what has gone well nor what goes on is."""
    api.know()
    add_runs(api.service, run_row(AT, status=status))
    answer = api.post(PATH, {"run_id": run_id(AT)})
    assert (answer.status_code, answer.json()["code"]) == (409, code)


def test_a_run_that_is_not_there(api: Api) -> None:
    """There is nothing to start again."""
    answer = api.post(PATH, {"run_id": run_id(AT)})
    assert (answer.status_code, answer.json()["code"]) == (404, "run_not_found")


@pytest.mark.parametrize(
    ("beside", "field"),
    [
        ({"cancellation_id": ID}, "/run_id"),
        ({"statuses": ["failed"]}, "/statuses"),
        ({"to": "2024-01-01T00:00:00Z"}, "/to"),
    ],
)
def test_one_way_of_several(api: Api, beside: dict[str, object], field: str) -> None:
    """A run stands alone: beside it is neither a cancellation nor a range."""
    answer = api.post(PATH, {"run_id": run_id(AT), **beside})
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == [field]


def test_no_way_at_all(api: Api) -> None:
    """What is missing is a range, or what may stand in its place."""
    answer = api.post(PATH, {})
    assert answer.status_code == 422
    pointers = {one["pointer"] for one in answer.json()["errors"]}
    assert pointers == {"/function_id", "/to", "/from", "/statuses"}
