"""What became of a cancellation's runs that are started again, without a broker."""

import pytest
from sqlalchemy import insert

from streams.api.call.roles import Role
from streams.api.undos import undo_id
from streams.clock import now_ms
from streams.database.engine import writing
from streams.database.schema import UNDOS
from tests.support.api import Api, add_cancellation

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
