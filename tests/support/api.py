"""The API in a thread of the test: its real server and database, called as clients do."""

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import orjson
from fastapi import FastAPI
from sqlalchemy import insert
from uvicorn.server import ServerState

from streams import dashboard
from streams.api.app import create_app
from streams.api.call.keys import create_key
from streams.api.call.roles import Role
from streams.api.call.service import BODY_WITHIN_S, DECIDED_WITHIN_S, KAFKA_WITHIN_S, Service
from streams.api.call.turns import WAIT_S, Turns
from streams.api.process import listening, open_service, server
from streams.api.protocol import USUAL, Doors, Patience
from streams.clock import now_ms
from streams.database.engine import writing
from streams.database.schema import PROGRESS, REQUESTS, RUNS
from streams.functions.definition import read_text
from streams.functions.registry import Registry
from streams.settings import Settings
from topology import codec, keys
from topology.records import Function

PATIENCE_S = 90
NOWHERE = "127.0.0.1:1"
FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.id}]
  - {id: sync, app: data, triggers: [{event: sync/requested}]}
"""


class Api:
    """A server, and callers with a key of each role."""

    def __init__(
        self, service: Service, app: FastAPI, address: tuple[str, int], state: ServerState
    ) -> None:
        self.service = service
        self.app = app
        self.address = address
        self.url = f"http://{address[0]}:{address[1]}"
        # The connections of its server, and the calls that are under way.
        self.state = state
        self.keys = {
            role: create_key(service.engine, f"a-{role}", role, now_ms(), actor=None)
            for role in Role
        }
        self._client = httpx.Client(base_url=self.url, timeout=PATIENCE_S)

    def close(self) -> None:
        """Call no more."""
        self._client.close()

    def headers(self, role: Role | None) -> dict[str, str]:
        """What a caller with this role sends."""
        return {} if role is None else {"Authorization": f"Bearer {self.keys[role][1]}"}

    def call(
        self,
        method: str,
        path: str,
        *,
        role: Role | None = Role.ADMIN,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Call as somebody with a role, or without a key."""
        sent = httpx.Headers({**self.headers(role), **(headers or {})}, encoding="latin-1")
        return self._client.request(method, path, headers=sent, **more)

    def get(self, path: str, **params: Any) -> Any:
        """The answer to a GET that goes well."""
        answer = self.call("GET", path, params=params or None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        """The answer to a POST."""
        return self.call("POST", path, json=body, **more)

    def know(self, functions: str = FUNCTIONS, *, fresh: bool = True) -> None:
        """Let the API know these functions, as if it had read them."""
        self.service.catalogue.show(registry_of(functions), lambda: fresh)

    def delete(self, functions: str, slug: str) -> None:
        """Let the API know these functions, of which one was deleted."""
        registry = registry_of(functions)
        newest = registry.newest(slug)
        assert newest is not None
        app, id_ = newest.identity
        add_version(registry, Function(app=app, id=id_))
        self.service.catalogue.show(registry, lambda: True)


@contextmanager
def open_api(  # noqa: PLR0913  # each is one independent property of a server
    settings: Settings,
    *,
    patience: Patience = USUAL,
    decided_within_s: float = DECIDED_WITHIN_S,
    body_within_s: float = BODY_WITHIN_S,
    kafka_within_s: float = KAFKA_WITHIN_S,
    knows_count: bool = True,
    turn_within_s: float = WAIT_S,
) -> Iterator[Api]:
    """The API with these settings, on a free port, served by a thread.

    It knows the topics' partition count, that of the settings, or must ask Kafka.
    """
    settings = settings.model_copy(update={"api_port": 0})
    partitions = settings.partitions if knows_count else None
    with (
        open_service(settings, partitions) as service,
        listening(settings.api_host, 0, "API") as listener,
    ):
        patient = dataclasses.replace(
            service,
            searches=Turns(wait_s=turn_within_s),
            kafka_reads=Turns(wait_s=turn_within_s),
            decided_within_s=decided_within_s,
            body_within_s=body_within_s,
            kafka_within_s=kafka_within_s,
        )
        app = create_app(patient)
        dashboard.install(app)
        uvicorn = server(app, Doors(settings.api_connections, service.metrics, patience))
        thread = threading.Thread(target=uvicorn.run, args=([listener],), name="api")
        thread.start()
        api = Api(service, app, listener.getsockname(), uvicorn.server_state)
        try:
            yield api
        finally:
            api.close()
            uvicorn.should_exit = True
            thread.join()


def registry_of(functions: str) -> Registry:
    """The functions of a text, valid since 1970."""
    registry = Registry()
    for function in read_text(functions):
        add_version(registry, function)
    return registry


def add_version(registry: Registry, function: Function) -> None:
    """Give a registry one more version, whatever it says."""
    position = registry.position
    key = f"{function.slug}/{position:026}".encode()
    registry.apply(position, 0, key, codec.encode_function(function))


def run_id(received_ms: int, number: int = 0) -> str:
    """The id of a run received then."""
    return keys.run_id_text(received_ms.to_bytes(6, "big") + number.to_bytes(10, "big"))


def run_row(received_ms: int, number: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of the table of runs."""
    event = {"name": "report/requested", "data": {"n": number}, "id": f"e{number}", "ts": 0}
    row = {
        "run_id": run_id(received_ms, number),
        "function_id": "reports-generate",
        "app_id": "reports",
        "function_version": 3,
        "status": "scheduled",
        "seq": 1,
        "attempt": 1,
        "scheduled_at": received_ms,
        "changed_at": received_ms,
        "event_id": f"e{number}",
        "event_name": "report/requested",
        "event": orjson.dumps(event).decode(),
        "source_topic": "events",
        "source_partition": 0,
        "source_offset": number,
    }
    return row | changes


def add_runs(service: Service, *rows: dict[str, Any]) -> None:
    """Put runs into the read model."""
    with writing(service.engine) as connection:
        for row in rows:
            connection.execute(insert(RUNS).values(row))


def add_cancellation(service: Service, id_: str, at: int, **body: Any) -> None:
    """Put a cancellation of reports-generate into the read model that is done in all partitions."""
    asked = {"app_id": "reports", "function_id": "generate", "started_before": at} | body
    row = {
        "request_id": id_,
        "type": "cancel_runs",
        "target": id_,
        "function_id": "reports-generate",
        "requested_by": "ann",
        "at": at,
        "received_at": at,
        "body": orjson.dumps(asked).decode(),
    }
    with writing(service.engine) as connection:
        connection.execute(insert(REQUESTS).values(row))
        connection.execute(insert(PROGRESS), done_rows(service, id_, at))


def done_rows(service: Service, request_id: str, at: int) -> list[dict[str, Any]]:
    """The rows of every partition's progress with a request that found nothing."""
    counts = ("scanned", "matched", "cancelled", "replayed", "already_ended", "failed")
    done = dict.fromkeys(counts, 0) | {"request_id": request_id, "state": "done", "sample": "[]"}
    partitions = range(service.settings.partitions)
    return [done | {"partition": number, "updated_at": at} for number in partitions]
