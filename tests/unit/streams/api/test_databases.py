"""The API on SQLite and on PostgreSQL, and on one that goes away."""

from pathlib import Path

import pytest
from sqlalchemy import select

from streams.api.call import audit_rows
from streams.api.call.call import Call
from streams.api.call.request_writer import request_record
from streams.api.call.roles import Role
from streams.database.engine import add_missing, writing
from streams.database.schema import REQUESTS
from streams.read_model.rows import request_row
from streams.settings import load
from tests.support.api import Api, add_runs, open_api, run_id, run_row
from tests.support.postgres import PostgresServer
from topology.requests import CancelRunsBody

pytest_plugins = ["tests.support.postgres"]
AT = 1_700_000_000_000
ID = run_id(AT, 1)


def call_of(api: Api, http_id: str = ID) -> Call:
    """A call that writes."""
    return Call(api.keys[Role.OPERATOR][0], "createCancellation", http_id, ID, AT)


def test_both_databases(clean_environment: None, tmp_path: Path, database_url: str) -> None:
    """Runs, requests with their rows, the trail: what is written is what is read."""
    settings = load(
        kafka_bootstrap_servers="127.0.0.1:1", state_dir=tmp_path, database_url=database_url
    )
    with open_api(settings) as api:
        add_runs(api.service, run_row(AT, 1, event='{"text": "\\u0000"}'), run_row(AT, 2))
        assert len(api.get("/v1/runs", limit=1)["data"]) == 1
        assert api.get(f"/v1/runs/{ID}")["data"]["event"] == {"text": "\0"}
        call = call_of(api)
        body = CancelRunsBody(app_id="a", function_id="b", started_before=AT)
        value = request_record(call, body)
        row = dict(zip(REQUESTS.c.keys(), request_row(ID.encode(), value, AT), strict=True))
        with writing(api.service.engine) as connection:
            audit_rows.open_row(connection, call)
            add_missing(connection, REQUESTS, [row])
            add_missing(connection, REQUESTS, [row | {"requested_by": "somebody else"}])
            audit_rows.close_row(connection, call, audit_rows.DONE)
            audit_rows.close_row(connection, call_of(api, run_id(AT, 2)), "a" * 40)
        with api.service.engine.connect() as connection:
            (stored,) = connection.execute(select(REQUESTS)).mappings()
        assert dict(stored) == row
        assert api.get(f"/v1/cancellations/{ID}")["data"]["requested_by"] == "a-operator"
        assert [one["outcome"] for one in api.get("/v1/audit")["data"]] == ["a" * 32, "done"]


@pytest.mark.slow
def test_a_database_that_goes_away(clean_environment: None, tmp_path: Path) -> None:
    """503 while it is away, for reads and writes; when it is back, all is as it was."""
    server = PostgresServer()
    try:
        server.start()
        settings = load(
            kafka_bootstrap_servers="127.0.0.1:1",
            state_dir=tmp_path,
            database_url=server.new_database(),
        )
        with open_api(settings) as api:
            assert api.call("GET", "/v1/runs").status_code == 200
            server.stop()
            for method, path in (("GET", "/v1/runs"), ("DELETE", f"/v1/cancellations/{ID}")):
                answer = api.call(method, path)
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert api.call("GET", "/healthz/ready", role=None).json()["checks"]["database"] != "ok"
            server.start()
            assert api.call("GET", "/v1/runs").status_code == 200
    finally:
        server.remove()
