"""The API with every process behind it: what clients see of runs cancelled and replayed."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from streams.api.call.keys import create_key
from streams.api.call.roles import Role
from streams.api.fields import time_text
from streams.clock import now_ms
from streams.database.engine import open_database
from streams.kafka.producers import Sender
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.services import API, JOINER, READ_MODEL, ROUTER, Service
from topology import topics

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
PATIENCE_S = 90
UNKNOWN = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
APP = "acme-app"


class Deployment:
    """Router, joiner, read model and API as processes, and a client with a key."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        name = unique_name("rest")
        url = f"sqlite:///{folder}/rest.db"
        self.settings: Settings = load(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=f"{name}.",
            application_id=name,
            partitions=2,
            database_url=url,
        )
        create_topics(self.settings)
        engine = open_database(self.settings)
        _, self.key = create_key(engine, "ann", Role.ADMIN, now_ms(), actor=None)
        engine.dispose()
        self.services = [
            Service(role, self.settings, folder, extra={"DATABASE_URL": url})
            for role in (JOINER, ROUTER, READ_MODEL, API)
        ]
        self.url = self.services[-1].url
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=PATIENCE_S
        )

    def start(self) -> None:
        """Start everything, and wait until all of it is at work."""
        for service in self.services:
            service.start()
        eventually(lambda: all(service.is_ready for service in self.services), PATIENCE_S)

    def close(self) -> None:
        """End everything."""
        self.client.close()
        for service in reversed(self.services):
            service.end()

    def call(self, method: str, path: str, **more: Any) -> Any:
        """The data of a call that goes well."""
        answer = self.client.request(method, path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def function(self, name: str) -> str:
        """Apply a function that the event of its name triggers; its slug."""
        slug = f"{APP}-{name}"
        body = {"app": APP, "id": name, "triggers": [{"event": name}]}
        self.call("PUT", f"/v1/functions/{slug}", json=body)
        return slug

    def runs(self, name: str, datas: list[dict[str, Any]]) -> list[str]:
        """Start a run for each of these data; their ids, the newest first."""
        self.call("POST", "/v1/events", json=[{"name": name, "data": data} for data in datas])
        query = {"function_id": f"{APP}-{name}", "limit": "100"}
        return [run["run_id"] for run in self.listed("/v1/runs", len(datas), **query)]

    def runs_so_far(self, name: str, count: int) -> None:
        """Start one run more, which makes so many; received later than those before."""
        self.call("POST", "/v1/events", json={"name": name})
        self.listed("/v1/runs", count, function_id=f"{APP}-{name}")

    def all_runs(self, name: str) -> list[Any]:
        """All runs of a function, the newest first."""
        found: list[Any] = self.call("GET", "/v1/runs", params={"function_id": f"{APP}-{name}"})
        return found

    @contextmanager
    def frozen_router(self) -> Iterator[None]:
        """Nothing that is written in here is read until the end."""
        router = self.services[1]
        router.pause()
        yield
        router.resume()

    def listed(self, path: str, count: int, **query: str) -> list[Any]:
        """A list, once it has so many."""

        def look() -> list[Any]:
            found: list[Any] = self.call("GET", path, params=query)
            return found if len(found) == count else []

        return eventually(look, PATIENCE_S)

    def done(self, path: str) -> Any:
        """A cancellation or replay, once nothing of it can change any more."""

        def look() -> Any:
            found = self.call("GET", path)
            return found if found["status"] in {"done", "stopped"} else None

        return eventually(look, PATIENCE_S)

    def cancel(self, run_id: str, reason: str = "") -> Any:
        """Cancel a run, and wait for the decision where the call didn't."""
        answer = self.client.delete(f"/v1/runs/{run_id}", params={"reason": reason or None})
        assert answer.status_code in {200, 202}, answer.text

        def look() -> Any:
            found = self.call("GET", f"/v1/runs/{run_id}")
            return found if found["status"] == "Cancelled" else None

        return answer.json()["data"] if answer.status_code == 200 else eventually(look, PATIENCE_S)

    def refusal(self, run_id: str) -> tuple[int, str]:
        """How a cancel of a run is refused: asked again until the answer is a decision."""

        def look() -> httpx.Response | None:
            answer = self.client.delete(f"/v1/runs/{run_id}")
            return answer if answer.status_code != 202 else None

        answer = eventually(look, PATIENCE_S)
        assert answer is not None
        return answer.status_code, answer.json()["code"]

    def report(self, run_id: str, status: str, attempt: int = 1) -> None:
        """Tell of a run what a worker tells."""
        update = {"run_id": run_id, "status": status, "attempt": attempt, "worker": "w"}
        with Sender(self.settings) as sender:
            topic = self.settings.topic(topics.RUN_UPDATES)
            sender.send(topic, orjson.dumps(update), key=run_id.encode())


@pytest.fixture(scope="module")
def deployment(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for all tests; each has functions of its own."""
    found = Deployment(kafka, tmp_path_factory.mktemp("rest"))
    try:
        found.start()
        yield found
    finally:
        found.close()


def has_one_member(group: Any) -> bool:
    """Whether a group's one member has all of its partitions; a ready router may join later."""
    owners = {one["member"] for one in group["partitions"]}
    found = [(one["id"], one["partitions"]) for one in group["members"]]
    shared = [(owner, len(group["partitions"])) for owner in owners]
    return bool(group["state"] == "stable" and found == shared)


def test_the_system_tells_of_each_process(deployment: Deployment) -> None:
    """Each group's member, who has all of its partitions, and how far it is."""

    def groups() -> Any:
        found = deployment.call("GET", "/v1/system")
        told = {group["kind"]: group for group in found["groups"]}
        is_told = not found["failed"] and all(map(has_one_member, told.values()))
        return told if is_told and is_read(told) else None

    def is_read(told: Any) -> bool:
        commands = [one["position"] for one in told["joiner"]["partitions"]]
        return all(commands) and told["read_model"]["lag"] == 0

    found = eventually(groups, PATIENCE_S)
    names = {kind: {one["topic"] for one in found[kind]["partitions"]} for kind in found}
    topic = deployment.settings.topic
    assert names["joiner"] == {topic(topics.COMMANDS)}
    assert names["read_model"] == {
        topic(spec) for spec in (topics.RUNS, topics.REQUESTS, topics.REQUEST_PROGRESS)
    }
    assert names["router"] == set(deployment.settings.routed_topics)


def cancellation(function: str, **more: Any) -> dict[str, Any]:
    """The body of a cancellation up to now."""
    return {"app_id": APP, "function_id": function, "started_before": time_text(now_ms())} | more


def test_one_run_is_cancelled_once(deployment: Deployment) -> None:
    """200 with the run and why; then it is ended, which is 409; an unknown one is 404."""
    deployment.function("single")
    running, scheduled = deployment.runs("single", [{}, {}])
    deployment.report(running, "running")
    deployment.report(running, "completed")
    path = f"/v1/runs/{running}"
    eventually(lambda: deployment.call("GET", path)["status"] == "Completed", PATIENCE_S)
    run = deployment.cancel(scheduled, "a typo")
    assert (run["run_id"], run["status"]) == (scheduled, "Cancelled")
    assert run["ended_at"] is not None
    assert run["cause"]["type"] == "api"
    assert (run["cause"]["requested_by"], run["cause"]["reason"]) == ("ann", "a typo")
    for run_id, status, code in (
        (scheduled, 409, "run_already_cancelled"),
        (running, 409, "run_already_ended"),
        (UNKNOWN, 404, "run_not_found"),
    ):
        assert deployment.refusal(run_id) == (status, code)


def test_a_cancellation_by_curl(deployment: Deployment) -> None:
    """Inngest's documented call, with other host, key and values, cancels what it says."""
    deployment.function("schedule-reminder")
    deployment.runs("schedule-reminder", [{"userId": "u1"}, {"userId": "u2"}, {"userId": "u1"}])
    body = cancellation("schedule-reminder", **{"if": "event.data.userId == 'u1'"})
    command = [
        *("curl", "--silent", "--fail", "--request", "POST", f"{deployment.url}/v1/cancellations"),
        *("--header", f"Authorization: Bearer {deployment.key}"),
        *("--header", "Content-Type: application/json", "--data", orjson.dumps(body).decode()),
    ]
    answer = subprocess.run(command, capture_output=True, check=True)
    id_ = orjson.loads(answer.stdout)["data"]["id"]
    found = deployment.done(f"/v1/cancellations/{id_}")
    assert found["counts"].items() >= {"scanned": 3, "matched": 2, "cancelled": 2}.items()
    listed = deployment.listed(f"/v1/cancellations/{id_}/runs", 2)
    assert {run["event"]["data"]["userId"] for run in listed} == {"u1"}
    assert {run["cause"]["cancellation_id"] for run in listed} == {id_}


def test_s18_s20_only_what_lies_strictly_between_the_bounds(deployment: Deployment) -> None:
    """Runs received at the bounds, before, after and of other functions go on."""
    other = deployment.function("between-other")
    deployment.runs("between-other", [{}])
    deployment.function("between")
    for number in range(4):
        deployment.runs_so_far("between", number + 1)
    times = [run["run_started_at"] for run in deployment.all_runs("between")]
    body = cancellation("between", started_after=times[-1], started_before=times[0])
    id_ = deployment.call("POST", "/v1/cancellations", json=body)["id"]
    found = deployment.done(f"/v1/cancellations/{id_}")
    assert found["counts"].items() >= {"scanned": 2, "cancelled": 2}.items()
    deployment.listed(f"/v1/cancellations/{id_}/runs", 2)
    statuses = [run["status"] for run in deployment.all_runs("between")]
    assert statuses == ["Scheduled", "Cancelled", "Cancelled", "Scheduled"]
    query = {"function_id": other, "status": "Scheduled"}
    assert len(deployment.call("GET", "/v1/runs", params=query)) == 1


def test_s19_what_is_registered_after_the_answer_is_cancelled_too(deployment: Deployment) -> None:
    """No router has read the events when the call answers."""
    deployment.function("late")
    deployment.runs("late", [{"n": 0}])
    with deployment.frozen_router():
        deployment.call("POST", "/v1/events", json=[{"name": "late"}] * 20)
        body = cancellation("late") | {"started_before": time_text(now_ms() + 1_000)}
        id_ = deployment.call("POST", "/v1/cancellations", json=body)["id"]
    found = deployment.done(f"/v1/cancellations/{id_}")
    assert found["counts"].items() >= {"scanned": 21, "cancelled": 21}.items()


def test_s22_a_stop_never_overtakes_its_start(deployment: Deployment) -> None:
    """Both lie in Kafka before anybody reads them: what isn't cancelled yet never is."""
    slug = deployment.function("stopped")
    deployment.runs("stopped", [{}, {}])
    with deployment.frozen_router():
        id_ = deployment.call("POST", "/v1/cancellations", json=cancellation("stopped"))["id"]
        assert deployment.call("DELETE", f"/v1/cancellations/{id_}") == {"ok": True}
    found = deployment.done(f"/v1/cancellations/{id_}")
    assert found["status"] == "stopped"
    deployment.runs_so_far("stopped", 3)
    left = 3 - found["counts"]["cancelled"]
    deployment.listed("/v1/runs", left, function_id=slug, status="Scheduled")


def test_s28_later_is_later_and_a_resume_undoes_it(deployment: Deployment) -> None:
    """One function is resumed before its unfinished runs are cancelled, the other is not."""
    slugs = [deployment.function(name) for name in ("later-undone", "later-done")]
    for name in ("later-undone", "later-done"):
        deployment.runs(name, [{}])
    for slug, after in zip(slugs, ("1h", "1s"), strict=True):
        body = {"running": "later", "after": after}
        deployment.call("POST", f"/v1/functions/{slug}/pause", json=body)
    deployment.call("POST", f"/v1/functions/{slugs[0]}/resume")
    deployment.listed("/v1/runs", 1, function_id=slugs[1], status="Cancelled")
    [run] = deployment.call("GET", "/v1/runs", params={"function_id": slugs[1]})
    assert run["cause"]["type"] == "pause"
    [kept] = deployment.call("GET", "/v1/runs", params={"function_id": slugs[0]})
    assert kept["status"] == "Scheduled"


def test_s29_a_range_is_replayed_by_status(deployment: Deployment) -> None:
    """Of a function's runs in a range those that were cancelled or failed, spread over a time."""
    slug = deployment.function("again")
    failed, completed, cancelled = deployment.runs("again", [{}, {}, {}])
    for run_id, status in ((failed, "failed"), (completed, "completed")):
        deployment.report(run_id, "running")
        deployment.report(run_id, status)
    deployment.cancel(cancelled)
    deployment.listed("/v1/runs", 1, function_id=slug, status="Failed")
    deployment.listed("/v1/runs", 1, function_id=slug, status="Completed")
    body: dict[str, Any] = {"function_id": slug, "from": time_text(1), "to": time_text(now_ms())}
    body |= {"statuses": ["cancelled", "failed"], "spread": "1h"}
    id_ = deployment.call("POST", "/v1/replays", json=body)["id"]
    assert deployment.done(f"/v1/replays/{id_}")["counts"]["replayed"] == 2
    runs = deployment.listed("/v1/runs", 2, replay_id=id_)
    assert {run["replay_of"] for run in runs} == {failed, cancelled}


def test_a_dry_run_counts_what_the_real_one_cancels(deployment: Deployment) -> None:
    """With the same bounds: the same counts, a sample, and nothing changed."""
    slug = deployment.function("dry")
    deployment.runs("dry", [{"n": number} for number in range(30)])
    body = cancellation("dry", **{"if": "event.data.n % 3 == 0"})
    asked = deployment.call("POST", "/v1/cancellations", json=body | {"dry_run": True})
    dry = deployment.done(f"/v1/cancellations/{asked['id']}")
    assert (dry["counts"]["matched"], dry["counts"]["cancelled"]) == (10, 0)
    assert len(dry["sample"]) == 10
    query = {"function_id": slug, "status": "cancelled"}
    assert deployment.call("GET", "/v1/runs", params=query) == []
    asked = deployment.call("POST", "/v1/cancellations", json=body)
    real = deployment.done(f"/v1/cancellations/{asked['id']}")
    assert (real["counts"]["matched"], real["counts"]["cancelled"]) == (10, 10)
    refused = deployment.client.post("/v1/replays", json={"cancellation_id": dry["id"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "cancellation_dry_run")


def test_exactly_what_was_cancelled_is_replayed(deployment: Deployment) -> None:
    """The count is known before; each comes back once, as a fresh run of the same event."""
    slug = deployment.function("undo")
    deployment.runs("undo", [{"n": number} for number in range(12)])
    body = cancellation("undo", **{"if": "event.data.n < 5"})
    id_ = deployment.call("POST", "/v1/cancellations", json=body)["id"]
    deployment.done(f"/v1/cancellations/{id_}")
    asked = {"cancellation_id": id_}
    dry = deployment.call("POST", "/v1/replays", json=asked | {"dry_run": True})["id"]
    assert deployment.done(f"/v1/replays/{dry}")["counts"]["matched"] == 5
    replay = deployment.call("POST", "/v1/replays", json=asked | {"reason": "by mistake"})
    done = deployment.done(f"/v1/replays/{replay['id']}")
    assert (done["counts"]["replayed"], done["function_id"]) == (5, slug)
    runs = deployment.listed("/v1/runs", 5, replay_id=replay["id"])
    assert sorted(run["event"]["data"]["n"] for run in runs) == [0, 1, 2, 3, 4]
    assert {run["status"] for run in runs} == {"Scheduled"}
    originals = deployment.listed(f"/v1/cancellations/{id_}/runs", 5)
    assert {run["replay_of"] for run in runs} == {run["run_id"] for run in originals}


def test_runs_without_an_answer_can_be_listed(deployment: Deployment) -> None:
    """They are left alone, counted, and shown with what was wrong."""
    deployment.function("odd")
    deployment.runs("odd", [{"n": 1}, {"n": "x"}, {"n": 3}])
    body = cancellation("odd", **{"if": "event.data.n + 1 > 0"})
    id_ = deployment.call("POST", "/v1/cancellations", json=body)["id"]
    found = deployment.done(f"/v1/cancellations/{id_}")
    assert found["counts"].items() >= {"cancelled": 2, "failed": 1}.items()
    path = f"/v1/cancellations/{id_}/runs"
    failed = deployment.listed(path, 1, outcome="failed")
    assert [(run["event"]["data"]["n"], bool(run["failure"])) for run in failed] == [("x", True)]
    assert failed[0]["status"] == "Scheduled"


def test_a_pause_is_shown_until_it_is_over(deployment: Deployment) -> None:
    """With how far it is; unfinished runs are cancelled by it, later ones are skipped."""
    slug = deployment.function("noisy")
    deployment.runs("noisy", [{}, {}])
    path = f"/v1/functions/{slug}"
    asked = deployment.call("POST", f"{path}/pause", json={"running": "now", "reason": "calm"})
    assert deployment.call("GET", path)["pause"]["id"] == asked["id"]
    eventually(
        lambda: deployment.call("GET", path)["pause"]["counts"]["cancelled"] == 2, PATIENCE_S
    )
    deployment.call("POST", "/v1/events", json={"name": "noisy"})
    query = {"function_id": slug, "status": "Skipped"}
    eventually(lambda: deployment.call("GET", "/v1/runs", params=query), PATIENCE_S)
    deployment.call("POST", f"{path}/resume")
    assert deployment.call("GET", path)["paused"] is False


def test_who_did_what_is_shown(deployment: Deployment) -> None:
    """The trail has every write, by its operation, newest first."""
    slug = deployment.function("watched")
    id_ = deployment.call("POST", "/v1/cancellations", json=cancellation("watched", name="n"))["id"]
    deployment.call("DELETE", f"/v1/cancellations/{id_}", params={"reason": "enough"})
    about = deployment.call("GET", "/v1/audit", params={"target": id_})
    assert [(one["action"], one["reason"]) for one in about] == [("stopCancellation", "enough")]
    about = deployment.call("GET", "/v1/audit", params={"target": slug})
    assert [(one["action"], one["actor"], one["outcome"]) for one in about] == [
        ("createCancellation", "ann", "done"),
        ("applyFunction", "ann", "done"),
    ]
    assert about[0]["request_id"] == id_
    stopped = deployment.done(f"/v1/cancellations/{id_}")
    assert stopped["status"] in {"stopped", "done"}
