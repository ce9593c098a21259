"""What a user does with an installation: functions, events, cancels, the dashboard, a worker."""

import re
from typing import Any, Final

import httpx

from tests.kubernetes.cluster import RELEASE, Cluster
from tests.kubernetes.installation import URL
from tests.support.deadline import eventually

FUNCTION: Final = """
functions:
  - id: generate-report
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId}]
"""
_PATIENCE_S: Final = 30
_WITHIN_S: Final = 180
_KEY: Final = re.compile(r"cmk_\S+")
Json = Any


def sign_in(url: str, key: str) -> httpx.Client:
    """A browser that is signed in to the dashboard."""
    browser = httpx.Client(base_url=url, timeout=_PATIENCE_S, headers={"Origin": url})
    answer = browser.post("/sign-in", data={"key": key})
    assert answer.status_code == httpx.codes.SEE_OTHER, answer.text
    return browser


class User:
    """Somebody with `kubectl` and an API key, who reaches the Service."""

    def __init__(self, cluster: Cluster) -> None:
        """Make a key, and sign in to the dashboard with it."""
        self._cluster = cluster
        key = cluster.countermand("api", "keys", "create", "user", "--role", "admin", "--json")
        [self._key] = _KEY.findall(key.replace('"', " "))
        self._api = httpx.Client(
            base_url=URL, timeout=_PATIENCE_S, headers={"Authorization": f"Bearer {self._key}"}
        )
        self._browser = sign_in(URL, self._key)

    def close(self) -> None:
        """Disconnect."""
        self._api.close()
        self._browser.close()

    def cancel_a_run(self) -> None:
        """Apply a function, start two runs and cancel one, and find that in the dashboard."""
        self._cluster.countermand(
            "router", "functions", "apply", "--file", "/dev/stdin", text=FUNCTION
        )
        kept = self._start({"name": "report/requested", "data": {"reportId": "kept"}})
        ended = self._start({"name": "report/requested", "data": {"reportId": "ended"}})
        self.send({"name": "report/cancelled", "data": {"reportId": "ended"}})
        self.await_status(ended, "Cancelled")
        page = self.page(f"/runs/{ended}")
        assert "report/cancelled" in page, "the dashboard doesn't show the cancel"
        assert self.run(kept)["status"] == "Scheduled", "the other run is not as it was"

    def run_a_function(self) -> None:
        """Let the worker draw a film to its end, and cancel another in the middle."""
        short = self.order_film("short", frames=2)
        long = self.order_film("long", frames=1_000)
        self.await_status(short, "Completed")
        self.await_status(long, "Running")
        eventually(lambda: "long" in self._drawn(), _WITHIN_S)
        self.send({"name": "film/cancelled", "data": {"film": "long"}})
        eventually(lambda: self.run(long)["stopped_at"], _WITHIN_S)
        self.await_status(long, "Cancelled")
        eventually(lambda: "long" not in self._drawn(), _WITHIN_S)
        assert "short" in self._drawn(), "the film that was not cancelled is gone"

    def order_film(self, film: str, frames: int) -> str:
        """Start a run of the worker's function; its id."""
        return self._start({"name": "film/requested", "data": {"film": film, "frames": frames}})

    def send(self, event: Json) -> str:
        """Send an event; its id."""
        answer = self._api.post("/v1/events", json=event).raise_for_status()
        return str(answer.json()["data"]["ids"][0])

    def run(self, run_id: str) -> Json:
        """A run as the API shows it."""
        return self._api.get(f"/v1/runs/{run_id}").raise_for_status().json()["data"]

    def await_status(self, run_id: str, status: str) -> None:
        """Wait until a run has a status that it keeps, or passes for long."""
        eventually(lambda: self.run(run_id)["status"] == status, _WITHIN_S)

    def count_cancelled(self, function: str) -> int:
        """How many runs of a function are cancelled, by the copy in the database."""
        answer = self._api.get("/v1/runs/counts", params={"function_id": function})
        counts = {one["status"]: one["count"] for one in answer.raise_for_status().json()["data"]}
        return int(counts["Cancelled"])

    def page(self, path: str) -> str:
        """A page of the dashboard."""
        return self._browser.get(path).raise_for_status().text

    def _start(self, event: Json) -> str:
        event_id = self.send(event)

        def runs() -> Json:
            return self._api.get(f"/v1/events/{event_id}/runs").raise_for_status().json()["data"]

        [run] = eventually(runs, _WITHIN_S)
        return str(run["run_id"])

    def _drawn(self) -> str:
        list_all = "import os, tempfile; print(os.listdir(tempfile.gettempdir()))"
        worker = f"deployment/{RELEASE}-worker-films"
        return self._cluster.kubectl("exec", worker, "--", "python3", "-c", list_all)
