"""The API on a real broker: what it writes, when it answers, and what it does without Kafka."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import delete, insert, select, update

from streams.api.call.idempotency import LEASE_MS
from streams.api.call.roles import Role
from streams.broker import LocalBroker
from streams.clock import now_ms
from streams.database.engine import writing
from streams.database.schema import AUDIT, IDEMPOTENCY_KEYS, PROGRESS, REQUESTS
from streams.kafka.tail import read_all
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support.api import NOWHERE, Api, done_rows, open_api
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from topology import topics

pytestmark = [pytest.mark.broker]
SLUG = "acme-app-schedule-reminder"
DEFINITION = {
    "id": "schedule-reminder",
    "app": "acme-app",
    "triggers": [{"event": "reminder/requested"}],
    "cancelOn": [{"event": "reminder/cancelled", "match": "data.id"}],
}
# As Inngest documents it.
INNGEST = {
    "app_id": "acme-app",
    "function_id": "schedule-reminder",
    "started_after": "2024-01-21T18:23:12.000Z",
    "started_before": "2024-01-22T14:22:42.130Z",
    "if": "event.data.userId == 'user_o9235hf84hf'",
}
CANCELLATIONS = "/v1/cancellations"
REPLAYS = "/v1/replays"
KEY = {"Idempotency-Key": "once"}
AT = "2024-01-22T14:22:42.130Z"


def settings_of(bootstrap: str, folder: Path) -> Settings:
    """Settings of one test, with its topics made."""
    name = unique_name("api")
    settings = load(
        kafka_bootstrap_servers=bootstrap,
        topic_prefix=f"{name}.",
        application_id=name,
        partitions=2,
        state_dir=folder,
    )
    create_topics(settings)
    return settings


@pytest.fixture
def api(kafka: str, tmp_path: Path) -> Iterator[Api]:
    """The API with one function, that of Inngest's example."""
    with open_api(settings_of(kafka, tmp_path)) as found:
        eventually(lambda: found.service.catalogue.fresh)
        assert found.call("PUT", f"/v1/functions/{SLUG}", json=DEFINITION).status_code == 200
        yield found


def requests(api: Api) -> list[Any]:
    """The records of `requests`, with their keys."""
    settings = api.service.settings
    messages = read_all(settings, settings.topic(topics.REQUESTS))
    return [
        orjson.loads(one.value() or b"") | {"key": (one.key() or b"").decode()} for one in messages
    ]


def outcomes(api: Api) -> list[str]:
    """What the audit trail says became of calls, the oldest first."""
    with api.service.engine.connect() as connection:
        return list(connection.execute(select(AUDIT.c.outcome).order_by(AUDIT.c.id)).scalars())


def test_inngests_example(api: Api) -> None:
    """Their documented call works by changing host and key: 200, their fields, their envelope."""
    answer = api.post(CANCELLATIONS, INNGEST)
    assert answer.status_code == 200
    found = answer.json()
    assert INNGEST.items() <= found["data"].items()
    assert found["data"].keys() >= {
        "id", "created_at", "name", "environment_id", "function_internal_id",
    }  # fmt: skip
    assert found["metadata"]["fetched_at"].endswith("Z")
    (listed,) = api.get(CANCELLATIONS)["data"]
    assert listed == found["data"]
    gone = api.call("DELETE", f"{CANCELLATIONS}/{listed['id']}")
    assert (gone.status_code, gone.json()["data"]) == (200, {"ok": True})


def test_what_is_written_is_what_was_asked(api: Api) -> None:
    """One record per call, under the key of what it addresses, with who and why."""
    id_ = api.post(CANCELLATIONS, INNGEST | {"reason": "why", "expected": 120}).json()["data"]["id"]
    api.call("DELETE", f"{CANCELLATIONS}/{id_}?reason=enough")
    api.post(f"/v1/functions/{SLUG}/pause", {"running": "never", "reason": "calm"})
    api.call("POST", f"/v1/functions/{SLUG}/resume")
    body = {"function_id": SLUG, "from": INNGEST["started_after"], "to": INNGEST["started_before"],
        "statuses": ["failed", "failed"], "spread": "10m"}  # fmt: skip
    replay = api.post("/v1/replays", body).json()["data"]
    found = {one["type"]: one for one in requests(api)}
    assert len(requests(api)) == 5
    cancel = found["cancel_runs"]
    assert (cancel["request_id"], cancel["key"]) == (id_, id_)
    assert (cancel["requested_by"], cancel["reason"]) == ("a-admin", "why")
    assert cancel["body"] == INNGEST | {
        "started_after": 1705861392000,
        "started_before": 1705933362130,
        "name": None,
        "dry_run": False,
        "expected": 120,
    }
    stop = found["stop_cancellation"]
    assert (stop["key"], stop["body"]) == (id_, {"cancellation_id": id_})
    assert stop["request_id"] != id_
    assert (found["pause"]["key"], found["resume"]["key"]) == (SLUG, SLUG)
    assert found["pause"]["body"]["running"] == "never"
    assert found["replay"]["key"] == replay["id"]
    assert found["replay"]["body"]["statuses"] == ["failed"]
    assert found["replay"]["body"]["spread"] == 600_000
    assert replay["spread"] == "10m"


def test_what_was_written_can_be_read(api: Api) -> None:
    """At once, though no read model runs: its row is there before the answer is."""
    id_ = api.post(CANCELLATIONS, INNGEST).json()["data"]["id"]
    assert api.get(f"{CANCELLATIONS}/{id_}")["data"]["status"] == "queued"
    (record,) = requests(api)
    with api.service.engine.connect() as connection:
        (row,) = connection.execute(select(REQUESTS)).mappings()
    assert (row["request_id"], row["target"], row["function_id"]) == (id_, id_, SLUG)
    assert orjson.loads(row["body"]) == record["body"]
    api.post(f"/v1/functions/{SLUG}/pause", {})
    found = api.get(f"/v1/functions/{SLUG}")["data"]
    assert (found["paused"], found["pause"]["after"]) == (True, "7d")
    assert [one["paused"] for one in api.get("/v1/functions")["data"]] == [True]
    api.call("POST", f"/v1/functions/{SLUG}/resume")
    assert api.get(f"/v1/functions/{SLUG}")["data"]["pause"] is None


def test_a_definition_lives(api: Api) -> None:
    """Unchanged, changed, shown with its versions, deleted; its slug is nobody else's."""
    path = f"/v1/functions/{SLUG}"
    again = api.call("PUT", path, json=DEFINITION).json()["data"]
    assert (again["change"], again["fields"]) == ("unchanged", [])
    changed = DEFINITION | {"timeouts": {"start": "10m"}}
    plan = api.call("PUT", f"{path}?dry_run=true", json=changed).json()["data"]
    assert (plan["change"], plan["applied"]) == ("changed", False)
    assert plan["fields"] == [{"field": "timeouts.start", "before": None, "after": "10m"}]
    assert len(api.get(path)["data"]["versions"]) == 1
    api.call("PUT", path, json=changed)
    eventually(lambda: len(api.get(path)["data"]["versions"]) == 2)
    taken = DEFINITION | {"app": "acme", "id": "app-schedule-reminder"}
    answer = api.call("PUT", path, json=taken)
    assert (answer.status_code, answer.json()["code"]) == (409, "slug_taken")
    assert api.call("DELETE", path).json()["data"] == {"ok": True}
    eventually(lambda: api.call("GET", path).status_code == 404)
    assert api.call("DELETE", path).status_code == 404
    assert api.post(f"{path}/pause", {}).status_code == 404
    assert api.post(CANCELLATIONS, INNGEST).status_code == 200, "its runs stay cancellable"
    other = INNGEST | {"app_id": "acme", "function_id": "app-schedule-reminder"}
    assert api.post(CANCELLATIONS, other).status_code == 404, "the slug alone is no name"
    assert api.get(path, deleted=True)["data"]["app_id"] == "acme-app"
    assert api.call("POST", f"{path}/resume").status_code == 200


def test_events_lie_in_order(api: Api) -> None:
    """All of a call in one partition, in the order of its list, with the ids that it answered."""
    names = [f"n{number}" for number in range(20)]
    sent = api.post("/v1/events", [{"name": name} for name in names]).json()["data"]
    single = {"name": "single", "id": "mine"}
    one = api.post("/v1/events", single, role=Role.SENDER).json()["data"]
    assert one["ids"] == ["mine"]
    settings = api.service.settings
    messages = list(read_all(settings, settings.topic(topics.EVENTS)))
    found = [(message, orjson.loads(message.value() or b"")) for message in messages]
    mine = [(message, event) for message, event in found if event["name"] != "single"]
    assert [event["name"] for _, event in mine] == names
    assert [event["id"] for _, event in mine] == sent["ids"]
    assert len({message.partition() for message, _ in mine}) == 1


def test_the_same_call_again_is_done_once(api: Api) -> None:
    """The answer is the same to the byte, and there is one record and one row in the trail."""
    first = api.post(CANCELLATIONS, INNGEST, headers=KEY)
    second = api.post(CANCELLATIONS, INNGEST, headers=KEY)
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    other = api.post(CANCELLATIONS, INNGEST | {"if": None}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(requests(api)) == 1
    assert outcomes(api) == ["done", "done", "idempotency_key_reused"]  # the first is the PUT


def test_many_at_the_same_time_are_done_once(api: Api) -> None:
    """Whoever isn't first is told to come again, or gets the first one's answer."""
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(api.post, CANCELLATIONS, INNGEST, headers=KEY) for _ in range(64)]
    answers = [call.result() for call in calls]
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    busy = [answer for answer in answers if answer.status_code == 409]
    assert {answer.json()["code"] for answer in busy} <= {"idempotency_key_in_use"}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in busy)
    assert len(requests(api)) == 1


def test_a_crash_between_record_and_answer(api: Api) -> None:
    """Who died there left a record; the call that comes again writes the same id once more."""
    id_ = api.post(CANCELLATIONS, INNGEST, headers=KEY).json()["data"]["id"]
    with writing(api.service.engine) as connection:  # as it was when the record was acknowledged
        undone = {"status": None, "answer": None, "created_at": now_ms() - LEASE_MS}
        connection.execute(update(IDEMPOTENCY_KEYS).values(undone))
        connection.execute(delete(REQUESTS))
    again = api.post(CANCELLATIONS, INNGEST, headers=KEY)
    assert again.json()["data"]["id"] == id_
    assert [one["request_id"] for one in requests(api)] == [id_, id_]
    assert api.get(f"{CANCELLATIONS}/{id_}")["data"]["id"] == id_


@pytest.fixture
def other(api: Api) -> Iterator[Api]:
    """Another API of the same deployment, with keys of other people."""
    with open_api(api.service.settings) as found:
        eventually(lambda: found.service.catalogue.fresh)
        yield found


def cancelled(api: Api) -> dict[str, str]:
    """What to post to undo a cancellation that is done in every partition."""
    id_ = api.post(CANCELLATIONS, INNGEST).json()["data"]["id"]
    with writing(api.service.engine) as connection:
        connection.execute(insert(PROGRESS), done_rows(api.service, id_, now_ms()))
    return {"cancellation_id": id_}


def replays(api: Api) -> list[str]:
    """The ids of the replays that were asked for, but for dry runs."""
    asked = [one for one in requests(api) if one["type"] == "replay"]
    return [one["request_id"] for one in asked if not one["body"]["dry_run"]]


def test_a_cancellation_is_undone_once(api: Api, other: Api) -> None:
    """By whoever is first; all others learn which replay it was, whatever the read model has."""
    body = cancelled(api)
    dry_run = body | {"dry_run": True}
    assert api.post(REPLAYS, dry_run).status_code == 200
    first = api.post(REPLAYS, body, role=Role.OPERATOR, headers=KEY)
    id_ = first.json()["data"]["id"]
    assert (first.status_code, id_[:10]) == (200, body["cancellation_id"][:10])
    assert replays(api) == [id_]
    for without_row in (False, True):
        if without_row:
            with writing(api.service.engine) as connection:
                connection.execute(delete(REQUESTS).where(REQUESTS.c.request_id == id_))
        for asked in (api, other):
            second = asked.post(REPLAYS, body)
            found = (second.status_code, second.json()["code"], second.json()["replay_id"])
            assert found == (409, "already_replayed", id_)
            shown = asked.get(f"{CANCELLATIONS}/{body['cancellation_id']}")["data"]
            assert shown["replay_id"] == id_
    again = api.post(REPLAYS, body, role=Role.OPERATOR, headers=KEY)
    assert (again.status_code, again.content) == (200, first.content)
    assert api.post(REPLAYS, dry_run).status_code == 200
    assert replays(api) == [id_]


def test_undos_at_the_same_time_are_one(api: Api, other: Api) -> None:
    """On two processes: exactly one call is answered 200."""
    body = cancelled(api)
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit((api, other)[n % 2].post, REPLAYS, body) for n in range(32)]
    answers = [call.result() for call in calls]
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 31}
    named = {answer.json()["replay_id"] for answer in answers if answer.status_code == 409}
    assert [named] == [{id_} for id_ in replays(api)]


def test_a_cancel_without_a_joiner_is_undecided(api: Api) -> None:
    """202: the record is there, and whoever wants to know looks at the run again."""
    id_ = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
    answer = api.call("DELETE", f"/v1/runs/{id_}?reason=why")
    assert answer.status_code == 202
    (record,) = requests(api)
    assert (record["key"], record["body"], record["reason"]) == (id_, {"run_id": id_}, "why")
    found = answer.json()["data"]
    assert found == {"run_id": id_, "request_id": record["request_id"], "outcome": None}
    assert outcomes(api)[-1] == "undecided"


def test_the_partition_count_comes_from_kafka(kafka: str, tmp_path: Path) -> None:
    """An API that was started while Kafka was away asks when it needs the count."""
    settings = settings_of(kafka, tmp_path).model_copy(update={"partitions": 7})
    with open_api(settings, knows_count=False) as api:
        eventually(lambda: api.service.catalogue.fresh)
        assert api.call("PUT", f"/v1/functions/{SLUG}", json=DEFINITION).status_code == 200
        made = api.post(CANCELLATIONS, INNGEST).json()["data"]
        assert made["counts"]["partitions"] == 2
        assert api.get(f"{CANCELLATIONS}/{made['id']}")["data"]["counts"]["partitions"] == 2


@pytest.mark.slow
def test_without_the_partition_count_nobody_says_how_far_a_request_is(tmp_path: Path) -> None:
    """503 until Kafka has told it; a request that was written is answered, so it is asked first."""
    with open_api(
        load(kafka_bootstrap_servers=NOWHERE, state_dir=tmp_path), knows_count=False
    ) as api:
        api.know()
        body = {"app_id": "reports", "function_id": "generate", "started_before": AT}
        for answer in (api.call("GET", CANCELLATIONS), api.post(CANCELLATIONS, body)):
            assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        assert api.get("/v1/runs")["data"] == []


@pytest.mark.slow
@pytest.mark.parametrize("way", ["stopped", "gone"])
def test_without_kafka_nothing_is_promised(tmp_path: Path, way: str, prepared_cache: None) -> None:
    """503 with Retry-After, never a false 200; with the same key it is one request afterwards."""
    with (
        LocalBroker(tmp_path / "kafka") as broker,
        open_api(settings_of(broker.bootstrap_servers, tmp_path)) as api,
    ):
        eventually(lambda: api.service.catalogue.fresh)
        assert api.call("PUT", f"/v1/functions/{SLUG}", json=DEFINITION).status_code == 200
        before = api.post(CANCELLATIONS, INNGEST).json()["data"]["id"]
        if way == "stopped":
            os.kill(broker.pid, signal.SIGSTOP)
        else:
            broker.kill()
        unsure = api.post(CANCELLATIONS, INNGEST, headers=KEY)
        plain = api.post("/v1/events", {"name": "n"})
        for answer in (unsure, plain):
            assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        assert "Idempotency-Key" in unsure.json()["detail"]
        assert outcomes(api)[-2:] == ["kafka_unavailable", "kafka_unavailable"]
        assert api.get(f"/v1/functions/{SLUG}")["data"]["function_id"] == SLUG
        assert api.call("GET", "/healthz/ready", role=None).status_code == 503
        if way == "stopped":
            os.kill(broker.pid, signal.SIGCONT)
        else:
            broker.start()
        eventually(lambda: api.call("GET", "/healthz/ready", role=None).status_code == 200)
        again = api.post(CANCELLATIONS, INNGEST, headers=KEY)
        assert again.status_code == 200, again.text
        ids = Counter(one["request_id"] for one in requests(api))
        assert ids.pop(before) == 1
        assert set(ids) == {again.json()["data"]["id"]}
        assert way == "stopped" or ids.total() == 1
